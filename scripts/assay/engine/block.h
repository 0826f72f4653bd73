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
    T *s, *v, *t, *c, *a, *x, *messages, *middle, *v_middle, *t_middle, *mixed, *t_mixed, *h, *g, *y;
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
    T *s, *v, *t, *s_bar, *v_bar, *t_bar, *bars, *message_bars, *x_bar, *y_bar, *seen_bar, *v_more, *t_more;
    T *basis, *slope, *unit, *tensor, *distance, *along, *turn;
    int64_t *neighbor, *count, *place, most_neighbors = 1;

    void meet() const {
        if (team > 1) {
#pragma omp barrier
        }
    }
    Neighbors<T> edges(int64_t i, int64_t R) const {
        const int64_t e = place[i];
        return {count[i], neighbor + e, basis + e * R, slope + e * R, unit + 3 * e, tensor + 5 * e};
    }
};

template <class T, int RANK>
class Block {
   public:
    static constexpr int PIECES = Features<RANK>::PIECES, ROWS = Features<RANK>::ROWS,
                         MESSAGES = Features<RANK>::MESSAGES, SEEN = RANK + 1, GATES = RANK == 1 ? 3 : 7;
    Linear<T> filter, context0, context2, mix, mix_tensors, update0, update2;
    Filters<T, RANK> filters;  // the weights of ``filter``, as sums over neighbors want them
    size_t gradient = 0;       // place of the filters' in a thread's gradients

    explicit Block(const Settings& set)
        : filter(set.n_rbf, 1, set.hidden, PIECES, set.filter_bias != 0),
          context0(set.hidden, 1, set.hidden, 1, true), context2(set.hidden, 1, set.hidden, PIECES, true),
          mix(set.hidden, 1, set.hidden, 2, false), mix_tensors(set.hidden, 1, set.hidden, 2, false),
          update0(set.hidden, SEEN, set.hidden, 1, true), update2(set.hidden, 1, set.hidden, GATES, true),
          filters(padded(set.hidden), set.n_rbf + (set.filter_bias ? 1 : 0)), H(padded(set.hidden)),
          R(set.n_rbf + (set.filter_bias ? 1 : 0)), epsilon(set.epsilon) {}

    // In the order of the model's parameters.
    std::vector<Linear<T>*> atomwise() {
        if (RANK == 1) return {&context0, &context2, &mix, &update0, &update2};
        return {&context0, &context2, &mix, &mix_tensors, &update0, &update2};
    }

    void forward(Pass<T>& p, Saved<T>& keep, bool is_first) const {
        const int64_t lo = p.lo, n = p.n;
        std::memcpy(keep.s + lo * H, p.s + lo * H, n * H * sizeof(T));
        if (!is_first) {
            std::memcpy(keep.v + lo * 3 * H, p.v + lo * 3 * H, n * 3 * H * sizeof(T));
            if (RANK == 2) std::memcpy(keep.t + lo * 5 * H, p.t + lo * 5 * H, n * 5 * H * sizeof(T));
        }
        context0.apply(n, keep.s + lo * H, keep.c + lo * H);
        silu(n * H, keep.c + lo * H, keep.a + lo * H);
        context2.apply(n, keep.a + lo * H, keep.x + lo * PIECES * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            T* out = keep.messages + i * MESSAGES * H;
            const T* x = keep.x + i * PIECES * H;
            std::memcpy(out, x, 2 * H * sizeof(T));
            if (!is_first) times<3>(x + 2 * H, keep.v + i * 3 * H, out + 2 * H);
            if constexpr (RANK == 2) {
                std::memcpy(out + 5 * H, x + 3 * H, H * sizeof(T));
                if (!is_first) times<5>(x + 4 * H, keep.t + i * 5 * H, out + 6 * H);
            }
        }
        p.meet();
        for (int64_t i = lo; i < p.hi; ++i) {
            T *s = p.s + i * H, *v = p.v + i * 3 * H, *t = p.t + i * 5 * H;
            if (is_first)
                filters.template gather<true>(keep.messages, p.edges(i, R), s, v, t);
            else
                filters.template gather<false>(keep.messages, p.edges(i, R), s, v, t);
            std::memcpy(keep.middle + i * SEEN * H, s, H * sizeof(T));
            std::memcpy(keep.v_middle + i * 3 * H, v, 3 * H * sizeof(T));
            if (RANK == 2) std::memcpy(keep.t_middle + i * 5 * H, t, 5 * H * sizeof(T));
        }
        mix.apply(3 * n, keep.v_middle + lo * 3 * H, keep.mixed + lo * 6 * H);
        if (RANK == 2) mix_tensors.apply(5 * n, keep.t_middle + lo * 5 * H, keep.t_mixed + lo * 10 * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            T* seen = keep.middle + i * SEEN * H;
            norm<3>(keep.mixed + i * 6 * H, seen + H);
            if constexpr (RANK == 2) norm<5>(keep.t_mixed + i * 10 * H, seen + 2 * H);
        }
        update0.apply(n, keep.middle + lo * SEEN * H, keep.h + lo * H);
        silu(n * H, keep.h + lo * H, keep.g + lo * H);
        update2.apply(n, keep.g + lo * H, keep.y + lo * GATES * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *m = keep.mixed + i * 6 * H, *mt = keep.t_mixed + i * 10 * H, *y = keep.y + i * GATES * H;
            T *s = p.s + i * H, *v = p.v + i * 3 * H, *t = p.t + i * 5 * H;
#pragma omp simd
            for (int64_t h = 0; h < H; ++h) {
                T left[3], right[3], dot = 0;
                for (int k = 0; k < 3; ++k) {
                    left[k] = m[2 * k * H + h];
                    right[k] = m[(2 * k + 1) * H + h];
                    dot += left[k] * right[k];
                    v[k * H + h] += y[H + h] * right[k];
                }
                s[h] += y[h] + y[2 * H + h] * dot;
                if constexpr (RANK == 2) {
                    T left_t[5], right_t[5], turned[3], pair[5], dot_t = 0;
                    for (int k = 0; k < 5; ++k) {
                        left_t[k] = mt[2 * k * H + h];
                        right_t[k] = mt[(2 * k + 1) * H + h];
                        dot_t += left_t[k] * right_t[k];
                    }
                    contraction(right_t, right, turned);
                    product(left, right, pair);
                    s[h] += y[3 * H + h] * dot_t;
                    for (int k = 0; k < 3; ++k) v[k * H + h] += y[4 * H + h] * turned[k];
                    for (int k = 0; k < 5; ++k)
                        t[k * H + h] += y[5 * H + h] * right_t[k] + y[6 * H + h] * pair[k];
                }
            }
        }
    }

    void backward(Pass<T>& p, Saved<T>& keep, bool is_first) const {
        update_backward(p, keep);
        p.meet();  // nobody reads the cotangents of the block above any more
        for (int64_t i = p.lo; i < p.hi; ++i) {
            T* out = p.bars + i * ROWS * H;
            collect(1, p.seen_bar + i * SEEN * H, p.s_bar + i * H, out);
            collect(3, p.v_more + i * 3 * H, p.v_bar + i * 3 * H, out + H);
            if (RANK == 2) collect(5, p.t_more + i * 5 * H, p.t_bar + i * 5 * H, out + 4 * H);
        }
        p.meet();
        auto sums = [&](auto first_, auto forces_, auto gradients_) {
            T *partial = p.mine.partial.get(ROWS * Lanes<T>::count * p.most_neighbors), *gradients = nullptr;
            if (gradients_.value) gradients = p.mine.gradients.get(0) + gradient;
            for (int64_t i = p.lo; i < p.hi; ++i)
                filters.template scatterless<first_.value, forces_.value, gradients_.value>(
                    keep.messages, p.bars, i, p.edges(i, R), p.message_bars + i * MESSAGES * H,
                    p.along + p.place[i], p.turn + 3 * p.place[i], partial, gradients);
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

    // out = factor * features, of N components.
    template <int N>
    void times(const T* factor, const T* features, T* out) const {
        for (int k = 0; k < N; ++k)
            for (int64_t h = 0; h < H; ++h) out[k * H + h] = factor[h] * features[k * H + h];
    }

    // Norms of the left halves of mixed features of N components.
    template <int N>
    void norm(const T* mixed, T* out) const {
        for (int64_t h = 0; h < H; ++h) {
            T square = epsilon;
            for (int k = 0; k < N; ++k) square += mixed[2 * k * H + h] * mixed[2 * k * H + h];
            out[h] = std::sqrt(square);
        }
    }

    // total += more, and a copy of it.
    void collect(int64_t rows, const T* more, T* total, T* out) const {
        for (int64_t k = 0; k < rows * H; ++k) out[k] = total[k] += more[k];
    }

    // From the cotangents of a block's output to ``seen_bar``, ``v_more`` and ``t_more``: what they add to those of s, v
    // and t before the atom-wise update.
    void update_backward(Pass<T>& p, Saved<T>& keep) const {
        const int64_t lo = p.lo, n = p.n;
        T* gradients = p.wanted.gradients ? p.mine.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < p.hi; ++i) gate_backward(p, keep, i);
        if (gradients) update2.add_gradient(n, keep.g + lo * H, p.y_bar + lo * GATES * H, gradients);
        T* h_bar = keep.g;
        update2.apply_transposed(n, p.y_bar + lo * GATES * H, h_bar + lo * H);
        silu_gradient(n * H, keep.h + lo * H, h_bar + lo * H);
        if (gradients) update0.add_gradient(n, keep.middle + lo * SEEN * H, h_bar + lo * H, gradients);
        update0.apply_transposed(n, h_bar + lo * H, p.seen_bar + lo * SEEN * H);
        for (int64_t i = lo; i < p.hi; ++i) mixed_backward(p, keep, i);
        if (gradients) mix.add_gradient(3 * n, keep.v_middle + lo * 3 * H, keep.mixed + lo * 6 * H, gradients);
        mix.apply_transposed(3 * n, keep.mixed + lo * 6 * H, p.v_more + lo * 3 * H);
        if (RANK == 1) return;
        T* t_mixed = keep.t_mixed + lo * 10 * H;
        if (gradients) mix_tensors.add_gradient(5 * n, keep.t_middle + lo * 5 * H, t_mixed, gradients);
        mix_tensors.apply_transposed(5 * n, t_mixed, p.t_more + lo * 5 * H);
    }

    // The cotangents of one atom's gates.
    void gate_backward(Pass<T>& p, const Saved<T>& keep, int64_t i) const {
        const T *m = keep.mixed + i * 6 * H, *mt = keep.t_mixed + i * 10 * H;
        const T *s_bar = p.s_bar + i * H, *v_bar = p.v_bar + i * 3 * H, *t_bar = p.t_bar + i * 5 * H;
        T* y_bar = p.y_bar + i * GATES * H;
#pragma omp simd
        for (int64_t h = 0; h < H; ++h) {
            T left[3], right[3], dot = 0, gate = 0;
            for (int k = 0; k < 3; ++k) {
                left[k] = m[2 * k * H + h];
                right[k] = m[(2 * k + 1) * H + h];
                dot += left[k] * right[k];
                gate += v_bar[k * H + h] * right[k];
            }
            y_bar[h] = s_bar[h];
            y_bar[H + h] = gate;
            y_bar[2 * H + h] = s_bar[h] * dot;
            if constexpr (RANK == 2) {
                T right_t[5], turned[3], pair[5], dot_t = 0, turn = 0, gate_t = 0, of_pair = 0;
                for (int k = 0; k < 5; ++k) {
                    right_t[k] = mt[(2 * k + 1) * H + h];
                    dot_t += mt[2 * k * H + h] * right_t[k];
                    gate_t += t_bar[k * H + h] * right_t[k];
                }
                contraction(right_t, right, turned);
                product(left, right, pair);
                for (int k = 0; k < 3; ++k) turn += v_bar[k * H + h] * turned[k];
                for (int k = 0; k < 5; ++k) of_pair += t_bar[k * H + h] * pair[k];
                y_bar[3 * H + h] = s_bar[h] * dot_t;
                y_bar[4 * H + h] = turn;
                y_bar[5 * H + h] = gate_t;
                y_bar[6 * H + h] = of_pair;
            }
        }
    }

    // The cotangents of one atom's mixed features, in their place.
    void mixed_backward(Pass<T>& p, Saved<T>& keep, int64_t i) const {
        T *m = keep.mixed + i * 6 * H, *mt = keep.t_mixed + i * 10 * H;
        const T *y = keep.y + i * GATES * H, *norms = keep.middle + i * SEEN * H + H;
        const T* norm_bars = p.seen_bar + i * SEEN * H + H;
        const T *s_bar = p.s_bar + i * H, *v_bar = p.v_bar + i * 3 * H, *t_bar = p.t_bar + i * 5 * H;
#pragma omp simd
        for (int64_t h = 0; h < H; ++h) {
            const T scale = s_bar[h] * y[2 * H + h], pull = norm_bars[h] / norms[h], gate = y[H + h];
            T left[3], right[3], bar[3], left_bar[3], right_bar[3];
            for (int k = 0; k < 3; ++k) {
                left[k] = m[2 * k * H + h];
                right[k] = m[(2 * k + 1) * H + h];
                bar[k] = v_bar[k * H + h];
                left_bar[k] = scale * right[k] + pull * left[k];
                right_bar[k] = gate * bar[k] + scale * left[k];
            }
            if constexpr (RANK == 2) {
                const T scale_t = s_bar[h] * y[3 * H + h], pull_t = norm_bars[H + h] / norms[H + h];
                T right_t[5], bar_t[5], more[3], pair[5];
                for (int k = 0; k < 5; ++k) {
                    right_t[k] = mt[(2 * k + 1) * H + h];
                    bar_t[k] = t_bar[k * H + h];
                }
                contraction(right_t, bar, more);
                for (int k = 0; k < 3; ++k) right_bar[k] += y[4 * H + h] * more[k];
                contraction(bar_t, left, more);
                for (int k = 0; k < 3; ++k) right_bar[k] += y[6 * H + h] * more[k];
                contraction(bar_t, right, more);
                for (int k = 0; k < 3; ++k) left_bar[k] += y[6 * H + h] * more[k];
                product(bar, right, pair);
                for (int k = 0; k < 5; ++k) {
                    const T left_t = mt[2 * k * H + h];
                    mt[2 * k * H + h] = scale_t * right_t[k] + pull_t * left_t;
                    mt[(2 * k + 1) * H + h] = scale_t * left_t + y[4 * H + h] * pair[k] + y[5 * H + h] * bar_t[k];
                }
            }
            for (int k = 0; k < 3; ++k) {
                m[2 * k * H + h] = left_bar[k];
                m[(2 * k + 1) * H + h] = right_bar[k];
            }
        }
    }

    // From ``message_bars`` to the cotangents of the block's input.
    void context_backward(Pass<T>& p, Saved<T>& keep, bool is_first) const {
        const int64_t lo = p.lo, n = p.n;
        T* gradients = p.wanted.gradients ? p.mine.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *bar = p.message_bars + i * MESSAGES * H, *x = keep.x + i * PIECES * H;
            T* x_bar = p.x_bar + i * PIECES * H;
            std::memcpy(x_bar, bar, 2 * H * sizeof(T));
            carried_backward<3>(is_first, bar + 2 * H, x + 2 * H, keep.v + i * 3 * H, x_bar + 2 * H,
                                p.v_bar + i * 3 * H);
            if constexpr (RANK == 2) {
                std::memcpy(x_bar + 3 * H, bar + 5 * H, H * sizeof(T));
                carried_backward<5>(is_first, bar + 6 * H, x + 4 * H, keep.t + i * 5 * H, x_bar + 4 * H,
                                    p.t_bar + i * 5 * H);
            }
        }
        if (gradients) context2.add_gradient(n, keep.a + lo * H, p.x_bar + lo * PIECES * H, gradients);
        T* c_bar = keep.a;
        context2.apply_transposed(n, p.x_bar + lo * PIECES * H, c_bar + lo * H);
        silu_gradient(n * H, keep.c + lo * H, c_bar + lo * H);
        if (gradients) context0.add_gradient(n, keep.s + lo * H, c_bar + lo * H, gradients);
        T *s_bar = p.s_bar + lo * H, *more = p.seen_bar + lo * SEEN * H;
        context0.apply_transposed(n, c_bar + lo * H, more);
        for (int64_t k = 0; k < n * H; ++k) s_bar[k] += more[k];
    }

    // The adjoint of ``times``, added to the cotangents of the features; the first block has none.
    template <int N>
    void carried_backward(bool is_first, const T* bar, const T* factor, const T* features, T* factor_bar,
                          T* features_bar) const {
        std::memset(factor_bar, 0, H * sizeof(T));
        if (is_first) return;
        for (int k = 0; k < N; ++k)
            for (int64_t h = 0; h < H; ++h) {
                factor_bar[h] += bar[k * H + h] * features[k * H + h];
                features_bar[k * H + h] += bar[k * H + h] * factor[h];
            }
    }
};

}  // namespace assay
