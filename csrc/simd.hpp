// Vectors of one instruction set, and the functions of the gates on them.
//
// This header is compiled once for each instruction set, under its own namespace
// (FRAMECAST_SET), so that no function built for a newer processor can be linked into the
// path of an older one. For the same reason it includes no C++ library header.
//
// Accuracy: exp, σ and tanh keep within 4 ulp of the exact value. So do the shares of two
// gates f and i, but for the rounding of f − i, which costs them |f − i|/2 ulp more. What is
// below the smallest normal number is returned as zero. NaN gives NaN.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef FRAMECAST_SET
#error "define FRAMECAST_SET, the namespace of the instruction set"
#endif

#if defined(__AVX512F__)
#define FRAMECAST_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define FRAMECAST_VECTOR_BYTES 32
#else
#define FRAMECAST_VECTOR_BYTES 16
#endif

#define FRAMECAST_INLINE static inline __attribute__((always_inline))

namespace framecast::FRAMECAST_SET {

struct BFloat16 {
    uint16_t bits;
};

template <class Scalar>
struct Simd;

template <>
struct Simd<float> {
    typedef float vec __attribute__((vector_size(FRAMECAST_VECTOR_BYTES)));
    typedef int32_t bits __attribute__((vector_size(FRAMECAST_VECTOR_BYTES)));
    static constexpr int mantissa = 23;
    static constexpr int taylor_degree = 7;
    static constexpr float shifter = 0x1.8p23f;         // x + shifter rounds x to an integer
    static constexpr float ln2_high = 0.693359375f;     // few digits: times an integer is exact
    static constexpr float ln2_low = -2.12194440e-4f;
    static constexpr float smallest_exponent = -87.33654f;  // exp of it is the smallest normal
};

template <>
struct Simd<double> {
    typedef double vec __attribute__((vector_size(FRAMECAST_VECTOR_BYTES)));
    typedef int64_t bits __attribute__((vector_size(FRAMECAST_VECTOR_BYTES)));
    static constexpr int mantissa = 52;
    static constexpr int taylor_degree = 13;
    static constexpr double shifter = 0x1.8p52;
    static constexpr double ln2_high = 6.93145751953125e-1;
    static constexpr double ln2_low = 1.42860682030941723212e-6;
    static constexpr double smallest_exponent = -708.3964185322641;
};

// What a stored type is computed in: bfloat16 in float, the others in themselves.
template <class Stored>
struct Wide {
    typedef Stored type;
};
template <>
struct Wide<BFloat16> {
    typedef float type;
};
template <class Stored>
using Accumulator = typename Wide<Stored>::type;

template <class Scalar>
using Vec = typename Simd<Scalar>::vec;

template <class Stored>
constexpr int64_t lanes = FRAMECAST_VECTOR_BYTES / sizeof(Accumulator<Stored>);

// --- loads and stores -------------------------------------------------------------------

template <class Stored>
FRAMECAST_INLINE Vec<Stored> load(const Stored* from) {
    Vec<Stored> value;
    memcpy(&value, from, sizeof value);
    return value;
}

template <class Stored>
FRAMECAST_INLINE void store(Stored* to, Vec<Stored> value) {
    memcpy(to, &value, sizeof value);
}

typedef uint16_t Halves __attribute__((vector_size(FRAMECAST_VECTOR_BYTES / 2)));
typedef uint32_t Words __attribute__((vector_size(FRAMECAST_VECTOR_BYTES)));

#if defined(__AVX512F__)
// GCC makes four and three instructions of what AVX-512 has one for.
FRAMECAST_INLINE Words widen(Halves x) { return (Words)_mm512_cvtepu16_epi32((__m256i)x); }
FRAMECAST_INLINE Halves narrow(Words x) { return (Halves)_mm512_cvtepi32_epi16((__m512i)x); }
#else
FRAMECAST_INLINE Words widen(Halves x) { return __builtin_convertvector(x, Words); }
FRAMECAST_INLINE Halves narrow(Words x) { return __builtin_convertvector(x, Halves); }
#endif

FRAMECAST_INLINE Vec<float> load(const BFloat16* from) {
    Halves halves;
    memcpy(&halves, from, sizeof halves);
    return (Vec<float>)(widen(halves) << 16);
}

// To nearest, ties to even; a NaN stays a NaN.
FRAMECAST_INLINE void store(BFloat16* to, Vec<float> value) {
    const Words bits = (Words)value;
    const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Words quiet = (bits >> 16) | 0x40u;
    const Halves halves = narrow(value == value ? rounded : quiet);
    memcpy(to, &halves, sizeof halves);
}

// Ask for what the next step reads and writes: the next frame is pages away, too far for the
// processor to foresee. Past the end of a tensor such a hint does nothing.
FRAMECAST_INLINE void prefetch(const void* address) { __builtin_prefetch(address, 0); }
FRAMECAST_INLINE void prefetch_to_write(const void* address) { __builtin_prefetch(address, 1); }

// `count` elements where a whole vector would not fit; the other lanes are zero.
template <class Stored>
FRAMECAST_INLINE Vec<Accumulator<Stored>> load_some(const Stored* from, int64_t count) {
    Stored padded[lanes<Stored>] = {};
    for (int64_t i = 0; i < count; ++i) padded[i] = from[i];
    return load(padded);
}

template <class Stored>
FRAMECAST_INLINE void store_some(Stored* to, Vec<Accumulator<Stored>> value, int64_t count) {
    Stored padded[lanes<Stored>];
    store(padded, value);
    for (int64_t i = 0; i < count; ++i) to[i] = padded[i];
}

// --- functions --------------------------------------------------------------------------

// exp(x) = scale · (1 + rest), both parts apart so that exp(x) − 1 is exact for small x.
template <class Scalar>
struct Exponential {
    Vec<Scalar> scale, rest;
    FRAMECAST_INLINE Vec<Scalar> one_plus(const Exponential& e) { return e.scale * e.rest + e.scale; }
    FRAMECAST_INLINE Vec<Scalar> minus_one(const Exponential& e) {
        return e.scale * e.rest + (e.scale - 1);
    }
};

template <class Scalar>
constexpr Scalar one_over_factorial(int n) {
    Scalar factorial = 1;
    for (int i = 2; i <= n; ++i) factorial *= Scalar(i);
    return 1 / factorial;
}

// For x ≤ 0 only: x = n·ln2 + r, 2^n put together from bits, exp(r) − 1 by its Taylor series
// (|r| ≤ ln2/2, where the first term left out is below half an ulp).
template <class Scalar>
FRAMECAST_INLINE Exponential<Scalar> exponential(Vec<Scalar> x) {
    using S = Simd<Scalar>;
    const auto vanishes = x < S::smallest_exponent;
    x = vanishes ? S::smallest_exponent + Vec<Scalar>{} : x;
    const Vec<Scalar> shifted = x * Scalar(1.44269504088896340736) + S::shifter;
    const Vec<Scalar> n = shifted - S::shifter;
    const Vec<Scalar> r = (x - n * S::ln2_high) - n * S::ln2_low;
    Vec<Scalar> series = one_over_factorial<Scalar>(S::taylor_degree) + Vec<Scalar>{};
#pragma GCC unroll 16
    for (int k = S::taylor_degree - 1; k >= 2; --k) series = series * r + one_over_factorial<Scalar>(k);
    const typename S::bits one = (typename S::bits)(Vec<Scalar>{} + Scalar(1));
    const typename S::bits power = ((typename S::bits)shifted << S::mantissa) + one;
    return {vanishes ? Vec<Scalar>{} : (Vec<Scalar>)power, series * (r * r) + r};
}

template <class V>
FRAMECAST_INLINE V minus_absolute(V x) {
    return x < 0 ? x : -x;
}

// exp(−|x|)
template <class Scalar>
FRAMECAST_INLINE Vec<Scalar> decay(Vec<Scalar> x) {
    return Exponential<Scalar>::one_plus(exponential<Scalar>(minus_absolute(x)));
}

// σ(x) and σ(−x), each with its own full precision.
template <class Scalar>
struct Balance {
    Vec<Scalar> keep, renew;
};

template <class Scalar>
FRAMECAST_INLINE Balance<Scalar> logistic(Vec<Scalar> x) {
    const Vec<Scalar> e = decay<Scalar>(x);
    const Vec<Scalar> large = 1 / (1 + e);
    const Vec<Scalar> small = e * large;
    return {x >= 0 ? large : small, x >= 0 ? small : large};
}

// σ(f)/(σ(f)+σ(i)) and σ(i)/(σ(f)+σ(i)), without the underflow of both logistic functions:
// σ(i)/σ(f) = exp(m)·(1 + exp(−|f|))/(1 + exp(−|i|)) with m = max(−f, 0) − max(−i, 0).
template <class Scalar>
FRAMECAST_INLINE Balance<Scalar> share(Vec<Scalar> f, Vec<Scalar> i) {
    const Vec<Scalar> zero = {};
    const Vec<Scalar> m = (f < 0 ? -f : zero) - (i < 0 ? -i : zero);
    const Vec<Scalar> e = decay<Scalar>(m);
    const Vec<Scalar> p = 1 + decay<Scalar>(i);
    const Vec<Scalar> q = 1 + decay<Scalar>(f);
    const Vec<Scalar> keep = m > 0 ? e * p : p;
    const Vec<Scalar> renew = m > 0 ? q : e * q;
    const Vec<Scalar> total = 1 / (keep + renew);
    return {keep * total, renew * total};
}

template <class Scalar>
struct Curve {
    Vec<Scalar> value, slope;
};

// g(u) = u + 0.5 where u ≥ 0, σ(u) elsewhere.
template <class Scalar>
FRAMECAST_INLINE Curve<Scalar> candidate(Vec<Scalar> u) {
    const Vec<Scalar> one = Vec<Scalar>{} + 1;
    const Balance<Scalar> s = logistic<Scalar>(u);
    return {u >= 0 ? u + Scalar(0.5) : s.keep, u >= 0 ? one : s.keep * s.renew};
}

// tanh and its slope 4e/(1 + e)², e = exp(−2|x|): exact where 1 − tanh² would cancel.
template <class Scalar>
FRAMECAST_INLINE Curve<Scalar> hyperbolic_tangent(Vec<Scalar> x) {
    const Exponential<Scalar> parts = exponential<Scalar>(2 * minus_absolute(x));
    const Vec<Scalar> e = Exponential<Scalar>::one_plus(parts);
    const Vec<Scalar> below_one = Exponential<Scalar>::minus_one(parts);
    const Vec<Scalar> inverse = 1 / (2 + below_one);
    const Vec<Scalar> value = below_one * inverse;
    return {x < 0 ? value : -value, 4 * e * inverse * inverse};
}

// GELU in its form with tanh, z·σ(2p) with p = √(2/π)·(z + 0.044715·z³): no part cancels.
template <class Scalar>
FRAMECAST_INLINE Curve<Scalar> gelu(Vec<Scalar> z) {
    constexpr Scalar twice = Scalar(1.5957691216057307), cubic = Scalar(0.044715);  // 2·√(2/π)
    const Vec<Scalar> square = z * z;
    const Balance<Scalar> s = logistic<Scalar>(z * (cubic * square + 1) * twice);
    const Vec<Scalar> steepness = (3 * cubic * square + 1) * twice;
    return {z * s.keep, s.keep + z * s.keep * s.renew * steepness};
}

// ELU: z where z > 0, exp(z) − 1 elsewhere.
template <class Scalar>
FRAMECAST_INLINE Curve<Scalar> elu(Vec<Scalar> z) {
    const Exponential<Scalar> parts = exponential<Scalar>(minus_absolute(z));
    const Vec<Scalar> below = Exponential<Scalar>::minus_one(parts);
    return {z > 0 ? z : below, z > 0 ? Vec<Scalar>{} + 1 : below + 1};
}

}  // namespace framecast::FRAMECAST_SET
