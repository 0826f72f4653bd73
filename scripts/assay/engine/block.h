// One interaction block, forward and backward, for the atoms of one group: messages from the neighbors, then the update
// of each atom. docs/engine.md has the formulas. The cotangent of a quantity is the derivative of the energy by it.
#pragma once

#include <cstring>

#include "call.h"
#include "edges.h"
#include "pairs.h"

namespace assay {

// Whole structures that are computed together: the atoms [begin, end). There is a row for each of them and, with
// ghosts, for all atoms.
struct Group {
    int64_t begin, end, rows;
};

// The results that a call asks for besides the energies.
struct Wanted {
    bool forces, virial, gradients;
};

// The memory of one thread, which is kept from call to call.
template <class T>
struct Workspace {
    Buffer<T> gradients, atoms, edges, partial;
    Buffer<int32_t> neighbors;
    Buffer<int64_t> lists;
    std::vector<double> forces, virial;
};

// What one block keeps from its forward to its backward pass, a row for each atom: the features before it, s, v, t, the
// layers of its context network, its messages, the features after the sum over neighbors, their mixed forms, the
// invariants [s, norms] that the update network reads, the layers of that network, and the gates that it gives.
template <class T>
struct Activations {
    T *s, *v, *t, *context_hidden, *context_active, *context, *messages, *invariants, *v_summed, *t_summed, *v_mixed,
        *t_mixed, *update_hidden, *update_active, *gates;
};

// The cotangents of one group: a row for each atom, but ``distance`` and ``direction`` for each edge. ``features`` are
// those of s, v and t in one row, as neighbors read them; ``v_summed`` and ``t_summed`` come from the mixed features.
template <class T>
struct Cotangents {
    T *s, *v, *t, *features, *messages, *context, *gates, *invariants, *v_summed, *t_summed, *distance, *direction;
};

// The computation of one group as one thread of its team sees it. The team shares all rows, of which the first n_local
// are those of the group's atoms and the rest those of ghosts; the thread computes those of its own n atoms, [lo, hi).
template <class T>
struct Pass {
    const Call& in;
    const Wanted wanted;
    const int64_t begin, edge_begin, n_local, n_rows, lo, hi, n;
    const int rank, team;
    Workspace<T>& workspace;
    const T* element_context;                 // a row for each element: outputs of the first block's context network
    double* atomic_energies;                  // of the group
    std::vector<Activations<T>> activations;  // one for each block
    std::vector<T*> head_in, head_out;        // inputs and outputs of the head's layers
    Cotangents<T> cotangent;
    T *s, *v, *t;                                            // one row for each atom
    T *basis, *basis_slope, *direction, *tensor, *distance;  // one row for each edge
    int32_t* neighbor;
    int64_t *n_neighbors, *first_edge, most_neighbors = 1;

    // Waits until all threads of the team are here.
    void barrier() const {
        if (team > 1) {
#pragma omp barrier
        }
    }
    // Waits until all threads have filled their rows, and fills those of the ghosts.
    void exchange(T* rows, int64_t width) const {
        barrier();
        if (!in.exchange) return;
        if (rank == 0) in.exchange(in.context, rows, width, 8 * sizeof(T));
        barrier();
    }
    Edges<T> edges(int64_t i, int64_t R) const {
        const int64_t e = first_edge[i];
        return {n_neighbors[i], neighbor + e, basis + e * R, basis_slope + e * R, direction + 3 * e, tensor + 5 * e};
    }
};

template <class T, int RANK>
class Block {
   public:
    static constexpr int FILTERS = Features<RANK>::FILTERS, COMPONENTS = Features<RANK>::COMPONENTS,
                         MESSAGE_ROWS = Features<RANK>::MESSAGE_ROWS, INVARIANTS = RANK + 1, GATES = N_GATES[RANK];
    Linear<T> filter, context0, context2, mix, mix_tensors, update0, update2;
    Filters<T, RANK> filters;  // the weights of ``filter`` in the order that sums over neighbors read them in
    size_t gradient = 0;       // the place of the filters' gradients in those of a thread

    explicit Block(const Hyperparameters& set)
        : filter(set.n_rbf, 1, set.hidden, FILTERS, set.filter_bias != 0),
          context0(set.hidden, 1, set.hidden, 1, true), context2(set.hidden, 1, set.hidden, FILTERS, true),
          mix(set.hidden, 1, set.hidden, 2, false), mix_tensors(set.hidden, 1, set.hidden, 2, false),
          update0(set.hidden, INVARIANTS, set.hidden, 1, true), update2(set.hidden, 1, set.hidden, GATES, true),
          filters(padded(set.hidden), set.n_rbf + (set.filter_bias ? 1 : 0)), H(padded(set.hidden)),
          R(set.n_rbf + (set.filter_bias ? 1 : 0)), activation(set.activation), epsilon(set.epsilon) {}

    // The layers that act on each atom, in the order of the model's parameters.
    std::vector<Linear<T>*> atomwise() {
        if (RANK == 1) return {&context0, &context2, &mix, &update0, &update2};
        return {&context0, &context2, &mix, &mix_tensors, &update0, &update2};
    }

    // Computes the outputs of the context network for n rows of scalars.
    void context_of(int64_t n, const T* s, Buffer<T>& out) const {
        Buffer<T> hidden;
        T* active = hidden.get(2 * n * H) + n * H;
        context0.apply(n, s, hidden.get(0));
        activate(activation, n * H, hidden.get(0), active);
        context2.apply(n, active, out.get(n * FILTERS * H));
    }

    void forward(Pass<T>& p, Activations<T>& saved, bool is_first) const {
        const int64_t lo = p.lo, n = p.n;
        std::memcpy(saved.s + lo * H, p.s + lo * H, n * H * sizeof(T));
        if (!is_first) {
            std::memcpy(saved.v + lo * 3 * H, p.v + lo * 3 * H, n * 3 * H * sizeof(T));
            if (RANK == 2) std::memcpy(saved.t + lo * 5 * H, p.t + lo * 5 * H, n * 5 * H * sizeof(T));
        }
        const bool by_element = is_first && !p.wanted.gradients;
        if (!by_element) {
            context0.apply(n, saved.s + lo * H, saved.context_hidden + lo * H);
            activate(activation, n * H, saved.context_hidden + lo * H, saved.context_active + lo * H);
            context2.apply(n, saved.context_active + lo * H, saved.context + lo * FILTERS * H);
        }
        auto write_message = [&](int64_t i) {
            T* out = saved.messages + i * MESSAGE_ROWS * H;
            const T* x = by_element ? p.element_context + p.in.numbers[p.begin + i] * FILTERS * H
                                    : saved.context + i * FILTERS * H;
            std::memcpy(out, x, 2 * H * sizeof(T));
            if (!is_first) scale<3>(x + 2 * H, saved.v + i * 3 * H, out + 2 * H);
            if constexpr (RANK == 2) {
                std::memcpy(out + 5 * H, x + 3 * H, H * sizeof(T));
                if (!is_first) scale<5>(x + 4 * H, saved.t + i * 5 * H, out + 6 * H);
            }
        };
        for (int64_t i = lo; i < p.hi; ++i) write_message(i);
        if (by_element) {
            if (p.rank == 0)
                for (int64_t i = p.n_local; i < p.n_rows; ++i) write_message(i);
            p.barrier();
        } else {
            p.exchange(saved.messages, MESSAGE_ROWS * H);
        }
        for (int64_t i = lo; i < p.hi; ++i) {
            T *s = p.s + i * H, *v = p.v + i * 3 * H, *t = p.t + i * 5 * H;
            if (is_first)
                filters.template add_messages<true>(saved.messages, p.edges(i, R), s, v, t);
            else
                filters.template add_messages<false>(saved.messages, p.edges(i, R), s, v, t);
            std::memcpy(saved.invariants + i * INVARIANTS * H, s, H * sizeof(T));
            std::memcpy(saved.v_summed + i * 3 * H, v, 3 * H * sizeof(T));
            if (RANK == 2) std::memcpy(saved.t_summed + i * 5 * H, t, 5 * H * sizeof(T));
        }
        mix.apply(3 * n, saved.v_summed + lo * 3 * H, saved.v_mixed + lo * 6 * H);
        if (RANK == 2) mix_tensors.apply(5 * n, saved.t_summed + lo * 5 * H, saved.t_mixed + lo * 10 * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            T* norms = saved.invariants + i * INVARIANTS * H + H;
            norm<3>(saved.v_mixed + i * 6 * H, norms);
            if constexpr (RANK == 2) norm<5>(saved.t_mixed + i * 10 * H, norms + H);
        }
        update0.apply(n, saved.invariants + lo * INVARIANTS * H, saved.update_hidden + lo * H);
        activate(activation, n * H, saved.update_hidden + lo * H, saved.update_active + lo * H);
        update2.apply(n, saved.update_active + lo * H, saved.gates + lo * GATES * H);
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *m = saved.v_mixed + i * 6 * H, *mt = saved.t_mixed + i * 10 * H, *y = saved.gates + i * GATES * H;
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
                    T left_t[5], right_t[5], contracted[3], outer[5], dot_t = 0;
                    for (int k = 0; k < 5; ++k) {
                        left_t[k] = mt[2 * k * H + h];
                        right_t[k] = mt[(2 * k + 1) * H + h];
                        dot_t += left_t[k] * right_t[k];
                    }
                    contraction(right_t, right, contracted);
                    traceless_product(left, right, outer);
                    s[h] += y[3 * H + h] * dot_t;
                    for (int k = 0; k < 3; ++k) v[k * H + h] += y[4 * H + h] * contracted[k];
                    for (int k = 0; k < 5; ++k)
                        t[k * H + h] += y[5 * H + h] * right_t[k] + y[6 * H + h] * outer[k];
                }
            }
        }
    }

    void backward(Pass<T>& p, Activations<T>& saved, bool is_first) const {
        update_backward(p, saved);
        p.barrier();  // no thread reads the cotangents of the block above any more
        for (int64_t i = p.lo; i < p.hi; ++i) {
            T* out = p.cotangent.features + i * COMPONENTS * H;
            add_and_copy(1, p.cotangent.invariants + i * INVARIANTS * H, p.cotangent.s + i * H, out);
            add_and_copy(3, p.cotangent.v_summed + i * 3 * H, p.cotangent.v + i * 3 * H, out + H);
            if (RANK == 2) add_and_copy(5, p.cotangent.t_summed + i * 5 * H, p.cotangent.t + i * 5 * H, out + 4 * H);
        }
        const bool only_edges = is_first && !p.wanted.gradients;  // no cotangent of a neighbor is needed
        if (only_edges) p.barrier();
        else p.exchange(p.cotangent.features, COMPONENTS * H);
        auto sums = [&](auto first_, auto forces_, auto gradients_) {
            T* partial = p.workspace.partial.get(COMPONENTS * Lanes<T>::count * p.most_neighbors);
            T* gradients = nullptr;
            if (gradients_.value) gradients = p.workspace.gradients.get(0) + gradient;
            for (int64_t i = p.lo; i < p.hi; ++i)
                filters.template add_messages_adjoint<first_.value, forces_.value, gradients_.value>(
                    saved.messages, p.cotangent.features, i, p.edges(i, R), p.cotangent.messages + i * MESSAGE_ROWS * H,
                    p.cotangent.distance + p.first_edge[i], p.cotangent.direction + 3 * p.first_edge[i], partial,
                    gradients);
        };
        auto dispatch = [&](auto first_) {
            constexpr std::true_type yes;
            constexpr std::false_type no;
            if (p.wanted.forces && p.wanted.gradients) sums(first_, yes, yes);
            else if (p.wanted.forces) sums(first_, yes, no);
            else sums(first_, no, yes);
        };
        is_first ? dispatch(std::true_type{}) : dispatch(std::false_type{});
        if (!only_edges) context_backward(p, saved, is_first);
    }

    int64_t n_parameters() const {
        int64_t total = 0;
        for (const auto* layer : {&filter, &context0, &context2, &mix, &update0, &update2}) total += layer->n_parameters();
        return RANK == 1 ? total : total + mix_tensors.n_parameters();
    }

   private:
    const int64_t H, R, activation;
    const T epsilon;

    // out = factor * features, for features of N components.
    template <int N>
    void scale(const T* factor, const T* features, T* out) const {
        for (int k = 0; k < N; ++k)
            for (int64_t h = 0; h < H; ++h) out[k * H + h] = factor[h] * features[k * H + h];
    }

    // out = norms of the left halves of mixed features of N components.
    template <int N>
    void norm(const T* mixed, T* out) const {
        for (int64_t h = 0; h < H; ++h) {
            T square = epsilon;
            for (int k = 0; k < N; ++k) square += mixed[2 * k * H + h] * mixed[2 * k * H + h];
            out[h] = std::sqrt(square);
        }
    }

    // Adds ``more`` to ``total`` and copies the sum to ``out``.
    void add_and_copy(int64_t rows, const T* more, T* total, T* out) const {
        for (int64_t k = 0; k < rows * H; ++k) out[k] = total[k] += more[k];
    }

    // Computes, from the cotangents of the block's output, what the update adds to the cotangents of s, v and t before
    // it: ``invariants`` (its first part), ``v_summed`` and ``t_summed``.
    void update_backward(Pass<T>& p, Activations<T>& saved) const {
        const int64_t lo = p.lo, n = p.n;
        T* gradients = p.wanted.gradients ? p.workspace.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < p.hi; ++i) gate_backward(p, saved, i);
        const T* gates = p.cotangent.gates + lo * GATES * H;
        if (gradients) update2.add_gradient(n, saved.update_active + lo * H, gates, gradients);
        T* hidden = saved.update_active + lo * H;  // overwritten by its cotangent
        update2.apply_transposed(n, gates, hidden);
        activation_gradient(activation, n * H, saved.update_hidden + lo * H, hidden);
        if (gradients) update0.add_gradient(n, saved.invariants + lo * INVARIANTS * H, hidden, gradients);
        update0.apply_transposed(n, hidden, p.cotangent.invariants + lo * INVARIANTS * H);
        for (int64_t i = lo; i < p.hi; ++i) mixed_backward(p, saved, i);
        if (gradients) mix.add_gradient(3 * n, saved.v_summed + lo * 3 * H, saved.v_mixed + lo * 6 * H, gradients);
        mix.apply_transposed(3 * n, saved.v_mixed + lo * 6 * H, p.cotangent.v_summed + lo * 3 * H);
        if (RANK == 1) return;
        T* t_mixed = saved.t_mixed + lo * 10 * H;
        if (gradients) mix_tensors.add_gradient(5 * n, saved.t_summed + lo * 5 * H, t_mixed, gradients);
        mix_tensors.apply_transposed(5 * n, t_mixed, p.cotangent.t_summed + lo * 5 * H);
    }

    // Computes the cotangents of the gates of one atom.
    void gate_backward(Pass<T>& p, const Activations<T>& saved, int64_t i) const {
        const T *m = saved.v_mixed + i * 6 * H, *mt = saved.t_mixed + i * 10 * H;
        const T *s_cotangent = p.cotangent.s + i * H, *v_cotangent = p.cotangent.v + i * 3 * H;
        const T* t_cotangent = p.cotangent.t + i * 5 * H;
        T* gates_cotangent = p.cotangent.gates + i * GATES * H;
#pragma omp simd
        for (int64_t h = 0; h < H; ++h) {
            T left[3], right[3], dot = 0, v_gate = 0;
            for (int k = 0; k < 3; ++k) {
                left[k] = m[2 * k * H + h];
                right[k] = m[(2 * k + 1) * H + h];
                dot += left[k] * right[k];
                v_gate += v_cotangent[k * H + h] * right[k];
            }
            gates_cotangent[h] = s_cotangent[h];
            gates_cotangent[H + h] = v_gate;
            gates_cotangent[2 * H + h] = s_cotangent[h] * dot;
            if constexpr (RANK == 2) {
                T right_t[5], contracted[3], outer[5], dot_t = 0, tv_gate = 0, t_gate = 0, product_gate = 0;
                for (int k = 0; k < 5; ++k) {
                    right_t[k] = mt[(2 * k + 1) * H + h];
                    dot_t += mt[2 * k * H + h] * right_t[k];
                    t_gate += t_cotangent[k * H + h] * right_t[k];
                }
                contraction(right_t, right, contracted);
                traceless_product(left, right, outer);
                for (int k = 0; k < 3; ++k) tv_gate += v_cotangent[k * H + h] * contracted[k];
                for (int k = 0; k < 5; ++k) product_gate += t_cotangent[k * H + h] * outer[k];
                gates_cotangent[3 * H + h] = s_cotangent[h] * dot_t;
                gates_cotangent[4 * H + h] = tv_gate;
                gates_cotangent[5 * H + h] = t_gate;
                gates_cotangent[6 * H + h] = product_gate;
            }
        }
    }

    // Overwrites the mixed features of one atom by their cotangents.
    void mixed_backward(Pass<T>& p, Activations<T>& saved, int64_t i) const {
        T *m = saved.v_mixed + i * 6 * H, *mt = saved.t_mixed + i * 10 * H;
        const T *y = saved.gates + i * GATES * H, *norms = saved.invariants + i * INVARIANTS * H + H;
        const T* norm_cotangents = p.cotangent.invariants + i * INVARIANTS * H + H;
        const T *s_cotangent = p.cotangent.s + i * H, *v_cotangent = p.cotangent.v + i * 3 * H;
        const T* t_cotangent = p.cotangent.t + i * 5 * H;
#pragma omp simd
        for (int64_t h = 0; h < H; ++h) {
            const T scale = s_cotangent[h] * y[2 * H + h], pull = norm_cotangents[h] / norms[h], gate = y[H + h];
            T left[3], right[3], of_v[3], left_cotangent[3], right_cotangent[3];
            for (int k = 0; k < 3; ++k) {
                left[k] = m[2 * k * H + h];
                right[k] = m[(2 * k + 1) * H + h];
                of_v[k] = v_cotangent[k * H + h];
                left_cotangent[k] = scale * right[k] + pull * left[k];
                right_cotangent[k] = gate * of_v[k] + scale * left[k];
            }
            if constexpr (RANK == 2) {
                const T scale_t = s_cotangent[h] * y[3 * H + h], pull_t = norm_cotangents[H + h] / norms[H + h];
                T right_t[5], of_t[5], more[3], outer[5];
                for (int k = 0; k < 5; ++k) {
                    right_t[k] = mt[(2 * k + 1) * H + h];
                    of_t[k] = t_cotangent[k * H + h];
                }
                contraction(right_t, of_v, more);
                for (int k = 0; k < 3; ++k) right_cotangent[k] += y[4 * H + h] * more[k];
                contraction(of_t, left, more);
                for (int k = 0; k < 3; ++k) right_cotangent[k] += y[6 * H + h] * more[k];
                contraction(of_t, right, more);
                for (int k = 0; k < 3; ++k) left_cotangent[k] += y[6 * H + h] * more[k];
                traceless_product(of_v, right, outer);
                for (int k = 0; k < 5; ++k) {
                    const T left_t = mt[2 * k * H + h];
                    mt[2 * k * H + h] = scale_t * right_t[k] + pull_t * left_t;
                    mt[(2 * k + 1) * H + h] = scale_t * left_t + y[4 * H + h] * outer[k] + y[5 * H + h] * of_t[k];
                }
            }
            for (int k = 0; k < 3; ++k) {
                m[2 * k * H + h] = left_cotangent[k];
                m[(2 * k + 1) * H + h] = right_cotangent[k];
            }
        }
    }

    // Computes the cotangents of the block's input from those of its messages.
    void context_backward(Pass<T>& p, Activations<T>& saved, bool is_first) const {
        const int64_t lo = p.lo, n = p.n;
        T* gradients = p.wanted.gradients ? p.workspace.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < p.hi; ++i) {
            const T *out = p.cotangent.messages + i * MESSAGE_ROWS * H, *x = saved.context + i * FILTERS * H;
            T* x_cotangent = p.cotangent.context + i * FILTERS * H;
            std::memcpy(x_cotangent, out, 2 * H * sizeof(T));
            scale_backward<3>(is_first, out + 2 * H, x + 2 * H, saved.v + i * 3 * H, x_cotangent + 2 * H,
                                p.cotangent.v + i * 3 * H);
            if constexpr (RANK == 2) {
                std::memcpy(x_cotangent + 3 * H, out + 5 * H, H * sizeof(T));
                scale_backward<5>(is_first, out + 6 * H, x + 4 * H, saved.t + i * 5 * H, x_cotangent + 4 * H,
                                    p.cotangent.t + i * 5 * H);
            }
        }
        const T* context = p.cotangent.context + lo * FILTERS * H;
        if (gradients) context2.add_gradient(n, saved.context_active + lo * H, context, gradients);
        T* hidden = saved.context_active + lo * H;  // overwritten by its cotangent
        context2.apply_transposed(n, context, hidden);
        activation_gradient(activation, n * H, saved.context_hidden + lo * H, hidden);
        if (gradients) context0.add_gradient(n, saved.s + lo * H, hidden, gradients);
        T *s_cotangent = p.cotangent.s + lo * H, *more = p.cotangent.invariants + lo * INVARIANTS * H;
        context0.apply_transposed(n, hidden, more);
        for (int64_t k = 0; k < n * H; ++k) s_cotangent[k] += more[k];
    }

    // The adjoint of ``scale``. It adds to the cotangents of the features; the first block has no features to scale.
    template <int N>
    void scale_backward(bool is_first, const T* out_cotangent, const T* factor, const T* features, T* factor_cotangent,
                        T* features_cotangent) const {
        std::memset(factor_cotangent, 0, H * sizeof(T));
        if (is_first) return;
        for (int k = 0; k < N; ++k)
            for (int64_t h = 0; h < H; ++h) {
                factor_cotangent[h] += out_cotangent[k * H + h] * features[k * H + h];
                features_cotangent[k * H + h] += out_cotangent[k * H + h] * factor[h];
            }
    }
};

}  // namespace assay
