// SIMD vectors of the processor's width, functions of them, and memory that is aligned for them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace assay {

#ifdef __AVX512F__
constexpr int VECTOR_BYTES = 64;
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

template <class T>
void silu(int64_t n, const T* x, T* y) {
    for (int64_t k = 0; k < n; k += Lanes<T>::count) {
        const Vector<T> z = load(x + k);
        store(y + k, z * logistic<T>(z));
    }
}

// Multiplies ``gradient`` by the derivative of silu at x.
template <class T>
void silu_gradient(int64_t n, const T* x, T* gradient) {
    for (int64_t k = 0; k < n; k += Lanes<T>::count) {
        const Vector<T> z = load(x + k), l = logistic<T>(z);
        store(gradient + k, load(gradient + k) * (l * (T(1) + z * (T(1) - l))));
    }
}

}  // namespace assay
