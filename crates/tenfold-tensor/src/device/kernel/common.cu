// What all kernels share. Elements are numbered in 32 bits. Blocks that work on one row have ROW_THREADS threads.

#define ROW_THREADS 128
#define WARP 32

// Compilers at run time know no headers.
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

// The thread's element; kernels with a thread per element return where it lies beyond n.
__device__ __forceinline__ unsigned element() { return blockIdx.x * blockDim.x + threadIdx.x; }

__device__ __forceinline__ float warp_sum(float value) {
    for (int step = WARP / 2; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (int step = WARP / 2; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}

// The sum over a block of ROW_THREADS threads, given to all of them. `room` is shared, one number per warp.
__device__ __forceinline__ float block_sum(float value, float* room) {
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = value;
    __syncthreads();
    float total = 0.0f;
    for (unsigned i = 0; i < ROW_THREADS / WARP; ++i) total += room[i];
    return total;
}

__device__ __forceinline__ float block_max(float value, float* room) {
    value = warp_max(value);
    __syncthreads();
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = value;
    __syncthreads();
    float largest = room[0];
    for (unsigned i = 1; i < ROW_THREADS / WARP; ++i) largest = fmaxf(largest, room[i]);
    return largest;
}

// The same sum in double precision, for a block of any number of threads up to 256.
__device__ __forceinline__ double block_sum_double(double value, double* room) {
    __syncthreads();
    room[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
        __syncthreads();
    }
    return room[0];
}

__device__ __forceinline__ void put(float* to, float value, unsigned add) { *to = add ? *to + value : value; }

// The activations by the numbers of `Activation`, and their slopes.
enum { IDENTITY, GELU, GELU_TANH, SILU, RELU, TANH };

__device__ __forceinline__ float activated(float z, unsigned act, float* slope) {
    if (act == GELU) {
        float below = 0.5f * erfcf(-z * 0.70710678118654752f);
        *slope = below + z * 0.39894228040143268f * expf(-0.5f * z * z);
        return z * below;
    }
    if (act == GELU_TANH) {
        float square = z * z;
        float t = tanhf(0.7978845608028654f * z * (1.0f + 0.044715f * square));
        float below = 0.5f * (1.0f + t);
        *slope = below + 0.5f * z * (1.0f - t * t) * 0.7978845608028654f * (1.0f + 3.0f * 0.044715f * square);
        return z * below;
    }
    if (act == SILU) {
        float s = 1.0f / (1.0f + expf(-z));
        *slope = s + z * s * (1.0f - s);
        return z * s;
    }
    if (act == RELU) {
        // Written so that NaN passes through.
        *slope = z > 0.0f ? 1.0f : 0.0f;
        return z <= 0.0f ? 0.0f : z;
    }
    if (act == TANH) {
        float t = tanhf(z);
        *slope = 1.0f - t * t;
        return t;
    }
    *slope = 1.0f;
    return z;
}
