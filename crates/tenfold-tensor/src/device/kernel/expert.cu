// What routers and experts need beside products.

// Row n is the sum over j of gates[n, j] times row slots[n k + j] of y; a slot of all ones adds nothing.
extern "C" __global__ void combined(
    unsigned n, float* to, const float* y, const float* gates, const unsigned* slots, unsigned width, unsigned k) {
    unsigned i = element();
    if (i >= n) return;
    unsigned row = i / width, col = i % width;
    float sum = 0.0f;
    for (unsigned j = row * k; j < (row + 1) * k; ++j)
        if (slots[j] != 0xffffffffu) sum += gates[j] * y[(size_t)slots[j] * width + col];
    to[i] = sum;
}

// The gradient of y, a block per slot; rows of dy without a slot are 0 at first.
extern "C" __global__ void combined_back(
    float* dy, const float* dout, const float* gates, const unsigned* slots, unsigned width, unsigned k) {
    unsigned slot = slots[blockIdx.x];
    if (slot == 0xffffffffu) return;
    const float* from = dout + (size_t)(blockIdx.x / k) * width;
    for (unsigned col = threadIdx.x; col < width; col += ROW_THREADS)
        dy[(size_t)slot * width + col] += gates[blockIdx.x] * from[col];
}

// The gradient of gates, a block per slot.
extern "C" __global__ void combined_back_gates(
    float* dgates, const float* dout, const float* y, const unsigned* slots, unsigned width, unsigned k, unsigned add) {
    __shared__ float room[ROW_THREADS / WARP];
    unsigned slot = slots[blockIdx.x];
    float sum = 0.0f;
    if (slot != 0xffffffffu) {
        for (unsigned col = threadIdx.x; col < width; col += ROW_THREADS)
            sum += dout[(size_t)(blockIdx.x / k) * width + col] * y[(size_t)slot * width + col];
    }
    sum = block_sum(sum, room);
    if (threadIdx.x == 0) put(dgates + blockIdx.x, sum, add);
}
