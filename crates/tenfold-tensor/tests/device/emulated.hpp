// What a kernel sees of CUDA, for a C++ compiler. It includes no header, as the run-time compiler has none: a kernel
// that needs one (INFINITY, uint32_t, std::) fails here too.
#pragma once

typedef decltype(sizeof 0) size_t;

// What the engine and the kernels share.
struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
extern "C" {
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
}

namespace emulated {
typedef unsigned long long Bits;
// What lanes of a warp do when they meet.
enum Meeting : unsigned { NOTHING, EXCHANGE, BALLOT };

// A kernel, its arguments' kinds (p, u or f each) and the most threads it was compiled for, 0 for any.
struct Kernel {
    const char* name;
    void (*call)(void**);
    const char* kinds;
    unsigned most;
};

// Waits for all threads of the block; how many of them voted.
unsigned meet_block(unsigned line, bool vote);
// Waits for the lanes of a mask. EXCHANGE: what lane `source` brought; BALLOT: a bit for every lane that brought not 0.
Bits meet_warp(Meeting meeting, unsigned line, unsigned mask, Bits value, unsigned source);
// Says that an address is changed at once.
void touch_atomically(const void* address, unsigned bytes, void* where);
[[noreturn]] void fail(const char* what, void* where);
} // namespace emulated

#ifndef EMULATED_ENGINE

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)
// In a section of its own, so that the engine finds it. Blocks run one after another, so one copy is enough.
#define __shared__ static __attribute__((section("emulated_shared")))

// Not seen by the check of addresses, because it is a part of what a device does at once. Called, so that the address it
// returns to is in the kernel.
#define EMULATED_BARE static __attribute__((no_sanitize("thread"), noinline, unused))
#define EMULATED_HERE unsigned line = __builtin_LINE()

static const int warpSize = 32;

#define EMULATED_VECTORS(T, NAME, TWO, FOUR)                                                              \
    struct __align__(TWO) NAME##2 { T x, y; };                                                            \
    struct NAME##3 { T x, y, z; };                                                                        \
    struct __align__(FOUR) NAME##4 { T x, y, z, w; };                                                     \
    static inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                                     \
    static inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }                             \
    static inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }
#define uint3 emulated_uint3 // which is declared above
EMULATED_VECTORS(float, float, 8, 16)
EMULATED_VECTORS(int, int, 8, 16)
EMULATED_VECTORS(unsigned, uint, 8, 16)
EMULATED_VECTORS(double, double, 16, 16)
EMULATED_VECTORS(unsigned char, uchar, 2, 4)
EMULATED_VECTORS(signed char, char, 2, 4)
#undef uint3

// Barriers.
static inline void __syncthreads(EMULATED_HERE) { emulated::meet_block(line, false); }
static inline int __syncthreads_count(int vote, EMULATED_HERE) { return emulated::meet_block(line, vote != 0); }
static inline int __syncthreads_or(int vote, EMULATED_HERE) { return emulated::meet_block(line, vote != 0) != 0; }
static inline int __syncthreads_and(int vote, EMULATED_HERE) {
    return emulated::meet_block(line, vote != 0) == blockDim.x;
}
static inline void __syncwarp(unsigned mask = ~0u, EMULATED_HERE) {
    emulated::meet_warp(emulated::NOTHING, line, mask, 0, 0);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}
[[noreturn]] EMULATED_BARE void __trap() { emulated::fail("traps", __builtin_return_address(0)); }

// Lanes of a warp.
static inline unsigned emulated_lane() { return threadIdx.x % 32; }
template <class T> static inline T emulated_exchange(unsigned line, unsigned mask, T value, unsigned source) {
    static_assert(sizeof(T) <= sizeof(emulated::Bits), "lanes exchange numbers");
    emulated::Bits bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    bits = emulated::meet_warp(emulated::EXCHANGE, line, mask, bits, source);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, EMULATED_HERE) {
    unsigned first = emulated_lane() & ~(width - 1u);
    return emulated_exchange(line, mask, value, first | (unsigned(lane) & (width - 1u)));
}
template <class T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, EMULATED_HERE) {
    unsigned lane = emulated_lane(), within = lane & (width - 1u);
    return emulated_exchange(line, mask, value, within < by ? lane : lane - by);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, EMULATED_HERE) {
    unsigned lane = emulated_lane(), within = lane & (width - 1u);
    return emulated_exchange(line, mask, value, within + by >= unsigned(width) ? lane : lane + by);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T value, int by, int width = 32, EMULATED_HERE) {
    unsigned lane = emulated_lane(), end = (lane & ~(width - 1u)) + width;
    return emulated_exchange(line, mask, value, (lane ^ by) >= end ? lane : lane ^ by);
}
static inline unsigned __ballot_sync(unsigned mask, int vote, EMULATED_HERE) {
    return unsigned(emulated::meet_warp(emulated::BALLOT, line, mask, vote != 0, 0));
}
static inline int __any_sync(unsigned mask, int vote, EMULATED_HERE) { return __ballot_sync(mask, vote, line) != 0; }
static inline int __all_sync(unsigned mask, int vote, EMULATED_HERE) { return __ballot_sync(mask, !vote, line) == 0; }

// Atomic changes; the result is the old value.
#define EMULATED_ATOMIC(NAME, T, NEW)                                                                     \
    EMULATED_BARE T NAME(T* at, T value) {                                                                \
        emulated::touch_atomically(at, sizeof(T), __builtin_return_address(0));                           \
        T old = *at;                                                                                      \
        *at = NEW;                                                                                        \
        return old;                                                                                       \
    }
#define EMULATED_ATOMICS(T)                                                                               \
    EMULATED_ATOMIC(atomicAdd, T, old + value)                                                            \
    EMULATED_ATOMIC(atomicSub, T, old - value)                                                            \
    EMULATED_ATOMIC(atomicMax, T, old > value ? old : value)                                              \
    EMULATED_ATOMIC(atomicMin, T, old < value ? old : value)                                              \
    EMULATED_ATOMIC(atomicExch, T, value)                                                                 \
    EMULATED_ATOMIC(atomicAnd, T, old& value)                                                             \
    EMULATED_ATOMIC(atomicOr, T, old | value)                                                             \
    EMULATED_ATOMIC(atomicXor, T, old ^ value)                                                            \
    EMULATED_BARE T atomicCAS(T* at, T expected, T value) {                                               \
        emulated::touch_atomically(at, sizeof(T), __builtin_return_address(0));                           \
        T old = *at;                                                                                      \
        if (old == expected) *at = value;                                                                 \
        return old;                                                                                       \
    }
EMULATED_ATOMICS(int)
EMULATED_ATOMICS(unsigned)
EMULATED_ATOMICS(unsigned long long)
EMULATED_ATOMIC(atomicAdd, float, old + value)
EMULATED_ATOMIC(atomicAdd, double, old + value)
EMULATED_ATOMIC(atomicExch, float, value)

// Loads and stores with hints.
template <class T> static inline __attribute__((always_inline)) T __ldg(const T* at) { return *at; }
template <class T> static inline __attribute__((always_inline)) T __ldcs(const T* at) { return *at; }
template <class T> static inline __attribute__((always_inline)) T __ldcg(const T* at) { return *at; }
template <class T> static inline __attribute__((always_inline)) void __stcs(T* at, T value) { *at = value; }
template <class T> static inline __attribute__((always_inline)) void __stcg(T* at, T value) { *at = value; }

// Bits.
template <class To, class From> static inline To emulated_cast(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    __builtin_memcpy(&to, &from, sizeof to);
    return to;
}
static inline float __uint_as_float(unsigned x) { return emulated_cast<float>(x); }
static inline float __int_as_float(int x) { return emulated_cast<float>(x); }
static inline unsigned __float_as_uint(float x) { return emulated_cast<unsigned>(x); }
static inline int __float_as_int(float x) { return emulated_cast<int>(x); }
static inline long long __double_as_longlong(double x) { return emulated_cast<long long>(x); }
static inline double __longlong_as_double(long long x) { return emulated_cast<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline int __mulhi(int a, int b) { return (long long)a * b >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
    return (((unsigned long long)high << 32 | low) << (by & 31)) >> 32;
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
    return ((unsigned long long)high << 32 | low) >> (by & 31);
}

// Functions of one number, for both precisions.
#define EMULATED_UNARY(NAME)                                                                              \
    extern "C" double NAME(double);                                                                       \
    extern "C" float NAME##f(float);                                                                      \
    static inline float NAME(float x) { return NAME##f(x); }
EMULATED_UNARY(exp)    EMULATED_UNARY(exp2)  EMULATED_UNARY(expm1) EMULATED_UNARY(log)   EMULATED_UNARY(log2)
EMULATED_UNARY(log10)  EMULATED_UNARY(log1p) EMULATED_UNARY(sqrt)  EMULATED_UNARY(cbrt)  EMULATED_UNARY(sin)
EMULATED_UNARY(cos)    EMULATED_UNARY(tan)   EMULATED_UNARY(sinh)  EMULATED_UNARY(cosh)  EMULATED_UNARY(tanh)
EMULATED_UNARY(asin)   EMULATED_UNARY(acos)  EMULATED_UNARY(atan)  EMULATED_UNARY(erf)   EMULATED_UNARY(erfc)
EMULATED_UNARY(lgamma) EMULATED_UNARY(fabs)  EMULATED_UNARY(floor) EMULATED_UNARY(ceil)  EMULATED_UNARY(round)
EMULATED_UNARY(rint)   EMULATED_UNARY(trunc) EMULATED_UNARY(nearbyint)
// And of two.
#define EMULATED_BINARY(NAME)                                                                             \
    extern "C" double NAME(double, double);                                                               \
    extern "C" float NAME##f(float, float);                                                               \
    static inline float NAME(float x, float y) { return NAME##f(x, y); }
EMULATED_BINARY(pow)  EMULATED_BINARY(fmod) EMULATED_BINARY(fmin)  EMULATED_BINARY(fmax)
EMULATED_BINARY(fdim) EMULATED_BINARY(atan2) EMULATED_BINARY(hypot) EMULATED_BINARY(copysign)
extern "C" {
double fma(double, double, double);
float fmaf(float, float, float);
double ldexp(double, int);
float ldexpf(float, int);
void sincosf(float, float*, float*);
void sincos(double, double*, double*);
int abs(int);
}
static inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
static inline float abs(float x) { return fabsf(x); }
static inline double abs(double x) { return fabs(x); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float rsqrt(float x) { return rsqrtf(x); }
static inline float exp10f(float x) { return powf(10.0f, x); }
static inline float fdividef(float x, float y) { return x / y; }
static inline float normcdff(float x) { return 0.5f * erfcf(x * -0.70710678f); }
#define EMULATED_CLASSES(T)                                                                               \
    static inline bool isnan(T x) { return __builtin_isnan(x); }                                          \
    static inline bool isinf(T x) { return __builtin_isinf(x); }                                          \
    static inline bool isfinite(T x) { return __builtin_isfinite(x); }                                    \
    static inline bool signbit(T x) { return __builtin_signbit(x); }
EMULATED_CLASSES(float)
EMULATED_CLASSES(double)

// Named roundings and fast forms; the fast ones are exact here.
static inline float __expf(float x) { return expf(x); }
static inline float __exp10f(float x) { return exp10f(x); }
static inline float __logf(float x) { return logf(x); }
static inline float __log2f(float x) { return log2f(x); }
static inline float __sinf(float x) { return sinf(x); }
static inline float __cosf(float x) { return cosf(x); }
static inline float __powf(float x, float y) { return powf(x, y); }
static inline float __tanhf(float x) { return tanhf(x); }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __saturatef(float x) { return x > 0.0f ? x < 1.0f ? x : 1.0f : 0.0f; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __frsqrt_rn(float x) { return float(1.0 / sqrt(double(x))); }
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dsub_rn(double x, double y) { return x - y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __ddiv_rn(double x, double y) { return x / y; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
static inline float __int2float_rn(int x) { return float(x); }
static inline float __uint2float_rn(unsigned x) { return float(x); }
static inline float __double2float_rn(double x) { return float(x); }
// Out of range they end at the nearest number, as on a device.
static inline int emulated_int(float x) {
    if (isnan(x)) return 0;
    return x >= 0x1p31f ? 0x7fffffff : x < -0x1p31f ? -0x7fffffff - 1 : int(x);
}
static inline unsigned emulated_uint(float x) { return !(x > 0.0f) ? 0u : x >= 0x1p32f ? ~0u : unsigned(x); }
static inline int __float2int_rn(float x) { return emulated_int(rintf(x)); }
static inline int __float2int_rz(float x) { return emulated_int(truncf(x)); }
static inline int __float2int_rd(float x) { return emulated_int(floorf(x)); }
static inline int __float2int_ru(float x) { return emulated_int(ceilf(x)); }
static inline unsigned __float2uint_rn(float x) { return emulated_uint(rintf(x)); }
static inline unsigned __float2uint_rz(float x) { return emulated_uint(truncf(x)); }

#define EMULATED_EXTREMES(A, B, T)                                                                        \
    static inline T min(A a, B b) { return (T)a < (T)b ? (T)a : (T)b; }                                   \
    static inline T max(A a, B b) { return (T)a > (T)b ? (T)a : (T)b; }
EMULATED_EXTREMES(int, int, int)
EMULATED_EXTREMES(unsigned, unsigned, unsigned)
EMULATED_EXTREMES(int, unsigned, unsigned)
EMULATED_EXTREMES(unsigned, int, unsigned)
EMULATED_EXTREMES(long, long, long)
EMULATED_EXTREMES(unsigned long, unsigned long, unsigned long)
EMULATED_EXTREMES(long long, long long, long long)
EMULATED_EXTREMES(unsigned long long, unsigned long long, unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

// Calls by name.
namespace emulated {
template <class T> struct Kind;
template <class T> struct Kind<T*> { static constexpr char value = 'p'; };
template <> struct Kind<unsigned> { static constexpr char value = 'u'; };
template <> struct Kind<int> { static constexpr char value = 'u'; };
template <> struct Kind<float> { static constexpr char value = 'f'; };
template <class T> struct Plain { typedef T type; };
template <class T> struct Plain<const T> { typedef T type; };
template <unsigned... I> struct Numbers {};
template <unsigned N, unsigned... I> struct Count : Count<N - 1, N - 1, I...> {};
template <unsigned... I> struct Count<0, I...> { typedef Numbers<I...> type; };

template <auto F, class T> struct Entry;
template <auto F, class... T> struct Entry<F, void (*)(T...)> {
    // The arguments are not in a device's memory, so their addresses are not checked.
    template <unsigned... I> __attribute__((no_sanitize("thread"))) static void unpack(void** arguments, Numbers<I...>) {
        F(*static_cast<typename Plain<T>::type*>(arguments[I])...);
    }
    static void call(void** arguments) { unpack(arguments, typename Count<sizeof...(T)>::type()); }
    static constexpr char kinds[] = {Kind<T>::value..., 0};
};
template <auto F> constexpr Kernel entry(const char* name, unsigned most = 0, unsigned = 0) {
    return {name, Entry<F, decltype(F)>::call, Entry<F, decltype(F)>::kinds, most};
}
} // namespace emulated
#endif
