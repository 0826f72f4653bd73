// Products with traceless symmetric tensors of the second rank, as those of assay/models/tensors.py: five components,
// xy, yz, zz, xz and xx - yy.
#pragma once

#include <cstdint>

namespace assay {

constexpr double HALF_ROOT = 0.8660254037844386;  // of three

// The tensor of two vectors.
template <class T>
inline void product(const T* a, const T* b, T* t) {
    const T half = T(HALF_ROOT), xx = a[0] * b[0], yy = a[1] * b[1];
    t[0] = half * (a[0] * b[1] + a[1] * b[0]);
    t[1] = half * (a[1] * b[2] + a[2] * b[1]);
    t[2] = a[2] * b[2] - T(0.5) * (xx + yy);
    t[3] = half * (a[0] * b[2] + a[2] * b[0]);
    t[4] = half * (xx - yy);
}

// The vector of a tensor and a vector: its product with a third one is that of the tensor with the product of the two.
template <class T>
inline void contraction(const T* t, const T* a, T* v) {
    const T half = T(HALF_ROOT), sideways = T(0.5) * t[2];
    v[0] = half * (t[4] * a[0] + t[0] * a[1] + t[3] * a[2]) - sideways * a[0];
    v[1] = half * (t[0] * a[0] - t[4] * a[1] + t[1] * a[2]) - sideways * a[1];
    v[2] = half * (t[3] * a[0] + t[1] * a[1]) + t[2] * a[2];
}

}  // namespace assay
