// Sums over rows and over all elements, and what else looks at rows as wholes.

// Sums of `chunk` rows each: row y of the result is that of rows y chunk and on. A thread for every column.
extern "C" __global__ void column_sums(unsigned rows, unsigned width, unsigned chunk, float* to, const float* from) {
    unsigned col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= width) return;
    unsigned first = blockIdx.y * chunk, last = min(first + chunk, rows);
    float sum = 0.0f;
    for (unsigned row = first; row < last; ++row) sum += from[(size_t)row * width + col];
    to[(size_t)blockIdx.y * width + col] = sum;
}

// Every block's part of a sum, of squares or as it is.
extern "C" __global__ void totals(unsigned n, double* to, const float* from, unsigned squares) {
    __shared__ double room[256];
    double sum = 0.0;
    for (unsigned i = element(); i < n; i += gridDim.x * blockDim.x) {
        double value = from[i];
        sum += squares ? value * value : value;
    }
    sum = block_sum_double(sum, room);
    if (threadIdx.x == 0) to[blockIdx.x] = sum;
}

// to = factor times the sum of `parts` parts, by one block
extern "C" __global__ void total_of(unsigned parts, float* to, const double* from, float factor) {
    __shared__ double room[256];
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < parts; i += blockDim.x) sum += from[i];
    sum = block_sum_double(sum, room);
    if (threadIdx.x == 0) *to = (float)(sum * factor);
}

// Counts numbers that are infinite or NaN; `to` is 0 at first.
extern "C" __global__ void unfit(unsigned n, unsigned* to, const float* from) {
    unsigned i = element();
    if (i < n && (__float_as_uint(from[i]) & 0x7f800000u) == 0x7f800000u) atomicAdd(to, 1u);
}

// to[r] = the sum over row r of a b
extern "C" __global__ void row_products(unsigned width, float* to, const float* a, const float* b) {
    __shared__ float room[ROW_THREADS / WARP];
    size_t start = (size_t)blockIdx.x * width;
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) sum += a[start + i] * b[start + i];
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) to[blockIdx.x] = sum;
}

// Row `unique[b]` of the table gets the sum of the rows of g that `order` lists from `starts[b]` on, in that order.
extern "C" __global__ void scattered(
    float* table, const float* g, const unsigned* unique, const unsigned* starts, const unsigned* order,
    unsigned width) {
    float* row = table + (size_t)unique[blockIdx.x] * width;
    unsigned first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    for (unsigned col = threadIdx.x; col < width; col += ROW_THREADS) {
        float sum = row[col];
        for (unsigned i = first; i < last; ++i) sum += g[(size_t)order[i] * width + col];
        row[col] = sum;
    }
}

// The logarithm of the sum of exponentials of every row, and what it exceeds the target's number by.
extern "C" __global__ void surprises(
    unsigned width, float* shift, float* loss, const float* x, const unsigned* targets) {
    __shared__ float room[ROW_THREADS / WARP];
    const float* row = x + (size_t)blockIdx.x * width;
    float largest = -INFINITY;
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) largest = fmaxf(largest, row[i]);
    largest = block_max(largest, room);
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) sum += expf(row[i] - largest);
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) {
        float here = largest + logf(sum);
        shift[blockIdx.x] = here;
        loss[blockIdx.x] = here - row[targets[blockIdx.x]];
    }
}

// The gradient of the mean surprise; `g` is one number on the device.
extern "C" __global__ void surprises_back(
    unsigned n, float* dx, const float* x, const float* shift, const unsigned* targets, const float* g, unsigned width,
    float factor) {
    unsigned i = element();
    if (i >= n) return;
    unsigned row = i / width;
    float share = expf(x[i] - shift[row]) - (i % width == targets[row] ? 1.0f : 0.0f);
    dx[i] = share * *g * factor;
}

// One row per sequence: the mean of its tokens, or the first of them; 0 for an empty one.
extern "C" __global__ void segments(float* to, const float* x, const unsigned* bounds, unsigned width, unsigned mean) {
    unsigned first = bounds[blockIdx.x], last = bounds[blockIdx.x + 1];
    if (!mean) last = min(last, first + 1);
    float factor = last > first ? 1.0f / (float)(last - first) : 0.0f;
    for (unsigned col = threadIdx.x; col < width; col += ROW_THREADS) {
        float sum = 0.0f;
        for (unsigned row = first; row < last; ++row) sum += x[(size_t)row * width + col];
        to[(size_t)blockIdx.x * width + col] = sum * factor;
    }
}

// The gradient of that, a block per sequence.
extern "C" __global__ void segments_back(
    float* dx, const float* dy, const unsigned* bounds, unsigned width, unsigned mean, unsigned add) {
    unsigned first = bounds[blockIdx.x], last = bounds[blockIdx.x + 1];
    float factor = mean ? 1.0f / (float)(last - first) : 1.0f;
    for (unsigned row = first; row < last; ++row) {
        for (unsigned col = threadIdx.x; col < width; col += ROW_THREADS) {
            float here = mean || row == first ? dy[(size_t)blockIdx.x * width + col] * factor : 0.0f;
            put(dx + (size_t)row * width + col, here, add);
        }
    }
}
