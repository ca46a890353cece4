// A thread for every element. Arrays that are written may be those that are read.

extern "C" __global__ void fill(unsigned n, float* to, float value) {
    unsigned i = element();
    if (i < n) to[i] = value;
}

extern "C" __global__ void copy(unsigned n, float* to, const float* from) {
    unsigned i = element();
    if (i < n) to[i] = from[i];
}

// to = a + factor b
extern "C" __global__ void combine(unsigned n, float* to, const float* a, const float* b, float factor) {
    unsigned i = element();
    if (i < n) to[i] = a[i] + factor * b[i];
}

// to (+)= factor a
extern "C" __global__ void scaled(unsigned n, float* to, const float* a, float factor, unsigned add) {
    unsigned i = element();
    if (i < n) put(to + i, factor * a[i], add);
}

// to (+)= a b
extern "C" __global__ void multiplied(unsigned n, float* to, const float* a, const float* b, unsigned add) {
    unsigned i = element();
    if (i < n) put(to + i, a[i] * b[i], add);
}

// to = x with every row multiplied by `scales`
extern "C" __global__ void columns_scaled(unsigned n, float* to, const float* x, const float* scales, unsigned width) {
    unsigned i = element();
    if (i < n) to[i] = x[i] * scales[i % width];
}

// to = x with every row multiplied by its number of `scales`
extern "C" __global__ void rows_scaled(unsigned n, float* to, const float* x, const float* scales, unsigned width) {
    unsigned i = element();
    if (i < n) to[i] = x[i] * scales[i / width];
}

// y = f(z + bias), and the slope there where it is wanted
extern "C" __global__ void finished(
    unsigned n, float* y, float* slope, const float* z, const float* bias, unsigned width, unsigned act) {
    unsigned i = element();
    if (i >= n) return;
    float here = z[i] + (bias ? bias[i % width] : 0.0f), steep;
    float value = activated(here, act, &steep);
    y[i] = value;
    if (slope) slope[i] = steep;
}

// to (+)= f(gate) value
extern "C" __global__ void gated(
    unsigned n, float* to, const float* gate, const float* value, unsigned act, unsigned add) {
    unsigned i = element();
    float steep;
    if (i < n) put(to + i, activated(gate[i], act, &steep) * value[i], add);
}

// to (+)= g f'(gate) value
extern "C" __global__ void gated_slope(
    unsigned n, float* to, const float* gate, const float* value, const float* g, unsigned act, unsigned add) {
    unsigned i = element();
    if (i >= n) return;
    float steep;
    activated(gate[i], act, &steep);
    put(to + i, g[i] * steep * value[i], add);
}

// The mix of position and seed of the processor's dropout.
__device__ __forceinline__ unsigned mixed(unsigned position, unsigned first, unsigned second) {
    unsigned h = position ^ first;
    h = (h ^ (h >> 16)) * 0x21f0aaadu;
    h = ((h ^ (h >> 15)) * 0x735a2d97u) ^ second;
    h = (h ^ (h >> 16)) * 0x85ebca6bu;
    return h ^ (h >> 15);
}

extern "C" __global__ void dropped(
    unsigned n, float* to, const float* a, unsigned first, unsigned second, unsigned threshold, float keep_scale,
    unsigned add) {
    unsigned i = element();
    if (i < n) put(to + i, mixed(i, first, second) >= threshold ? a[i] * keep_scale : 0.0f, add);
}

// Axis k of the result has `size k` entries that lie `step k` apart in the source; unused axes have one entry.
extern "C" __global__ void permuted(
    unsigned n, float* to, const float* from, unsigned size1, unsigned size2, unsigned size3, unsigned size4,
    unsigned size5, unsigned step0, unsigned step1, unsigned step2, unsigned step3, unsigned step4, unsigned step5,
    unsigned add) {
    unsigned i = element();
    if (i >= n) return;
    unsigned rest = i, at = 0;
    at += rest % size5 * step5, rest /= size5;
    at += rest % size4 * step4, rest /= size4;
    at += rest % size3 * step3, rest /= size3;
    at += rest % size2 * step2, rest /= size2;
    at += rest % size1 * step1, rest /= size1;
    put(to + i, from[at + rest * step0], add);
}

// Pairs of coordinates turned by the angle of their token, a thread for every pair; `side` is 1 or, to turn back, -1.
extern "C" __global__ void turned(
    unsigned pairs, float* to, const float* x, const float* cosines, const float* sines, unsigned width, unsigned half,
    unsigned neighbors, float side, unsigned add) {
    unsigned i = element();
    if (i >= pairs) return;
    unsigned row = i / (width / 2), pair = i % (width / 2), head = pair / half, j = pair % half;
    unsigned start = row * width + head * 2 * half;
    unsigned one = start + (neighbors ? 2 * j : j), other = start + (neighbors ? 2 * j + 1 : j + half);
    float c = cosines[row * half + j], s = side * sines[row * half + j];
    float a = x[one], b = x[other];
    put(to + one, a * c - b * s, add);
    put(to + other, a * s + b * c, add);
}

// The rows of a table that ids name
extern "C" __global__ void gathered(unsigned n, float* to, const float* table, const unsigned* ids, unsigned width) {
    unsigned i = element();
    if (i < n) to[i] = table[(size_t)ids[i / width] * width + i % width];
}

// The first `cols` columns of the first rows of a matrix of `width` columns
extern "C" __global__ void cropped(unsigned n, float* to, const float* from, unsigned cols, unsigned width) {
    unsigned i = element();
    if (i < n) to[i] = from[i / cols * width + i % cols];
}

// to (+)= from inside of a block of `rows` x `cols`, 0 outside
extern "C" __global__ void cropped_back(
    unsigned n, float* to, const float* from, unsigned rows, unsigned cols, unsigned width, unsigned add) {
    unsigned i = element();
    if (i >= n) return;
    unsigned row = i / width, col = i % width;
    put(to + i, row < rows && col < cols ? from[row * cols + col] : 0.0f, add);
}
