// Kernels for tests of the emulated device; the later ones are wrong.

template <class T> __device__ __forceinline__ T sum_warp(T value) {
    for (int by = 16; by > 0; by >>= 1) value += __shfl_down_sync(0xffffffffu, value, by);
    return value;
}

extern "C" __global__ void add(const float* a, const float* __restrict__ b, float* to, float scale, unsigned count) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) to[i] = a[i] + scale * b[i];
}

extern "C" __global__ void __launch_bounds__(256) sum_block(const float* from, float* to, unsigned count) {
    __shared__ float parts[256];
    float sum = 0.0f;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += from[blockIdx.x * count + i];
    parts[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned rest = blockDim.x; rest > 1; rest = (rest + 1) / 2) {
        unsigned half = (rest + 1) / 2;
        if (threadIdx.x < rest / 2) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) to[blockIdx.x] = parts[0];
}

extern "C" __global__ void sum_warps(const float* from, float* to, unsigned count) {
    __shared__ double parts[32];
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < count; i += blockDim.x) sum += from[blockIdx.x * count + i];
    sum = sum_warp(sum);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 32) {
        sum = sum_warp(threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0);
        if (threadIdx.x == 0) to[blockIdx.x] = float(sum);
    }
}

extern "C" __global__ void lanes(float* to) {
    unsigned all = 0xffffffffu, t = threadIdx.x;
    float* own = to + 8 * t;
    own[0] = __shfl_down_sync(all, float(t), 3);
    own[1] = float(__shfl_up_sync(all, t, 5));
    own[2] = float(__shfl_xor_sync(all, double(t), 9));
    own[3] = float(__shfl_sync(all, int(t), 7));
    own[4] = float(__shfl_sync(all, t, 2, 8));
    own[5] = float(__ballot_sync(all, (t & 1) != t / 32) & 0xffff);
    own[6] = float(__any_sync(all, t % 32 == 4));
    own[7] = float(__all_sync(all, t < 32));
}

extern "C" __global__ void place(float* to) {
    unsigned i = (blockIdx.y * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x;
    to[i] = float(100 * blockIdx.y + 10 * blockIdx.x + threadIdx.x);
}

// Neither this, `__global__ void no_kernel(`, nor a declaration counts.
#define LIMIT 64
extern "C" __global__ void __launch_bounds__(LIMIT, (2)) count(float* to);
extern "C" __global__ void __launch_bounds__(LIMIT, 2) count(float* to) { atomicAdd(to, 1.0f); }

extern "C" __global__ void quads(const float* from, float* to) {
    float4 quad = reinterpret_cast<const float4*>(from)[threadIdx.x];
    double sum = double(quad.x) + quad.y + quad.z + quad.w;
    to[threadIdx.x] = float(sum);
}

extern "C" __global__ void stale_shared(float* to) {
    __shared__ float cells[32];
    if (threadIdx.x == 0) to[0] = cells[5];
    __syncthreads();
    cells[threadIdx.x] = 1.0f;
}

#define ZERO(NAME) \
    extern "C" __global__ void NAME(float* to) { to[threadIdx.x] = 0.0f; }
ZERO(made_by_macro)

extern "C" __global__ void order(float* to) {
    unsigned* ticket = reinterpret_cast<unsigned*>(to) + 63;
    unsigned mine = atomicAdd(ticket, 1u);
    if (mine < 2) to[mine] = float(threadIdx.x);
}

// From here on each does something wrong.

extern "C" __global__ void leaves_barrier(float* to, unsigned count) {
    if (threadIdx.x == 40) return;
    __syncthreads();
    to[threadIdx.x] = 1.0f;
}

extern "C" __global__ void parts_at_barriers(float* to, unsigned count) {
    if (threadIdx.x < 32) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    to[threadIdx.x] = 1.0f;
}

extern "C" __global__ void parts_at_shuffles(float* to, unsigned count) {
    float x = 1.0f;
    if (threadIdx.x < 16) {
        x = __shfl_xor_sync(0xffffffffu, x, 1);
    } else {
        __syncwarp();
    }
    to[threadIdx.x] = x;
}

extern "C" __global__ void not_in_mask(float* to, unsigned count) {
    to[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.0f, 1);
}

extern "C" __global__ void writes_past_end(float* to, unsigned count) {
    if (threadIdx.x == 3) to[count] = 1.0f;
}

extern "C" __global__ void reads_before_begin(float* to, unsigned count) {
    to[threadIdx.x] = to[int(threadIdx.x) - 1];
}

extern "C" __global__ void uses_nothing(float* to, unsigned count) {
    const float* none = to[0] == 0.0f ? nullptr : to;
    to[threadIdx.x] = *none;
}

extern "C" __global__ void is_unaligned(float* to, unsigned count) {
    float4 quad = *reinterpret_cast<const float4*>(to + 4 * threadIdx.x + 1);
    if (quad.x > 1.0f) __trap();
}

extern "C" __global__ void beyond_shared(float* to, unsigned count) {
    __shared__ float cells[32];
    cells[threadIdx.x] = to[threadIdx.x];
    __syncthreads();
    to[threadIdx.x] = cells[31 - threadIdx.x % 32];
}

// The check of addresses does not see this store, so that the margins must show it.
extern "C" __attribute__((no_sanitize("thread"))) __global__ void spills(float* to, unsigned count) {
    to[count + 1] = 1.0f;
}

extern "C" __global__ void forgets_barrier(float* to, unsigned count) {
    __shared__ float cells[64];
    cells[threadIdx.x] = to[threadIdx.x];
    to[threadIdx.x] = cells[63 - threadIdx.x];
}

extern "C" __global__ void all_write(float* to, unsigned count) { to[0] = 1.0f; }

extern "C" __global__ void reuses_too_early(float* to, unsigned count) {
    __shared__ float cell;
    for (unsigned round = 0; round < 3; round++) {
        if (threadIdx.x == round) cell = float(round);
        __syncthreads();
        to[threadIdx.x + 64 * round] = cell;
    }
}

extern "C" __global__ void traps(float* to, unsigned count) { __trap(); }
