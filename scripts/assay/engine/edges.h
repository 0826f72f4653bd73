// The sums over neighbors: messages to an atom, and their adjoint.
//
// A filter w (three channels' worth for scalars, radial vectors and vectors) is a product of the edge's radial basis and
// the block's matrix. It is made in registers for one block of channels of a few edges, used, and forgotten.
#pragma once

#include <algorithm>
#include <vector>

#include "linear.h"

namespace assay {

constexpr int EDGES_AT_ONCE = 4;

// The edges of one atom; rows of R radial functions (``slope``: their derivatives) and of three for unit vectors.
template <class T>
struct Neighbors {
    int64_t n;
    const int64_t* atom;
    const T *basis, *slope, *unit;
};

template <class T>
class Filters {
   public:
    // H: channels, padded; R: radial functions, one more for the bias where there is one.
    Filters(int64_t H, int64_t R) : H(H), R(R) { weights = Linear<T>::aligned(storage, size()); }
    Filters(Filters&&) = default;

    size_t size() const { return H * 3 * R; }
    // [channels / lanes, R, 3, lanes]
    size_t place(int64_t r, int64_t piece, int64_t h) const {
        constexpr int64_t W = Lanes<T>::count;
        return ((h / W * R + r) * 3 + piece) * W + h % W;
    }
    T* data() { return weights; }

    // ds += sum_j w_s x_s; dv += sum_j (u w_r x_r + w_v x_v), for one atom. ``messages``: rows of five times H, x_s, x_r
    // and the three components of x_v, which the first block does not have.
    template <bool FIRST>
    void gather(const T* messages, const Neighbors<T>& edges, T* ds, T* dv) const {
        constexpr int W = Lanes<T>::count;
        for (int64_t h = 0; h < H; h += W) {
            Vector<T> s = load(ds + h), v[3];
            for (int k = 0; k < 3; ++k) v[k] = FIRST ? Vector<T>{} : load(dv + k * H + h);
            in_groups(edges.n, [&](int64_t e, auto width) {
                constexpr int G = decltype(width)::value;
                Vector<T> w[3][G];
                make<G>(h, edges.basis + e * R, w);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) {
                    const T* x = messages + edges.atom[e + g] * 5 * H + h;
                    const T* u = edges.unit + 3 * (e + g);
                    s += w[0][g] * load(x);
                    const Vector<T> radial = w[1][g] * load(x + H);
                    for (int k = 0; k < 3; ++k) {
                        v[k] += u[k] * radial;
                        if (!FIRST) v[k] += w[2][g] * load(x + (2 + k) * H);
                    }
                }
            });
            store(ds + h, s);
            for (int k = 0; k < 3; ++k) store(dv + k * H + h, v[k]);
        }
    }

    // The adjoint of ``gather`` for one atom. By the symmetry of the neighbor relation it reads the same neighbors:
    // what flows into the atom's own messages comes from their cotangents, and what flows from the atom's own cotangents
    // goes into its edges and the filters. ``bars``: rows of four times H, the cotangents of s and of v.
    //
    // message_bars: five times H, written. along, turn: derivatives in the distance and the direction of each edge, added
    // to (FORCES). gradient: of the filters, in the order of ``place``, added to (GRADIENTS). partial: scratch of 4 W n.
    template <bool FIRST, bool FORCES, bool GRADIENTS>
    void scatterless(const T* messages, const T* bars, int64_t atom, const Neighbors<T>& edges, T* message_bars, T* along,
                     T* turn, T* partial, T* gradient) const {
        constexpr int W = Lanes<T>::count;
        if (FORCES) std::fill_n(partial, 4 * W * edges.n, T(0));
        for (int64_t h = 0; h < H; h += W) {
            const T* own = bars + atom * 4 * H + h;
            const Vector<T> s_bar = load(own), v_bar[3] = {load(own + H), load(own + 2 * H), load(own + 3 * H)};
            Vector<T> out[5] = {};
            in_groups(edges.n, [&](int64_t e, auto width) {
                constexpr int G = decltype(width)::value;
                Vector<T> w[3][G], w_bar[3][G];
                make<G>(h, edges.basis + e * R, w);
#pragma GCC unroll 4
                for (int g = 0; g < G; ++g) {
                    const T *x = messages + edges.atom[e + g] * 5 * H + h, *u = edges.unit + 3 * (e + g);
                    const T* theirs = bars + edges.atom[e + g] * 4 * H + h;
                    Vector<T> back = {}, forth = {};
                    w_bar[2][g] = Vector<T>{};
                    out[0] += w[0][g] * load(theirs);
                    for (int k = 0; k < 3; ++k) {
                        const Vector<T> bar = load(theirs + (1 + k) * H);
                        back -= u[k] * bar;
                        forth += u[k] * v_bar[k];
                        if (!FIRST) {
                            out[2 + k] += w[2][g] * bar;
                            w_bar[2][g] += v_bar[k] * load(x + (2 + k) * H);
                        }
                    }
                    out[1] += w[1][g] * back;
                    const Vector<T> x_r = load(x + H);
                    w_bar[0][g] = s_bar * load(x);
                    w_bar[1][g] = forth * x_r;
                    if (FORCES)
                        for (int k = 0; k < 3; ++k) add(partial + (4 * (e + g) + k) * W, v_bar[k] * w[1][g] * x_r);
                }
                if (FORCES) {
                    make<G>(h, edges.slope + e * R, w);
#pragma GCC unroll 4
                    for (int g = 0; g < G; ++g)
                        add(partial + (4 * (e + g) + 3) * W,
                            w[0][g] * w_bar[0][g] + w[1][g] * w_bar[1][g] + w[2][g] * w_bar[2][g]);
                }
                if (GRADIENTS) add_gradient<G>(edges.basis + e * R, w_bar, gradient + h * 3 * R);
            });
            for (int k = 0; k < 5; ++k) store(message_bars + k * H + h, out[k]);
        }
        if (!FORCES) return;
        for (int64_t e = 0; e < edges.n; ++e) {
            for (int k = 0; k < 3; ++k) turn[3 * e + k] += sum<T>(load(partial + (4 * e + k) * W));
            along[e] += sum<T>(load(partial + (4 * e + 3) * W));
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

    template <int G>
    void make(int64_t h, const T* basis, Vector<T> (&w)[3][G]) const {
        constexpr int W = Lanes<T>::count;
        const T* f = weights + h * 3 * R;
#pragma GCC unroll 4
        for (int g = 0; g < G; ++g) w[0][g] = w[1][g] = w[2][g] = Vector<T>{};
        for (int64_t r = 0; r < R; ++r, f += 3 * W) {
            Vector<T> f0 = load(f), f1 = load(f + W), f2 = load(f + 2 * W);
            in_register<T>(f0), in_register<T>(f1), in_register<T>(f2);
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) {
                const T b = basis[g * R + r];
                w[0][g] += b * f0;
                w[1][g] += b * f1;
                w[2][g] += b * f2;
            }
        }
    }

    template <int G>
    void add_gradient(const T* basis, const Vector<T> (&w_bar)[3][G], T* gradient) const {
        constexpr int W = Lanes<T>::count;
        for (int64_t r = 0; r < R; ++r, gradient += 3 * W) {
            Vector<T> g0 = load(gradient), g1 = load(gradient + W), g2 = load(gradient + 2 * W);
#pragma GCC unroll 4
            for (int g = 0; g < G; ++g) {
                const T b = basis[g * R + r];
                g0 += b * w_bar[0][g];
                g1 += b * w_bar[1][g];
                g2 += b * w_bar[2][g];
            }
            store(gradient, g0);
            store(gradient + W, g1);
            store(gradient + 2 * W, g2);
        }
    }
};

}  // namespace assay
