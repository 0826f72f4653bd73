// SIMD vectors of the processor's width, functions of them, and memory that is aligned for them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "constants.h"

namespace assay {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__aarch64__)
constexpr int VECTOR_BYTES = 16;
#else
constexpr int VECTOR_BYTES = 32;
#endif
constexpr int PAD = 16;  // numbers of channels are padded to multiples of it

template <class T>
struct Lanes {
    static constexpr int count = VECTOR_BYTES / sizeof(T);
    typedef T Vector __attribute__((vector_size(VECTOR_BYTES), may_alias));
};
template <class T>
using Vector = typename Lanes<T>::Vector;

template <class T>
inline Vector<T> load(const T* p) { return *reinterpret_cast<const Vector<T>*>(p); }
template <class T>
inline void store(T* p, Vector<T> x) { *reinterpret_cast<Vector<T>*>(p) = x; }
// Keeps a compiler from reading ``x`` from memory again at each of its uses.
template <class T>
inline void keep_in_register(Vector<T>& x) {
#if defined(__x86_64__) && defined(__AVX__)
    asm("" : "+x"(x));
#elif defined(__aarch64__)
    asm("" : "+w"(x));
#endif
}
template <class T>
inline T lane_sum(Vector<T> x) {
    T total = 0;
    for (int k = 0; k < Lanes<T>::count; ++k) total += x[k];
    return total;
}

inline int64_t padded(int64_t n) { return (n + PAD - 1) / PAD * PAD; }

// Aligned memory that grows with what is asked for and never shrinks.
template <class T>
struct Buffer {
    std::unique_ptr<T, void (*)(void*)> data{nullptr, std::free};
    size_t size = 0;
    T* get(size_t n) {
        if (n > size) {
            size = (n + n / 4 + 63) / 64 * 64;
            data.reset(static_cast<T*>(std::aligned_alloc(64, size * sizeof(T) / 64 * 64 + 64)));
            if (!data) {
                size = 0;
                throw std::bad_alloc();
            }
        }
        return data.get();
    }
};

// The exponential function, with an error of 2 ulp at most.
inline Vector<float> exponential(Vector<float> x) {
    typedef int32_t Integers __attribute__((vector_size(VECTOR_BYTES)));
    x = x < -87.0f ? Vector<float>{} - 87.0f : x;
    x = x > 88.0f ? Vector<float>{} + 88.0f : x;
    const Vector<float> scaled = x * 1.44269504088896341f;
    const Vector<float> half = scaled < 0.0f ? Vector<float>{} - 0.5f : Vector<float>{} + 0.5f;
    const Integers n = __builtin_convertvector(scaled + half, Integers);
    const Vector<float> whole = __builtin_convertvector(n, Vector<float>);
    const Vector<float> f = (x - whole * 0.693359375f) - whole * -2.12194440e-4f;
    Vector<float> p = Vector<float>{} + 1.9875691500e-4f;
    p = p * f + 1.3981999507e-3f;
    p = p * f + 8.3334519073e-3f;
    p = p * f + 4.1665795894e-2f;
    p = p * f + 1.6666665459e-1f;
    p = p * f + 5.0000001201e-1f;
    p = p * f * f + f + 1.0f;
    const Integers power = (n + 127) << 23;
    return p * (Vector<float>)power;
}

inline Vector<double> exponential(Vector<double> x) {
    for (int k = 0; k < Lanes<double>::count; ++k) x[k] = std::exp(x[k]);
    return x;
}

template <class T>
inline Vector<T> logistic(Vector<T> x) { return T(1) / (T(1) + exponential(-x)); }

// log(1 + exp(x)), and x itself from where PyTorch takes it for that. With y = exp(-|x|) the logarithm of 1 + y is
// 2 artanh(y / (2 + y)); for an argument of at most 1/3 its series has converged after so many terms.
template <class T>
inline Vector<T> softplus(Vector<T> x) {
    constexpr int TERMS = sizeof(T) == 4 ? 8 : 17;
    const Vector<T> y = exponential(x < 0 ? x : -x), z = y / (T(2) + y), square = z * z;
    Vector<T> series = {};
    for (int k = TERMS; k-- > 0;) series = series * square + T(1) / T(2 * k + 1);
    return x > T(SOFTPLUS_IS_LINEAR_FROM) ? x : (x > 0 ? x : Vector<T>{}) + T(2) * z * series;
}

// y = activation(x).
template <class T>
void activate(int64_t activation, int64_t n, const T* x, T* y) {
    const T shift = activation == SHIFTED_SOFTPLUS ? T(std::log(2.0)) : T(0);
    for (int64_t k = 0; k < n; k += Lanes<T>::count) {
        const Vector<T> z = load(x + k);
        store(y + k, activation == SILU ? z * logistic<T>(z) : softplus<T>(z) - shift);
    }
}

// Multiplies ``gradient`` by the derivative of the activation at x.
template <class T>
void activation_gradient(int64_t activation, int64_t n, const T* x, T* gradient) {
    for (int64_t k = 0; k < n; k += Lanes<T>::count) {
        const Vector<T> z = load(x + k), l = logistic<T>(z);
        const Vector<T> slope = activation == SILU                 ? l * (T(1) + z * (T(1) - l))
                                : z > T(SOFTPLUS_IS_LINEAR_FROM) ? Vector<T>{} + T(1)
                                                                   : l;
        store(gradient + k, load(gradient + k) * slope);
    }
}

}  // namespace assay
