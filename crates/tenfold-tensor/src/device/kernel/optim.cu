// One step of an optimizer, a thread for every element.

extern "C" __global__ void adamw(
    unsigned n, float* value, const float* grad, float* m, float* v, float beta1, float beta2, float rate,
    float correction, float eps, float shrink, float grad_scale) {
    unsigned i = element();
    if (i >= n) return;
    float g = grad[i] * grad_scale;
    float first = beta1 * m[i] + (1.0f - beta1) * g;
    float second = beta2 * v[i] + (1.0f - beta2) * g * g;
    m[i] = first;
    v[i] = second;
    value[i] = value[i] * shrink - rate * first / (sqrtf(second) * correction + eps);
}

__device__ __forceinline__ float lamb_direction(
    float value, float m, float v, float first, float second, float eps, float decay) {
    return decay * value + first * m / (sqrtf(v) * second + eps);
}

// Updates both moments; every block's part of the squares of values, and of directions `gridDim.x` places later.
extern "C" __global__ void lamb_moments(
    unsigned n, double* squares, const float* value, const float* grad, float* m, float* v, float beta1, float beta2,
    float first, float second, float eps, float decay, float grad_scale) {
    __shared__ double room[256];
    double values = 0.0, directions = 0.0;
    for (unsigned i = element(); i < n; i += gridDim.x * blockDim.x) {
        float g = grad[i] * grad_scale;
        m[i] = beta1 * m[i] + (1.0f - beta1) * g;
        v[i] = beta2 * v[i] + (1.0f - beta2) * g * g;
        float u = lamb_direction(value[i], m[i], v[i], first, second, eps, decay);
        values += (double)value[i] * value[i];
        directions += (double)u * u;
    }
    values = block_sum_double(values, room);
    directions = block_sum_double(directions, room);
    if (threadIdx.x == 0) {
        squares[blockIdx.x] = values;
        squares[gridDim.x + blockIdx.x] = directions;
    }
}

extern "C" __global__ void lamb_values(
    unsigned n, float* value, const float* m, const float* v, float rate, float first, float second, float eps,
    float decay) {
    unsigned i = element();
    if (i < n) value[i] -= rate * lamb_direction(value[i], m[i], v[i], first, second, eps, decay);
}
