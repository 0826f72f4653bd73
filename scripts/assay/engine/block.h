// One round of messages and the update after it, forward and backward, for the atoms of one group.
#pragma once

#include <cstring>

#include "edges.h"
#include "pairs.h"

namespace assay {

template <class T>
struct Input {
    int64_t n_atoms, n_structures, n_edges;
    const int64_t *numbers, *batch, *neighbor, *atom;
    const T *positions, *shift;
    const double* weights;
};

struct Group {  // whole structures: atoms [begin, end)
    int64_t begin, end;
};

struct Wanted {
    bool forces, virial, gradients;
};

// What a thread keeps from call to call.
template <class T>
struct Space {
    Buffer<T> gradients, atoms, edges, partial;
    Buffer<int64_t> lists;
    std::vector<double> forces, virial;
};

// What is kept of one block from its forward to its backward pass; rows of atoms.
template <class T>
struct Saved {
    T *s, *v, *c, *a, *x, *messages, *middle, *v_middle, *mixed, *h, *g, *y;
};

// One group on its way through the network, as one thread of its team sees it: the team shares the rows, and the thread
// fills those of its own atoms [lo, hi).
template <class T>
struct Pass {
    const Input<T>& in;
    const Wanted wanted;
    const int64_t begin, E0, lo, hi, n;
    const int team;
    Space<T>& mine;
    std::vector<Saved<T>> saved;
    std::vector<T*> before, after;  // activations of the head's layers
    T *s, *v, *bars, *message_bars, *s_bar, *v_bar, *narrow, *pair;
    T *basis, *slope, *unit, *distance, *along, *turn;
    int64_t *neighbor, *count, *place, most_neighbors = 1;

    void meet() const {
        if (team > 1) {
#pragma omp barrier
        }
    }
    Neighbors<T> edges(int64_t i, int64_t R) const {
        const int64_t e = place[i];
        return {count[i], neighbor + e, basis + e * R, slope + e * R, unit + 3 * e};
    }
};

template <class T>
class Block {
   public:
    Linear<T> filter, context0, context2, mix, update0, update2;
    Filters<T> filters;   // the weights of ``filter``, as sums over neighbors want them
    size_t gradient = 0;  // place of the filters' in a thread's gradients

    explicit Block(const Settings& set)
        : filter(set.n_rbf, 1, set.hidden, 3, set.filter_bias != 0), context0(set.hidden, 1, set.hidden, 1, true),
          context2(set.hidden, 1, set.hidden, 3, true), mix(set.hidden, 1, set.hidden, 2, false),
          update0(set.hidden, 2, set.hidden, 1, true), update2(set.hidden, 1, set.hidden, 3, true),
          filters(padded(set.hidden), set.n_rbf + (set.filter_bias ? 1 : 0)), H(padded(set.hidden)),
          R(set.n_rbf + (set.filter_bias ? 1 : 0)), epsilon(set.epsilon) {}

    std::vector<Linear<T>*> atomwise() { return {&context0, &context2, &mix, &update0, &update2}; }

    void forward(Pass<T>& p, Saved<T>& keep, bool is_first) const {
        const int64_t lo = p.lo, n = p.n;
        std::memcpy(keep.s + lo * H, p.s + lo * H, n * H * sizeof(T));
        if (!is_first) std::memcpy(keep.v + lo * 3 * H, p.v + lo * 3 * H, n * 3 * H * sizeof(T));
        context0.apply(n, keep.s + lo * H, keep.c + lo * H);
        silu(n * H, keep.c + lo * H, keep.a + lo * H);
        context2.apply(n, keep.a + lo * H, keep.x + lo * 3 * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            T* out = keep.messages + i * 5 * H;
            const T *x = keep.x + i * 3 * H, *vectors = keep.v + i * 3 * H;
            std::memcpy(out, x, 2 * H * sizeof(T));
            if (is_first) continue;
            for (int64_t k = 0; k < 3; ++k)
                for (int64_t h = 0; h < H; ++h) out[(2 + k) * H + h] = x[2 * H + h] * vectors[k * H + h];
        }
        p.meet();
        for (int64_t i = lo; i < p.hi; ++i) {
            T *s = p.s + i * H, *v = p.v + i * 3 * H;
            if (is_first)
                filters.template gather<true>(keep.messages, p.edges(i, R), s, v);
            else
                filters.template gather<false>(keep.messages, p.edges(i, R), s, v);
            std::memcpy(keep.middle + i * 2 * H, s, H * sizeof(T));
            std::memcpy(keep.v_middle + i * 3 * H, v, 3 * H * sizeof(T));
        }
        mix.apply(3 * n, keep.v_middle + lo * 3 * H, keep.mixed + lo * 6 * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            const T* m = keep.mixed + i * 6 * H;
            T* norm = keep.middle + i * 2 * H + H;
            for (int64_t h = 0; h < H; ++h)
                norm[h] = std::sqrt(m[h] * m[h] + m[2 * H + h] * m[2 * H + h] + m[4 * H + h] * m[4 * H + h] +
                                    epsilon);
        }
        update0.apply(n, keep.middle + lo * 2 * H, keep.h + lo * H);
        silu(n * H, keep.h + lo * H, keep.g + lo * H);
        update2.apply(n, keep.g + lo * H, keep.y + lo * 3 * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *m = keep.mixed + i * 6 * H, *y = keep.y + i * 3 * H;
            T *s = p.s + i * H, *v = p.v + i * 3 * H;
            for (int64_t h = 0; h < H; ++h) {
                T dot = 0;
                for (int64_t k = 0; k < 3; ++k) {
                    const T right = m[(2 * k + 1) * H + h];
                    dot += m[2 * k * H + h] * right;
                    v[k * H + h] += y[H + h] * right;
                }
                s[h] += y[h] + y[2 * H + h] * dot;
            }
        }
    }

    void backward(Pass<T>& p, Saved<T>& keep, bool is_first) const {
        update_backward(p, keep);
        p.meet();  // nobody reads the cotangents of the block above any more
        for (int64_t i = p.lo; i < p.hi; ++i) {
            T *out = p.bars + i * 4 * H, *s_bar = p.s_bar + i * H, *v_bar = p.v_bar + i * 3 * H;
            for (int64_t h = 0; h < H; ++h) out[h] = s_bar[h] += p.pair[i * 2 * H + h];
            for (int64_t h = 0; h < 3 * H; ++h) out[H + h] = v_bar[h] += p.narrow[i * 3 * H + h];
        }
        p.meet();
        auto sums = [&](auto first_, auto forces_, auto gradients_) {
            T *partial = p.mine.partial.get(4 * Lanes<T>::count * p.most_neighbors), *gradients = nullptr;
            if (gradients_.value) gradients = p.mine.gradients.get(0) + gradient;
            for (int64_t i = p.lo; i < p.hi; ++i)
                filters.template scatterless<first_.value, forces_.value, gradients_.value>(
                    keep.messages, p.bars, i, p.edges(i, R), p.message_bars + i * 5 * H, p.along + p.place[i],
                    p.turn + 3 * p.place[i], partial, gradients);
        };
        auto choose = [&](auto first_) {
            constexpr std::true_type yes;
            constexpr std::false_type no;
            if (p.wanted.forces && p.wanted.gradients) sums(first_, yes, yes);
            else if (p.wanted.forces) sums(first_, yes, no);
            else sums(first_, no, yes);
        };
        is_first ? choose(std::true_type{}) : choose(std::false_type{});
        context_backward(p, keep, is_first);
    }

   private:
    const int64_t H, R;
    const T epsilon;

    // From the cotangents of a block's output to ``pair`` and ``narrow``: what they add to those of s and v before the
    // atom-wise update.
    void update_backward(Pass<T>& p, Saved<T>& keep) const {
        const int64_t lo = p.lo, n = p.n;
        T* gradients = p.wanted.gradients ? p.mine.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *m = keep.mixed + i * 6 * H, *s_bar = p.s_bar + i * H, *v_bar = p.v_bar + i * 3 * H;
            T* y_bar = p.narrow + i * 3 * H;
            for (int64_t h = 0; h < H; ++h) {
                T dot = 0, gate = 0;
                for (int64_t k = 0; k < 3; ++k) {
                    const T right = m[(2 * k + 1) * H + h];
                    dot += m[2 * k * H + h] * right;
                    gate += v_bar[k * H + h] * right;
                }
                y_bar[h] = s_bar[h];
                y_bar[H + h] = gate;
                y_bar[2 * H + h] = s_bar[h] * dot;
            }
        }
        if (gradients) update2.add_gradient(n, keep.g + lo * H, p.narrow + lo * 3 * H, gradients);
        T* h_bar = keep.g;
        update2.apply_transposed(n, p.narrow + lo * 3 * H, h_bar + lo * H);
        silu_gradient(n * H, keep.h + lo * H, h_bar + lo * H);
        if (gradients) update0.add_gradient(n, keep.middle + lo * 2 * H, h_bar + lo * H, gradients);
        update0.apply_transposed(n, h_bar + lo * H, p.pair + lo * 2 * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            T* m = keep.mixed + i * 6 * H;
            const T *y = keep.y + i * 3 * H, *s_bar = p.s_bar + i * H, *v_bar = p.v_bar + i * 3 * H;
            const T *norm_bar = p.pair + i * 2 * H + H, *norm = keep.middle + i * 2 * H + H;
            for (int64_t h = 0; h < H; ++h) {
                const T scale = s_bar[h] * y[2 * H + h], pull = norm_bar[h] / norm[h], gate = y[H + h];
                for (int64_t k = 0; k < 3; ++k) {
                    const T left = m[2 * k * H + h], right = m[(2 * k + 1) * H + h];
                    m[2 * k * H + h] = scale * right + pull * left;
                    m[(2 * k + 1) * H + h] = gate * v_bar[k * H + h] + scale * left;
                }
            }
        }
        if (gradients) mix.add_gradient(3 * n, keep.v_middle + lo * 3 * H, keep.mixed + lo * 6 * H, gradients);
        mix.apply_transposed(3 * n, keep.mixed + lo * 6 * H, p.narrow + lo * 3 * H);
    }

    // From ``message_bars`` to the cotangents of the block's input.
    void context_backward(Pass<T>& p, Saved<T>& keep, bool is_first) const {
        const int64_t lo = p.lo, n = p.n;
        T* gradients = p.wanted.gradients ? p.mine.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *bar = p.message_bars + i * 5 * H, *x = keep.x + i * 3 * H, *vectors = keep.v + i * 3 * H;
            T *x_bar = p.narrow + i * 3 * H, *v_bar = p.v_bar + i * 3 * H;
            std::memcpy(x_bar, bar, 2 * H * sizeof(T));
            std::memset(x_bar + 2 * H, 0, H * sizeof(T));
            if (is_first) continue;
            for (int64_t k = 0; k < 3; ++k)
                for (int64_t h = 0; h < H; ++h) {
                    x_bar[2 * H + h] += bar[(2 + k) * H + h] * vectors[k * H + h];
                    v_bar[k * H + h] += bar[(2 + k) * H + h] * x[2 * H + h];
                }
        }
        if (gradients) context2.add_gradient(n, keep.a + lo * H, p.narrow + lo * 3 * H, gradients);
        T* c_bar = keep.a;
        context2.apply_transposed(n, p.narrow + lo * 3 * H, c_bar + lo * H);
        silu_gradient(n * H, keep.c + lo * H, c_bar + lo * H);
        if (gradients) context0.add_gradient(n, keep.s + lo * H, c_bar + lo * H, gradients);
        T *s_bar = p.s_bar + lo * H, *more = p.pair + lo * 2 * H;
        context0.apply_transposed(n, c_bar + lo * H, more);
        for (int64_t k = 0; k < n * H; ++k) s_bar[k] += more[k];
    }
};

}  // namespace assay
