// Layer and root-mean-square normalization of h = x (+ residual), a block per row. Without `bias` mean and shift are left out.

extern "C" __global__ void normalized(
    unsigned width, float* y, float* mean, float* rstd, const float* x, const float* residual, const float* gain,
    const float* bias, float eps) {
    __shared__ float room[ROW_THREADS / WARP];
    size_t start = (size_t)blockIdx.x * width;
    float center = 0.0f;
    if (bias) {
        float sum = 0.0f;
        for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS)
            sum += x[start + i] + (residual ? residual[start + i] : 0.0f);
        center = block_sum(sum, room) / (float)width;
    }
    float squares = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) {
        float h = x[start + i] + (residual ? residual[start + i] : 0.0f) - center;
        squares += h * h;
    }
    float factor = 1.0f / sqrtf(block_sum(squares, room) / (float)width + eps);
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) {
        float h = x[start + i] + (residual ? residual[start + i] : 0.0f) - center;
        y[start + i] = h * factor * gain[i] + (bias ? bias[i] : 0.0f);
    }
    if (threadIdx.x == 0) {
        if (mean) mean[blockIdx.x] = center;
        rstd[blockIdx.x] = factor;
    }
}

// The gradient of h. `mean` is left out for root mean squares.
extern "C" __global__ void normalized_back(
    unsigned width, float* dx, const float* dy, const float* x, const float* residual, const float* gain,
    const float* mean, const float* rstd) {
    __shared__ float room[ROW_THREADS / WARP];
    size_t start = (size_t)blockIdx.x * width;
    float center = mean ? mean[blockIdx.x] : 0.0f, factor = rstd[blockIdx.x];
    float plain = 0.0f, along = 0.0f;
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) {
        float h = x[start + i] + (residual ? residual[start + i] : 0.0f);
        float d = dy[start + i] * gain[i];
        plain += d;
        along += d * (h - center) * factor;
    }
    plain = mean ? block_sum(plain, room) / (float)width : 0.0f;
    along = block_sum(along, room) / (float)width;
    for (unsigned i = threadIdx.x; i < width; i += ROW_THREADS) {
        float h = x[start + i] + (residual ? residual[start + i] : 0.0f);
        dx[start + i] = factor * (dy[start + i] * gain[i] - plain - (h - center) * factor * along);
    }
}

// Sums over `chunk` rows each of what gain and bias get. A thread for every column.
extern "C" __global__ void normalized_sums(
    unsigned rows, unsigned width, unsigned chunk, float* dgain, float* dbias, const float* dy, const float* x,
    const float* residual, const float* mean, const float* rstd) {
    unsigned col = blockIdx.x * blockDim.x + threadIdx.x;
    if (col >= width) return;
    unsigned first = blockIdx.y * chunk, last = min(first + chunk, rows);
    float gain = 0.0f, bias = 0.0f;
    for (unsigned row = first; row < last; ++row) {
        size_t at = (size_t)row * width + col;
        float h = x[at] + (residual ? residual[at] : 0.0f) - (mean ? mean[row] : 0.0f);
        gain += dy[at] * h * rstd[row];
        bias += dy[at];
    }
    dgain[(size_t)blockIdx.y * width + col] = gain;
    if (dbias) dbias[(size_t)blockIdx.y * width + col] = bias;
}
