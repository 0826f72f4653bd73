// The update of each atom by products of its own features: the second half of a block, forward and backward.
// docs/engine.md has the formulas.
#pragma once

#include <cmath>
#include <optional>

#include "pass.h"

namespace assay {

template <class T, int RANK>
class Update {
   public:
    static constexpr int INVARIANTS = RANK + 1, GATES = N_GATES[RANK];
    Linear<T> mix, mix_tensors, first, second;

    // After the last block nothing reads vectors and tensors, so that their gates are not computed, but for the
    // gradients of parameters: ``narrow`` is then the second layer without them.
    Update(const Hyperparameters& set, bool is_last)
        : mix(set.hidden, 1, set.hidden, 2, false), mix_tensors(set.hidden, 1, set.hidden, 2, false),
          first(set.hidden, INVARIANTS, set.hidden, 1, true), second(set.hidden, 1, set.hidden, GATES, true),
          H(padded(set.hidden)), activation(set.activation), epsilon(set.epsilon) {
        if (is_last) narrow.emplace(set.hidden, 1, set.hidden, RANK + 1, true);
    }

    // Copies the weights of the gates of scalars from those of ``second``.
    void set_narrow(const T* flat) {
        if (!narrow) return;
        const int64_t width = second.n_in, rows = second.n_out;
        std::vector<T> kept;
        for (int64_t gate : {0, 2, 3})
            if (gate <= RANK + 1) kept.insert(kept.end(), flat + gate * rows * width, flat + (gate + 1) * rows * width);
        const T* bias = flat + GATES * rows * width;
        for (int64_t gate : {0, 2, 3})
            if (gate <= RANK + 1) kept.insert(kept.end(), bias + gate * rows, bias + (gate + 1) * rows);
        narrow->set_weights(kept.data());
    }

    void forward(Pass<T>& p, Activations<T>& saved, const Chunk& chunk) const {
        if (narrow && !p.wanted.gradients) forward<true>(p, saved, *narrow, chunk);
        else forward<false>(p, saved, second, chunk);
    }

    // Computes, from the cotangents of the block's output, what the update adds to the cotangents of s, v and t before
    // it: ``invariants`` (its first part), ``v_summed`` and ``t_summed``.
    void backward(Pass<T>& p, Activations<T>& saved, const Chunk& chunk) const {
        if (narrow && !p.wanted.gradients) backward<true>(p, saved, *narrow, chunk);
        else backward<false>(p, saved, second, chunk);
    }

   private:
    const int64_t H, activation;
    const T epsilon;
    std::optional<Linear<T>> narrow;

    // The places of the gates in a row of them; a narrow row has those of scalars alone.
    template <bool NARROW>
    struct Gates {
        static constexpr int COUNT = NARROW ? RANK + 1 : GATES, V = 1, VV = NARROW ? 1 : 2, TT = VV + 1, TV = 4, T_ = 5,
                             PRODUCT = 6;
    };

    // out = norms of the left halves of mixed features of N components.
    template <int N>
    void norm(const T* mixed, T* out) const {
        for (int64_t h = 0; h < H; ++h) {
            T square = epsilon;
            for (int k = 0; k < N; ++k) square += mixed[2 * k * H + h] * mixed[2 * k * H + h];
            out[h] = std::sqrt(square);
        }
    }

    // Updates the features of a chunk by their products, with gates from ``last``, the second layer of the network of
    // gates.
    template <bool NARROW>
    void forward(Pass<T>& p, Activations<T>& saved, const Linear<T>& last, const Chunk& chunk) const {
        using G = Gates<NARROW>;
        const int64_t lo = chunk.lo, n = chunk.n();
        mix.apply(3 * n, saved.v_summed + lo * 3 * H, saved.v_mixed + lo * 6 * H);
        if (RANK == 2) mix_tensors.apply(5 * n, saved.t_summed + lo * 5 * H, saved.t_mixed + lo * 10 * H);
        for (int64_t i = lo; i < chunk.hi; ++i) {
            T* norms = saved.invariants + i * INVARIANTS * H + H;
            norm<3>(saved.v_mixed + i * 6 * H, norms);
            if constexpr (RANK == 2) norm<5>(saved.t_mixed + i * 10 * H, norms + H);
        }
        first.apply(n, saved.invariants + lo * INVARIANTS * H, saved.update_hidden + lo * H);
        activate(activation, n * H, saved.update_hidden + lo * H, saved.update_active + lo * H);
        last.apply(n, saved.update_active + lo * H, saved.gates + lo * G::COUNT * H);
        for (int64_t i = lo; i < chunk.hi; ++i) {
            const T *m = saved.v_mixed + i * 6 * H, *mt = saved.t_mixed + i * 10 * H;
            const T* y = saved.gates + i * G::COUNT * H;
            T *s = p.s + i * H, *v = p.v + i * 3 * H, *t = p.t + i * 5 * H;
#pragma omp simd
            for (int64_t h = 0; h < H; ++h) {
                T left[3], right[3], dot = 0;
                for (int k = 0; k < 3; ++k) {
                    left[k] = m[2 * k * H + h];
                    right[k] = m[(2 * k + 1) * H + h];
                    dot += left[k] * right[k];
                    if (!NARROW) v[k * H + h] += y[G::V * H + h] * right[k];
                }
                s[h] += y[h] + y[G::VV * H + h] * dot;
                if constexpr (RANK == 2) {
                    T left_t[5], right_t[5], contracted[3], outer[5], dot_t = 0;
                    for (int k = 0; k < 5; ++k) {
                        left_t[k] = mt[2 * k * H + h];
                        right_t[k] = mt[(2 * k + 1) * H + h];
                        dot_t += left_t[k] * right_t[k];
                    }
                    s[h] += y[G::TT * H + h] * dot_t;
                    if constexpr (!NARROW) {
                        contraction(right_t, right, contracted);
                        traceless_product(left, right, outer);
                        for (int k = 0; k < 3; ++k) v[k * H + h] += y[G::TV * H + h] * contracted[k];
                        for (int k = 0; k < 5; ++k)
                            t[k * H + h] += y[G::T_ * H + h] * right_t[k] + y[G::PRODUCT * H + h] * outer[k];
                    }
                }
            }
        }
    }

    template <bool NARROW>
    void backward(Pass<T>& p, Activations<T>& saved, const Linear<T>& last, const Chunk& chunk) const {
        const int64_t lo = chunk.lo, n = chunk.n();
        T* gradients = p.wanted.gradients ? p.workspace.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < chunk.hi; ++i) gate_backward<NARROW>(p, saved, i);
        const T* gates = p.cotangent.gates + lo * Gates<NARROW>::COUNT * H;
        if (gradients) last.add_gradient(n, saved.update_active + lo * H, gates, gradients);
        T* hidden = saved.update_active + lo * H;  // overwritten by its cotangent
        last.apply_transposed(n, gates, hidden);
        activation_gradient(activation, n * H, saved.update_hidden + lo * H, hidden);
        if (gradients) first.add_gradient(n, saved.invariants + lo * INVARIANTS * H, hidden, gradients);
        first.apply_transposed(n, hidden, p.cotangent.invariants + lo * INVARIANTS * H);
        for (int64_t i = lo; i < chunk.hi; ++i) mixed_backward<NARROW>(p, saved, i);
        if (gradients) mix.add_gradient(3 * n, saved.v_summed + lo * 3 * H, saved.v_mixed + lo * 6 * H, gradients);
        mix.apply_transposed(3 * n, saved.v_mixed + lo * 6 * H, p.cotangent.v_summed + lo * 3 * H);
        if (RANK == 1) return;
        T* t_mixed = saved.t_mixed + lo * 10 * H;
        if (gradients) mix_tensors.add_gradient(5 * n, saved.t_summed + lo * 5 * H, t_mixed, gradients);
        mix_tensors.apply_transposed(5 * n, t_mixed, p.cotangent.t_summed + lo * 5 * H);
    }

    // Computes the cotangents of the gates of one atom.
    template <bool NARROW>
    void gate_backward(Pass<T>& p, const Activations<T>& saved, int64_t i) const {
        using G = Gates<NARROW>;
        const T *m = saved.v_mixed + i * 6 * H, *mt = saved.t_mixed + i * 10 * H;
        const T *s_cotangent = p.cotangent.s + i * H, *v_cotangent = p.cotangent.v + i * 3 * H;
        const T* t_cotangent = p.cotangent.t + i * 5 * H;
        T* gates_cotangent = p.cotangent.gates + i * G::COUNT * H;
#pragma omp simd
        for (int64_t h = 0; h < H; ++h) {
            T left[3], right[3], dot = 0, v_gate = 0;
            for (int k = 0; k < 3; ++k) {
                left[k] = m[2 * k * H + h];
                right[k] = m[(2 * k + 1) * H + h];
                dot += left[k] * right[k];
                if (!NARROW) v_gate += v_cotangent[k * H + h] * right[k];
            }
            gates_cotangent[h] = s_cotangent[h];
            if (!NARROW) gates_cotangent[G::V * H + h] = v_gate;
            gates_cotangent[G::VV * H + h] = s_cotangent[h] * dot;
            if constexpr (RANK == 2) {
                T right_t[5], contracted[3], outer[5], dot_t = 0, tv_gate = 0, t_gate = 0, product_gate = 0;
                for (int k = 0; k < 5; ++k) {
                    right_t[k] = mt[(2 * k + 1) * H + h];
                    dot_t += mt[2 * k * H + h] * right_t[k];
                    if (!NARROW) t_gate += t_cotangent[k * H + h] * right_t[k];
                }
                gates_cotangent[G::TT * H + h] = s_cotangent[h] * dot_t;
                if constexpr (!NARROW) {
                    contraction(right_t, right, contracted);
                    traceless_product(left, right, outer);
                    for (int k = 0; k < 3; ++k) tv_gate += v_cotangent[k * H + h] * contracted[k];
                    for (int k = 0; k < 5; ++k) product_gate += t_cotangent[k * H + h] * outer[k];
                    gates_cotangent[G::TV * H + h] = tv_gate;
                    gates_cotangent[G::T_ * H + h] = t_gate;
                    gates_cotangent[G::PRODUCT * H + h] = product_gate;
                }
            }
        }
    }

    // Overwrites the mixed features of one atom by their cotangents.
    template <bool NARROW>
    void mixed_backward(Pass<T>& p, Activations<T>& saved, int64_t i) const {
        using G = Gates<NARROW>;
        T *m = saved.v_mixed + i * 6 * H, *mt = saved.t_mixed + i * 10 * H;
        const T *y = saved.gates + i * G::COUNT * H, *norms = saved.invariants + i * INVARIANTS * H + H;
        const T* norm_cotangents = p.cotangent.invariants + i * INVARIANTS * H + H;
        const T *s_cotangent = p.cotangent.s + i * H, *v_cotangent = p.cotangent.v + i * 3 * H;
        const T* t_cotangent = p.cotangent.t + i * 5 * H;
#pragma omp simd
        for (int64_t h = 0; h < H; ++h) {
            const T scale = s_cotangent[h] * y[G::VV * H + h], pull = norm_cotangents[h] / norms[h];
            T left[3], right[3], of_v[3], left_cotangent[3], right_cotangent[3];
            for (int k = 0; k < 3; ++k) {
                left[k] = m[2 * k * H + h];
                right[k] = m[(2 * k + 1) * H + h];
                left_cotangent[k] = scale * right[k] + pull * left[k];
                right_cotangent[k] = scale * left[k];
                if constexpr (!NARROW) {
                    of_v[k] = v_cotangent[k * H + h];
                    right_cotangent[k] += y[G::V * H + h] * of_v[k];
                }
            }
            if constexpr (RANK == 2) {
                const T scale_t = s_cotangent[h] * y[G::TT * H + h], pull_t = norm_cotangents[H + h] / norms[H + h];
                T right_t[5], of_t[5], more[3], outer[5];
                for (int k = 0; k < 5; ++k) right_t[k] = mt[(2 * k + 1) * H + h];
                if constexpr (!NARROW) {
                    for (int k = 0; k < 5; ++k) of_t[k] = t_cotangent[k * H + h];
                    contraction(right_t, of_v, more);
                    for (int k = 0; k < 3; ++k) right_cotangent[k] += y[G::TV * H + h] * more[k];
                    contraction(of_t, left, more);
                    for (int k = 0; k < 3; ++k) right_cotangent[k] += y[G::PRODUCT * H + h] * more[k];
                    contraction(of_t, right, more);
                    for (int k = 0; k < 3; ++k) left_cotangent[k] += y[G::PRODUCT * H + h] * more[k];
                    traceless_product(of_v, right, outer);
                }
                for (int k = 0; k < 5; ++k) {
                    const T left_t = mt[2 * k * H + h];
                    mt[2 * k * H + h] = scale_t * right_t[k] + pull_t * left_t;
                    T right_t_cotangent = scale_t * left_t;
                    if constexpr (!NARROW)
                        right_t_cotangent += y[G::TV * H + h] * outer[k] + y[G::T_ * H + h] * of_t[k];
                    mt[(2 * k + 1) * H + h] = right_t_cotangent;
                }
            }
            for (int k = 0; k < 3; ++k) {
                m[2 * k * H + h] = left_cotangent[k];
                m[(2 * k + 1) * H + h] = right_cotangent[k];
            }
        }
    }
};

}  // namespace assay
