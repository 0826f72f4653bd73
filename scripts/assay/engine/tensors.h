// Products with symmetric, traceless tensors of the second rank. They have five components, xy, yz, zz, xz and xx - yy,
// as in assay/models/tensors.py.
#pragma once

#include "constants.h"

namespace assay {

// Computes the symmetric, traceless part t of the outer product of two vectors.
template <class T>
inline void traceless_product(const T* a, const T* b, T* t) {
    const T half = T(HALF_ROOT), xx = a[0] * b[0], yy = a[1] * b[1];
    t[0] = half * (a[0] * b[1] + a[1] * b[0]);
    t[1] = half * (a[1] * b[2] + a[2] * b[1]);
    t[2] = a[2] * b[2] - T(0.5) * (xx + yy);
    t[3] = half * (a[0] * b[2] + a[2] * b[0]);
    t[4] = half * (xx - yy);
}

// Computes the product v of a tensor and a vector a, so that v . b = t : traceless_product(a, b) for every vector b.
template <class T>
inline void contraction(const T* t, const T* a, T* v) {
    const T half = T(HALF_ROOT), half_zz = T(0.5) * t[2];
    v[0] = half * (t[4] * a[0] + t[0] * a[1] + t[3] * a[2]) - half_zz * a[0];
    v[1] = half * (t[0] * a[0] - t[4] * a[1] + t[1] * a[2]) - half_zz * a[1];
    v[2] = half * (t[3] * a[0] + t[1] * a[1]) + t[2] * a[2];
}

}  // namespace assay
