// Products of small matrices, and the linear layers made of them.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "lanes.h"

namespace assay {

// The largest tile of a product that fits the vector registers.
constexpr int TILE_ROWS = 6, TILE_COLUMNS = VECTOR_BYTES == 32 ? 2 : 4;

// Computes a tile of C[r, :] = start + sum_k A(r, k) B[k, :] in registers, with A(r, k) = a[r * a_row + k * a_k]. The
// start is C itself (``accumulate``), ``bias``, or zero.
template <class T, int R, int C>
inline void tile(int64_t K, const T* a, int64_t a_row, int64_t a_k, const T* b, int64_t ldb, T* c, int64_t ldc,
                 const T* bias, bool accumulate) {
    constexpr int W = Lanes<T>::count;
    Vector<T> total[R][C];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int x = 0; x < C; ++x)
            total[r][x] = accumulate ? load(c + r * ldc + x * W) : bias ? load(bias + x * W) : Vector<T>{};
    for (int64_t k = 0; k < K; ++k) {
        Vector<T> row[C];
#pragma GCC unroll 8
        for (int x = 0; x < C; ++x) row[x] = load(b + k * ldb + x * W);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const T value = a[r * a_row + k * a_k];
#pragma GCC unroll 8
            for (int x = 0; x < C; ++x) total[r][x] += value * row[x];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int x = 0; x < C; ++x) store(c + r * ldc + x * W, total[r][x]);
}

// Computes C columns of a product, tile by tile.
template <class T, int C>
inline void rows(int64_t N, int64_t K, const T* a, int64_t a_row, int64_t a_k, const T* b, int64_t ldb, T* c,
                 int64_t ldc, const T* bias, bool accumulate) {
    int64_t r = 0;
    for (; r + TILE_ROWS <= N; r += TILE_ROWS)
        tile<T, TILE_ROWS, C>(K, a + r * a_row, a_row, a_k, b, ldb, c + r * ldc, ldc, bias, accumulate);
    const T* rest = a + r * a_row;
    T* out = c + r * ldc;
    switch (N - r) {
        case 5: tile<T, 5, C>(K, rest, a_row, a_k, b, ldb, out, ldc, bias, accumulate); break;
        case 4: tile<T, 4, C>(K, rest, a_row, a_k, b, ldb, out, ldc, bias, accumulate); break;
        case 3: tile<T, 3, C>(K, rest, a_row, a_k, b, ldb, out, ldc, bias, accumulate); break;
        case 2: tile<T, 2, C>(K, rest, a_row, a_k, b, ldb, out, ldc, bias, accumulate); break;
        case 1: tile<T, 1, C>(K, rest, a_row, a_k, b, ldb, out, ldc, bias, accumulate); break;
    }
}

// A matrix [rows, M], M a multiple of the vector's length. It is stored row by row or in panels of columns, each panel
// row by row, so that products read memory in its own order.
template <class T>
struct Matrix {
    static constexpr int64_t PANEL = TILE_COLUMNS * Lanes<T>::count;
    T* data;
    int64_t rows, M;
    bool in_panels;

    T* column(int64_t m) const { return in_panels ? data + m * rows : data + m; }
    int64_t stride(int64_t width) const { return in_panels ? width : M; }
    // The index of the element (r, m) in a matrix that is stored in panels.
    static int64_t place(int64_t rows, int64_t M, int64_t r, int64_t m) {
        const int64_t start = m / PANEL * PANEL, width = std::min(PANEL, M - start);
        return start * rows + r * width + m - start;
    }
};

// C[N, M] (+)= A[N, K] B[K, M] (+ bias[M]).
template <class T>
void matrix_product(int64_t N, int64_t K, const T* a, int64_t a_row, int64_t a_k, Matrix<const T> b, Matrix<T> c,
                    const T* bias, bool accumulate) {
    constexpr int W = Lanes<T>::count;
    int64_t m = 0;
    auto panel = [&](auto columns) {
        constexpr int C = decltype(columns)::value;
        rows<T, C>(N, K, a, a_row, a_k, b.column(m), b.stride(C * W), c.column(m), c.stride(C * W),
                   bias ? bias + m : nullptr, accumulate);
        m += C * W;
    };
    while (m + TILE_COLUMNS * W <= c.M) panel(std::integral_constant<int, TILE_COLUMNS>{});
    if constexpr (TILE_COLUMNS > 2) {
        if (c.M - m == 3 * W) panel(std::integral_constant<int, 3>{});
        if (c.M - m == 2 * W) panel(std::integral_constant<int, 2>{});
    }
    if (c.M - m == W) panel(std::integral_constant<int, 1>{});
}

// A linear layer. Its inputs and its outputs consist of pieces of equal size, each of which is padded.
template <class T>
struct Linear {
    int64_t n_in, n_out, in_pieces, out_pieces;  // sizes of a piece, and numbers of pieces
    bool has_bias;
    std::vector<T> forward_storage, backward_storage, bias_storage;
    T *forward = nullptr, *backward = nullptr, *bias = nullptr;  // [K, M] and [M, K] in panels, [M]
    int64_t K, M;
    size_t gradient = 0;  // the place of its gradients in those of a thread: [K, M] in panels, then [M]

    Linear(int64_t n_in, int64_t in_pieces, int64_t n_out, int64_t out_pieces, bool has_bias)
        : n_in(n_in), n_out(n_out), in_pieces(in_pieces), out_pieces(out_pieces), has_bias(has_bias),
          K(padded(n_in) * in_pieces), M(padded(n_out) * out_pieces) {
        forward = aligned(forward_storage, K * M);
        backward = aligned(backward_storage, K * M);
        bias = aligned(bias_storage, M);
    }
    static T* aligned(std::vector<T>& storage, size_t n) {
        storage.assign(n + 64, T(0));
        return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) / 64 * 64);
    }
    Linear(Linear&&) = default;
    Linear(const Linear&) = delete;

    int64_t place_in(int64_t k) const { return k / n_in * padded(n_in) + k % n_in; }
    int64_t place_out(int64_t m) const { return m / n_out * padded(n_out) + m % n_out; }
    int64_t place(int64_t k, int64_t m) const { return Matrix<T>::place(K, M, place_in(k), place_out(m)); }

    int64_t n_parameters() const { return n_out * out_pieces * (n_in * in_pieces + (has_bias ? 1 : 0)); }

    // Copies weights and bias from ``flat``, and returns where the next layer's begin; likewise ``write_gradient``.
    const T* set_weights(const T* flat) {
        for (int64_t m = 0; m < n_out * out_pieces; ++m)
            for (int64_t k = 0; k < n_in * in_pieces; ++k) {
                const T value = *flat++;
                forward[place(k, m)] = value;
                backward[Matrix<T>::place(M, K, place_out(m), place_in(k))] = value;
            }
        if (has_bias)
            for (int64_t m = 0; m < n_out * out_pieces; ++m) bias[place_out(m)] = *flat++;
        return flat;
    }
    T* write_gradient(const T* gradients, T* flat) const {
        const T* weights = gradients + gradient;
        for (int64_t m = 0; m < n_out * out_pieces; ++m)
            for (int64_t k = 0; k < n_in * in_pieces; ++k) *flat++ = weights[place(k, m)];
        if (has_bias)
            for (int64_t m = 0; m < n_out * out_pieces; ++m) *flat++ = weights[K * M + place_out(m)];
        return flat;
    }
    void apply(int64_t N, const T* x, T* y) const {
        matrix_product<T>(N, K, x, K, 1, {forward, K, M, true}, {y, N, M, false}, bias, false);
    }
    void apply_transposed(int64_t N, const T* y_cotangent, T* x_cotangent) const {
        matrix_product<T>(N, M, y_cotangent, M, 1, {backward, M, K, true}, {x_cotangent, N, K, false}, nullptr, false);
    }
    void add_gradient(int64_t N, const T* x, const T* y_cotangent, T* gradients) const {
        T* weights = gradients + gradient;
        matrix_product<T>(K, N, x, 1, K, {y_cotangent, N, M, false}, {weights, K, M, true}, nullptr, true);
        if (!has_bias) return;
        for (int64_t n = 0; n < N; ++n)
            for (int64_t m = 0; m < M; ++m) weights[K * M + m] += y_cotangent[n * M + m];
    }
};

}  // namespace assay
