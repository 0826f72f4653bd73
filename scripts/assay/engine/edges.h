// The sums over neighbors: messages to an atom, and their adjoint.
//
// A filter w (channels for scalars, radial vectors and vectors, and with tensors for radial tensors and tensors) is a
// product of the edge's radial basis and the block's matrix. It is made in registers for one block of channels of a few
// edges, used, and forgotten.
#pragma once

#include <algorithm>
#include <vector>

#include "linear.h"
#include "tensors.h"

namespace assay {

constexpr int EDGES_AT_ONCE = 4;

// The edges of one atom; rows of R radial functions (``slope``: their derivatives), of three for unit vectors and of five
// for their tensors.
template <class T>
struct Neighbors {
    int64_t n;
    const int64_t* atom;
    const T *basis, *slope, *unit, *tensor;
};

// What features up to a rank are made of.
template <int RANK>
struct Features {
    static constexpr int PIECES = 1 + 2 * RANK;     // of a filter
    static constexpr int ROWS = RANK == 1 ? 4 : 9;  // s and the components of v and t
    static constexpr int MESSAGES = ROWS + RANK;    // x_s, x_r, the components of x_v, x_rt, those of x_t
};

template <class T, int RANK>
class Filters {
   public:
    static constexpr int PIECES = Features<RANK>::PIECES, ROWS = Features<RANK>::ROWS,
                         MESSAGES = Features<RANK>::MESSAGES;

    // H: channels, padded; R: radial functions, one more for the bias where there is one.
    Filters(int64_t H, int64_t R) : H(H), R(R) { weights = Linear<T>::aligned(storage, size()); }
    Filters(Filters&&) = default;

    size_t size() const { return H * PIECES * R; }
    // [channels / lanes, R, PIECES, lanes]
    size_t place(int64_t r, int64_t piece, int64_t h) const {
        constexpr int64_t W = Lanes<T>::count;
        return ((h / W * R + r) * PIECES + piece) * W + h % W;
    }
    T* data() { return weights; }

    // Adds to s, v and t of one atom: sum_j w_s x_s, sum_j (u w_r x_r + w_v x_v) and, with the tensor q of the edge,
    // sum_j (q w_rt x_rt + w_t x_t). ``messages``: rows of x_s, x_r, the components of x_v, x_rt, those of x_t; the first
    // block has neither x_v nor x_t.
    template <bool FIRST>
    void gather(const T* messages, const Neighbors<T>& edges, T* ds, T* dv, T* dt) const {
        constexpr int W = Lanes<T>::count;
        for (int64_t h = 0; h < H; h += W) {
            Vector<T> s = load(ds + h), v[3], t[5];
            for (int k = 0; k < 3; ++k) v[k] = FIRST ? Vector<T>{} : load(dv + k * H + h);
            if constexpr (RANK == 2)
                for (int k = 0; k < 5; ++k) t[k] = FIRST ? Vector<T>{} : load(dt + k * H + h);
            in_groups(edges.n, [&](int64_t e, auto width) {
                constexpr int G = decltype(width)::value;
                Vector<T> w[PIECES][G];
                make<G>(h, edges.basis + e * R, w);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) {
                    const T* x = messages + edges.atom[e + g] * MESSAGES * H + h;
                    const T* u = edges.unit + 3 * (e + g);
                    s += w[0][g] * load(x);
                    const Vector<T> radial = w[1][g] * load(x + H);
                    for (int k = 0; k < 3; ++k) {
                        v[k] += u[k] * radial;
                        if (!FIRST) v[k] += w[2][g] * load(x + (2 + k) * H);
                    }
                    if constexpr (RANK == 2) {
                        const T* q = edges.tensor + 5 * (e + g);
                        const Vector<T> even = w[3][g] * load(x + 5 * H);
                        for (int k = 0; k < 5; ++k) {
                            t[k] += q[k] * even;
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

    // The adjoint of ``gather`` for one atom. By the symmetry of the neighbor relation it reads the same neighbors:
    // what flows into the atom's own messages comes from their cotangents, and what flows from the atom's own cotangents
    // goes into its edges and the filters. ``bars``: rows of the cotangents of s, v and t.
    //
    // message_bars: as ``messages``, written. along, turn: derivatives in the distance and the direction of each edge,
    // added to (FORCES). gradient: of the filters, in the order of ``place``, added to (GRADIENTS). partial: scratch of
    // ROWS W n.
    template <bool FIRST, bool FORCES, bool GRADIENTS>
    void scatterless(const T* messages, const T* bars, int64_t atom, const Neighbors<T>& edges, T* message_bars, T* along,
                     T* turn, T* partial, T* gradient) const {
        constexpr int W = Lanes<T>::count;
        if (FORCES) std::fill_n(partial, ROWS * W * edges.n, T(0));
        for (int64_t h = 0; h < H; h += W) {
            Vector<T> mine[ROWS], out[MESSAGES] = {};
            for (int k = 0; k < ROWS; ++k) mine[k] = load(bars + (atom * ROWS + k) * H + h);
            in_groups(edges.n, [&](int64_t e, auto width) {
                constexpr int G = decltype(width)::value;
                Vector<T> w[PIECES][G], w_bar[PIECES][G];
                make<G>(h, edges.basis + e * R, w);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) {
                    const T *x = messages + edges.atom[e + g] * MESSAGES * H + h, *u = edges.unit + 3 * (e + g);
                    const T* theirs = bars + edges.atom[e + g] * ROWS * H + h;
                    T* own = partial + ROWS * (e + g) * W;
                    w_bar[0][g] = mine[0] * load(x);
                    out[0] += w[0][g] * load(theirs);
                    along_direction<FIRST, FORCES, 3, -1>(u, mine + 1, theirs + H, x + H, w[1][g], w[2][g], out + 1,
                                                          w_bar[1][g], w_bar[2][g], own + W);
                    if constexpr (RANK == 2)
                        along_direction<FIRST, FORCES, 5, 1>(edges.tensor + 5 * (e + g), mine + 4, theirs + 4 * H,
                                                             x + 5 * H, w[3][g], w[4][g], out + 5, w_bar[3][g],
                                                             w_bar[4][g], own + 4 * W);
                }
                if (FORCES) {
                    make<G>(h, edges.slope + e * R, w);
#pragma GCC unroll 4
                    for (int g = 0; g < G; ++g) {
                        Vector<T> steep = w[0][g] * w_bar[0][g];
                        for (int p = 1; p < PIECES; ++p) steep += w[p][g] * w_bar[p][g];
                        add(partial + ROWS * (e + g) * W, steep);
                    }
                }
                if (GRADIENTS) add_gradient<G>(edges.basis + e * R, w_bar, gradient + h * PIECES * R);
            });
            for (int k = 0; k < MESSAGES; ++k) store(message_bars + k * H + h, out[k]);
        }
        if (!FORCES) return;
        for (int64_t e = 0; e < edges.n; ++e) {
            T total[ROWS];
            for (int k = 0; k < ROWS; ++k) total[k] = sum<T>(load(partial + (ROWS * e + k) * W));
            along[e] += total[0];
            for (int k = 0; k < 3; ++k) turn[3 * e + k] += total[1 + k];
            if constexpr (RANK == 2) {
                T bent[3];  // half of what the tensor of the direction adds
                contraction<T>(total + 4, edges.unit + 3 * e, bent);
                for (int k = 0; k < 3; ++k) turn[3 * e + k] += 2 * bent[k];
            }
        }
    }

   private:
    const int64_t H, R;
    std::vector<T> storage;
    T* weights;

    static void add(T* place, Vector<T> x) { store(place, load(place) + x); }

    template <class F>
    static void in_groups(int64_t n, F&& work) {
        int64_t e = 0;
        for (; e + EDGES_AT_ONCE <= n; e += EDGES_AT_ONCE) work(e, std::integral_constant<int, EDGES_AT_ONCE>{});
        for (; e < n; ++e) work(e, std::integral_constant<int, 1>{});
    }

    // What an edge adds to the adjoint of one rank, of N components: sum_j (direction w_new x_new + w_old x_old). ``out``
    // and ``x`` begin with the new message; PARITY is the direction's under reversal of the edge.
    template <bool FIRST, bool FORCES, int N, int PARITY>
    void along_direction(const T* direction, const Vector<T>* mine, const T* theirs, const T* x, Vector<T> w_new,
                         Vector<T> w_old, Vector<T>* out, Vector<T>& new_bar, Vector<T>& old_bar, T* partial) const {
        constexpr int W = Lanes<T>::count;
        Vector<T> back = {}, forth = {}, across = {};
        const Vector<T> x_new = load(x);
        for (int k = 0; k < N; ++k) {
            const Vector<T> bar = load(theirs + k * H);
            back += direction[k] * bar;
            forth += direction[k] * mine[k];
            if (!FIRST) {
                out[1 + k] += w_old * bar;
                across += mine[k] * load(x + (1 + k) * H);
            }
        }
        out[0] += PARITY < 0 ? -(w_new * back) : w_new * back;
        new_bar = forth * x_new;
        old_bar = across;
        if (FORCES) {
            const Vector<T> weight = w_new * x_new;
            for (int k = 0; k < N; ++k) add(partial + k * W, mine[k] * weight);
        }
    }

    template <int G>
    void make(int64_t h, const T* basis, Vector<T> (&w)[PIECES][G]) const {
        constexpr int W = Lanes<T>::count;
        const T* f = weights + h * PIECES * R;
#pragma GCC unroll 8
        for (int p = 0; p < PIECES; ++p)
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) w[p][g] = Vector<T>{};
        for (int64_t r = 0; r < R; ++r, f += PIECES * W) {
            Vector<T> row[PIECES];
#pragma GCC unroll 8
            for (int p = 0; p < PIECES; ++p) {
                row[p] = load(f + p * W);
                in_register<T>(row[p]);
            }
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) {
                const T b = basis[g * R + r];
#pragma GCC unroll 8
                for (int p = 0; p < PIECES; ++p) w[p][g] += b * row[p];
            }
        }
    }

    template <int G>
    void add_gradient(const T* basis, const Vector<T> (&w_bar)[PIECES][G], T* gradient) const {
        constexpr int W = Lanes<T>::count;
        for (int64_t r = 0; r < R; ++r, gradient += PIECES * W) {
#pragma GCC unroll 8
            for (int p = 0; p < PIECES; ++p) {
                Vector<T> total = load(gradient + p * W);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) total += basis[g * R + r] * w_bar[p][g];
                store(gradient + p * W, total);
            }
        }
    }
};

}  // namespace assay
