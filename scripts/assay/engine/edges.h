// The sum of messages over the neighbors of an atom, and its adjoint.
//
// The filters w of an edge are the product of its radial basis and a matrix of the block. They scale messages of
// scalars, new vectors along the edge, carried vectors and, for rank 2, new tensors and carried tensors. Filters are
// computed in registers, for a few edges and one vector of channels at a time, and never stored. In single precision,
// where no gradients of parameters are asked for, they are read from a table (splines.h).
#pragma once

#include <algorithm>
#include <vector>

#include "linear.h"
#include "splines.h"
#include "tensors.h"

namespace assay {

constexpr int EDGES_AT_ONCE = 4;  // edges whose filters are computed together

// The n edges of one center: the neighbor, R radial functions and their slopes, the unit vector and its tensor of each.
// With a table the SPLINES splines take the place of radial functions, and ``row`` is that of the first of them.
template <class T>
struct Edges {
    int64_t n;
    const int32_t *neighbor, *row;
    const T *basis, *basis_slope, *direction, *tensor;
};

// The rows of H channels that features up to a rank consist of.
template <int RANK>
struct Features {
    static constexpr int FILTERS = N_FILTERS[RANK];          // filters of an edge
    static constexpr int COMPONENTS = RANK == 1 ? 4 : 9;     // s and the components of v and t
    static constexpr int MESSAGE_ROWS = COMPONENTS + RANK;   // x_s; x_u and the components of x_v; x_q and those of x_t
};

template <class T, int RANK>
class Filters {
   public:
    static constexpr int FILTERS = Features<RANK>::FILTERS, COMPONENTS = Features<RANK>::COMPONENTS,
                         MESSAGE_ROWS = Features<RANK>::MESSAGE_ROWS;

    // H is the padded number of channels, R the number of radial functions, and one more for a bias.
    Filters(int64_t H, int64_t R) : H(H), R(R) { weights = Linear<T>::aligned(storage, size()); }
    Filters(Filters&&) = default;

    size_t size() const { return H * FILTERS * R; }
    // The index of a weight: [H / lanes, R, FILTERS, lanes].
    size_t place(int64_t r, int64_t filter, int64_t h) const {
        constexpr int64_t W = Lanes<T>::count;
        return ((h / W * R + r) * FILTERS + filter) * W + h % W;
    }
    T* data() { return weights; }

    // Fills the table: a row for each spline and vector of channels, [H / lanes, rows, FILTERS, lanes].
    void tabulate(const RadialSplines<T>& splines, int64_t n_functions) {
        constexpr int64_t WIDTH = FILTERS * Lanes<T>::count;
        rows = splines.rows;
        table = Linear<T>::aligned(table_storage, H * FILTERS * rows);
        for (int64_t block = 0; block < H / Lanes<T>::count; ++block)
            for (int64_t row = 0; row < rows; ++row) {
                const T* f = weights + block * R * WIDTH;
                double total[WIDTH] = {};
                for (int64_t r = 0; r < R; ++r, f += WIDTH) {  // at each distance all splines together are 1, as the bias
                    const double coefficient = r < n_functions ? splines.coefficients(row)[r] : 1.0;
                    for (int64_t k = 0; k < WIDTH; ++k) total[k] += coefficient * f[k];
                }
                std::copy_n(total, WIDTH, table + (block * rows + row) * WIDTH);
            }
    }

    // Adds the messages to s, v and t of one center: sum_j w_s x_s, sum_j (u w_u x_u + w_v x_v) and, for rank 2,
    // sum_j (q w_q x_q + w_t x_t), with the unit vector u and the tensor q of each edge. A row of ``messages`` holds
    // x_s, x_u, x_v, x_q and x_t of one atom. The first block has no x_v and x_t, and writes v and t.
    template <bool FIRST, bool TABLE>
    [[gnu::noinline]] void add_messages(const T* messages, const Edges<T>& edges, T* ds, T* dv, T* dt) const {
        constexpr int W = Lanes<T>::count;
        for (int64_t h = 0; h < H; h += W) {
            Vector<T> s = load(ds + h), v[3], t[5];
            for (int k = 0; k < 3; ++k) v[k] = FIRST ? Vector<T>{} : load(dv + k * H + h);
            if constexpr (RANK == 2)
                for (int k = 0; k < 5; ++k) t[k] = FIRST ? Vector<T>{} : load(dt + k * H + h);
            for_edges<TABLE ? 1 : EDGES_AT_ONCE>(edges.n, [&](int64_t e, auto width) {
                constexpr int G = decltype(width)::value;
                Vector<T> w[FILTERS][G];
                if constexpr (TABLE) read<false>(h, edges, e, w, w);
                else evaluate<G>(h, edges.basis + e * R, w);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) {
                    const T* x = messages + int64_t(edges.neighbor[e + g]) * MESSAGE_ROWS * H + h;
                    const T* u = edges.direction + 3 * (e + g);
                    s += w[0][g] * load(x);
                    const Vector<T> vector = w[1][g] * load(x + H);
                    for (int k = 0; k < 3; ++k) {
                        v[k] += u[k] * vector;
                        if (!FIRST) v[k] += w[2][g] * load(x + (2 + k) * H);
                    }
                    if constexpr (RANK == 2) {
                        const T* q = edges.tensor + 5 * (e + g);
                        const Vector<T> tensor = w[3][g] * load(x + 5 * H);
                        for (int k = 0; k < 5; ++k) {
                            t[k] += q[k] * tensor;
                            if (!FIRST) t[k] += w[4][g] * load(x + (6 + k) * H);
                        }
                    }
                }
            });
            store(ds + h, s);
            for (int k = 0; k < 3; ++k) store(dv + k * H + h, v[k]);
            if constexpr (RANK == 2)
                for (int k = 0; k < 5; ++k) store(dt + k * H + h, t[k]);
        }
    }

    // The adjoint of ``add_messages`` for one center. By the symmetry of the neighbor relation it reads the same
    // neighbors: the cotangents of the center's messages come from the features' cotangents at its neighbors, and those
    // of its edges and of the filters from its own. A row of ``cotangents`` holds those of s, v and t of one atom.
    //
    // Writes ``message_cotangents``, which forces alone do not need of the first block: its messages come from elements
    // and not from positions. With FORCES it adds to the cotangents of the distance and of the direction of each
    // edge, with GRADIENTS to the gradient of the filters, in the order of ``place``. ``partial`` is scratch memory of
    // COMPONENTS * lanes * n numbers.
    template <bool FIRST, bool FORCES, bool GRADIENTS, bool TABLE>
    [[gnu::noinline]] void add_messages_adjoint(const T* messages, const T* cotangents, int64_t atom,
                                                const Edges<T>& edges, T* message_cotangents, T* distance_cotangent,
                                                T* direction_cotangent, T* partial, T* gradient) const {
        constexpr int W = Lanes<T>::count;
        if (FORCES) std::fill_n(partial, COMPONENTS * W * edges.n, T(0));
        for (int64_t h = 0; h < H; h += W) {
            Vector<T> center[COMPONENTS], out[MESSAGE_ROWS] = {};
            for (int k = 0; k < COMPONENTS; ++k) center[k] = load(cotangents + (atom * COMPONENTS + k) * H + h);
            for_edges<TABLE ? 1 : EDGES_AT_ONCE>(edges.n, [&](int64_t e, auto width) {
                constexpr int G = decltype(width)::value;
                Vector<T> w[FILTERS][G], w_slope[FILTERS][G], w_cotangent[FILTERS][G];
                if constexpr (TABLE) read<FORCES>(h, edges, e, w, w_slope);
                else evaluate<G>(h, edges.basis + e * R, w);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) {
                    const T* x = messages + int64_t(edges.neighbor[e + g]) * MESSAGE_ROWS * H + h;
                    const T* u = edges.direction + 3 * (e + g);
                    const T* neighbor = cotangents + int64_t(edges.neighbor[e + g]) * COMPONENTS * H + h;
                    T* edge_partial = partial + COMPONENTS * (e + g) * W;
                    w_cotangent[0][g] = center[0] * load(x);
                    out[0] += w[0][g] * load(neighbor);
                    rank_adjoint<FIRST, FORCES, 3, -1>(u, center + 1, neighbor + H, x + H, w[1][g], w[2][g], out + 1,
                                                       w_cotangent[1][g], w_cotangent[2][g], edge_partial + W);
                    if constexpr (RANK == 2)
                        rank_adjoint<FIRST, FORCES, 5, 1>(edges.tensor + 5 * (e + g), center + 4, neighbor + 4 * H,
                                                          x + 5 * H, w[3][g], w[4][g], out + 5, w_cotangent[3][g],
                                                          w_cotangent[4][g], edge_partial + 4 * W);
                }
                if (FORCES) {
                    if constexpr (!TABLE) evaluate<G>(h, edges.basis_slope + e * R, w_slope);
#pragma GCC unroll 4
                    for (int g = 0; g < G; ++g) {
                        Vector<T> total = w_slope[0][g] * w_cotangent[0][g];
#pragma GCC unroll 8
                        for (int p = 1; p < FILTERS; ++p)
                            if (!FIRST || p % 2 == 1) total += w_slope[p][g] * w_cotangent[p][g];
                        add(partial + COMPONENTS * (e + g) * W, total);
                    }
                }
                if (GRADIENTS) add_gradient<G>(edges.basis + e * R, w_cotangent, gradient + h * FILTERS * R);
            });
            if (!FIRST || GRADIENTS)
                for (int k = 0; k < MESSAGE_ROWS; ++k) store(message_cotangents + k * H + h, out[k]);
        }
        if (!FORCES) return;
        for (int64_t e = 0; e < edges.n; ++e) {
            T total[COMPONENTS];
            for (int k = 0; k < COMPONENTS; ++k) total[k] = lane_sum<T>(load(partial + (COMPONENTS * e + k) * W));
            distance_cotangent[e] += total[0];
            for (int k = 0; k < 3; ++k) direction_cotangent[3 * e + k] += total[1 + k];
            if constexpr (RANK == 2) {
                T half[3];  // half of what the tensor adds, for it is quadratic in the direction
                contraction<T>(total + 4, edges.direction + 3 * e, half);
                for (int k = 0; k < 3; ++k) direction_cotangent[3 * e + k] += 2 * half[k];
            }
        }
    }

   private:
    const int64_t H, R;
    int64_t rows = 0;
    std::vector<T> storage, table_storage;
    T *weights, *table = nullptr;

    static void add(T* place, Vector<T> x) { store(place, load(place) + x); }

    // Calls ``work`` for AT_ONCE edges at a time, and for each of the remaining ones.
    template <int AT_ONCE, class F>
    static void for_edges(int64_t n, F&& work) {
        int64_t e = 0;
        for (; e + AT_ONCE <= n; e += AT_ONCE) work(e, std::integral_constant<int, AT_ONCE>{});
        for (; e < n; ++e) work(e, std::integral_constant<int, 1>{});
    }

    // Adds the part of one edge to the adjoint of sum_j (direction w_new x_new + w_carried x_carried), for features of
    // N components. ``center`` and ``neighbor`` are the features' cotangents at both atoms; ``x`` and its cotangent
    // ``out`` begin with the new message. PARITY is that of the direction under reversal of the edge.
    template <bool FIRST, bool FORCES, int N, int PARITY>
    void rank_adjoint(const T* direction, const Vector<T>* center, const T* neighbor, const T* x, Vector<T> w_new,
                      Vector<T> w_carried, Vector<T>* out, Vector<T>& w_new_cotangent, Vector<T>& w_carried_cotangent,
                      T* partial) const {
        constexpr int W = Lanes<T>::count;
        Vector<T> along_neighbor = {}, along_center = {}, carried_center = {};
        const Vector<T> x_new = load(x);
        for (int k = 0; k < N; ++k) {
            const Vector<T> cotangent = load(neighbor + k * H);
            along_neighbor += direction[k] * cotangent;
            along_center += direction[k] * center[k];
            if (!FIRST) {
                out[1 + k] += w_carried * cotangent;
                carried_center += center[k] * load(x + (1 + k) * H);
            }
        }
        out[0] += PARITY < 0 ? -(w_new * along_neighbor) : w_new * along_neighbor;
        w_new_cotangent = along_center * x_new;
        w_carried_cotangent = carried_center;
        if (FORCES) {
            const Vector<T> weight = w_new * x_new;
            for (int k = 0; k < N; ++k) add(partial + k * W, center[k] * weight);
        }
    }

    // Computes the filters w of G edges for one vector of channels from h on.
    template <int G>
    void evaluate(int64_t h, const T* basis, Vector<T> (&w)[FILTERS][G]) const {
        constexpr int W = Lanes<T>::count;
        const T* f = weights + h * FILTERS * R;
#pragma GCC unroll 8
        for (int p = 0; p < FILTERS; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) w[p][g] = Vector<T>{};
        for (int64_t r = 0; r < R; ++r, f += FILTERS * W) {
#pragma GCC unroll 8
            for (int p = 0; p < FILTERS; ++p) {
                Vector<T> row = load(f + p * W);
                keep_in_register<T>(row);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) w[p][g] += basis[g * R + r] * row;
            }
        }
    }

    // Reads the filters w of one edge from the table and, with SLOPES, their derivatives by the distance.
    template <bool SLOPES>
    void read(int64_t h, const Edges<T>& edges, int64_t e, Vector<T> (&w)[FILTERS][1],
              Vector<T> (&w_slope)[FILTERS][1]) const {
        constexpr int W = Lanes<T>::count;
        const T* f = table + (h / W * rows + edges.row[e]) * FILTERS * W;
        const T *spline = edges.basis + e * SPLINES, *slope = edges.basis_slope + e * SPLINES;
        Vector<T> sum[FILTERS] = {}, slope_sum[FILTERS] = {};
#pragma GCC unroll 6
        for (int k = 0; k < SPLINES; ++k, f += FILTERS * W)
#pragma GCC unroll 8
            for (int p = 0; p < FILTERS; ++p) {
                const Vector<T> row = load(f + p * W);
                sum[p] += spline[k] * row;
                if (SLOPES) slope_sum[p] += slope[k] * row;
            }
        for (int p = 0; p < FILTERS; ++p) {
            w[p][0] = sum[p];
            if (SLOPES) w_slope[p][0] = slope_sum[p];
        }
    }

    template <int G>
    void add_gradient(const T* basis, const Vector<T> (&w_cotangent)[FILTERS][G], T* gradient) const {
        constexpr int W = Lanes<T>::count;
        for (int64_t r = 0; r < R; ++r, gradient += FILTERS * W) {
#pragma GCC unroll 8
            for (int p = 0; p < FILTERS; ++p) {
                Vector<T> total = load(gradient + p * W);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) total += basis[g * R + r] * w_cotangent[p][g];
                store(gradient + p * W, total);
            }
        }
    }
};

}  // namespace assay
