// One interaction block, forward and backward, for the atoms of one group: messages from the neighbors, then the update
// of each atom. docs/engine.md has the formulas. The cotangent of a quantity is the derivative of the energy by it.
#pragma once

#include <cstring>

#include "update.h"

namespace assay {

template <class T, int RANK>
class Block {
   public:
    static constexpr int FILTERS = Features<RANK>::FILTERS, COMPONENTS = Features<RANK>::COMPONENTS,
                         MESSAGE_ROWS = Features<RANK>::MESSAGE_ROWS, INVARIANTS = RANK + 1, GATES = N_GATES[RANK];
    Linear<T> filter, context0, context2;
    Update<T, RANK> update;
    Filters<T, RANK> filters;  // the weights of ``filter`` in the order that sums over neighbors read them in
    size_t gradient = 0;       // the place of the filters' gradients in those of a thread

    Block(const Hyperparameters& set, bool is_last)
        : filter(set.n_rbf, 1, set.hidden, FILTERS, set.filter_bias != 0),
          context0(set.hidden, 1, set.hidden, 1, true), context2(set.hidden, 1, set.hidden, FILTERS, true),
          update(set, is_last),
          filters(padded(set.hidden), set.n_rbf + (set.filter_bias ? 1 : 0)), H(padded(set.hidden)),
          activation(set.activation) {}

    // The layers that act on each atom, in the order of the model's parameters.
    std::vector<Linear<T>*> atomwise() {
        if (RANK == 1) return {&context0, &context2, &update.mix, &update.first, &update.second};
        return {&context0, &context2, &update.mix, &update.mix_tensors, &update.first, &update.second};
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
        const bool by_element = is_first && !p.wanted.gradients;
        p.for_chunks([&](const Chunk& chunk) { context_forward(p, saved, is_first, by_element, chunk); });
        if (by_element) {
            if (p.rank == 0)
                for (int64_t i = p.n_local; i < p.n_rows; ++i) write_messages(p, saved, is_first, by_element, i);
            p.barrier();
        } else {
            p.exchange(saved.messages, MESSAGE_ROWS * H);
        }
        p.for_chunks([&](const Chunk& chunk) {
            sums_forward(p, saved, is_first, chunk);
            update.forward(p, saved, chunk);
        });
    }

    // ``index`` counts the blocks from the first, 0.
    void backward(Pass<T>& p, Activations<T>& saved, size_t index) const {
        const bool is_first = index == 0;
        T* features = p.cotangent.features[index % 2];
        p.for_chunks([&](const Chunk& chunk) {
            update.backward(p, saved, chunk);
            for (int64_t i = chunk.lo; i < chunk.hi; ++i) {
                T* out = features + i * COMPONENTS * H;
                add_and_copy(1, p.cotangent.invariants + i * INVARIANTS * H, p.cotangent.s + i * H, out);
                add_and_copy(3, p.cotangent.v_summed + i * 3 * H, p.cotangent.v + i * 3 * H, out + H);
                if (RANK == 2)
                    add_and_copy(5, p.cotangent.t_summed + i * 5 * H, p.cotangent.t + i * 5 * H, out + 4 * H);
            }
        });
        const bool only_edges = is_first && !p.wanted.gradients;  // no cotangent of a neighbor is needed
        if (only_edges) p.barrier();
        else p.exchange(features, COMPONENTS * H);
        p.for_chunks([&](const Chunk& chunk) {
            sums_backward(p, saved, features, is_first, chunk);
            if (!only_edges) context_backward(p, saved, is_first, chunk);
        });
    }

    int64_t n_parameters() {
        int64_t total = filter.n_parameters();
        for (const auto* layer : atomwise()) total += layer->n_parameters();
        return total;
    }

   private:
    const int64_t H, activation;

    // Computes the messages of a chunk from its features.
    void context_forward(Pass<T>& p, Activations<T>& saved, bool is_first, bool by_element, const Chunk& chunk) const {
        const int64_t lo = chunk.lo, n = chunk.n();
        std::memcpy(saved.s + lo * H, p.s + lo * H, n * H * sizeof(T));
        if (!is_first) {
            std::memcpy(saved.v + lo * 3 * H, p.v + lo * 3 * H, n * 3 * H * sizeof(T));
            if (RANK == 2) std::memcpy(saved.t + lo * 5 * H, p.t + lo * 5 * H, n * 5 * H * sizeof(T));
        }
        if (!by_element) {
            context0.apply(n, saved.s + lo * H, saved.context_hidden + lo * H);
            activate(activation, n * H, saved.context_hidden + lo * H, saved.context_active + lo * H);
            context2.apply(n, saved.context_active + lo * H, saved.context + lo * FILTERS * H);
        }
        for (int64_t i = lo; i < chunk.hi; ++i) write_messages(p, saved, is_first, by_element, i);
    }

    void write_messages(const Pass<T>& p, Activations<T>& saved, bool is_first, bool by_element, int64_t i) const {
        T* out = saved.messages + i * MESSAGE_ROWS * H;
        const T* x = by_element ? p.element_context + p.in.numbers[p.begin + i] * FILTERS * H
                                : saved.context + i * FILTERS * H;
        std::memcpy(out, x, 2 * H * sizeof(T));
        if (!is_first) scale<3>(x + 2 * H, saved.v + i * 3 * H, out + 2 * H);
        if constexpr (RANK == 2) {
            std::memcpy(out + 5 * H, x + 3 * H, H * sizeof(T));
            if (!is_first) scale<5>(x + 4 * H, saved.t + i * 5 * H, out + 6 * H);
        }
    }

    // Adds the messages of all neighbors to the features of a chunk.
    void sums_forward(Pass<T>& p, Activations<T>& saved, bool is_first, const Chunk& chunk) const {
        for (int64_t i = chunk.lo; i < chunk.hi; ++i) {
            T *s = p.s + i * H, *v = p.v + i * 3 * H, *t = p.t + i * 5 * H;
            dispatch(is_first, [&](auto first_) {
                dispatch(p.reads_table, [&](auto table_) {
                    filters.template add_messages<first_.value, table_.value>(saved.messages, p.edges(i), s, v, t);
                });
            });
            std::memcpy(saved.invariants + i * INVARIANTS * H, s, H * sizeof(T));
            std::memcpy(saved.v_summed + i * 3 * H, v, 3 * H * sizeof(T));
            if (RANK == 2) std::memcpy(saved.t_summed + i * 5 * H, t, 5 * H * sizeof(T));
        }
    }

    // The adjoint of ``sums_forward``, for the messages of a chunk and for its edges.
    void sums_backward(Pass<T>& p, Activations<T>& saved, const T* features, bool is_first, const Chunk& chunk) const {
        constexpr std::true_type yes;
        constexpr std::false_type no;
        auto sums = [&](auto first_, auto forces_, auto gradients_, auto table_) {
            T* partial = p.workspace.partial.get(COMPONENTS * Lanes<T>::count * p.most_neighbors);
            T* gradients = nullptr;
            if (gradients_.value) gradients = p.workspace.gradients.get(0) + gradient;
            for (int64_t i = chunk.lo; i < chunk.hi; ++i)
                filters.template add_messages_adjoint<first_.value, forces_.value, gradients_.value, table_.value>(
                    saved.messages, features, i, p.edges(i), p.cotangent.messages + i * MESSAGE_ROWS * H,
                    p.cotangent.distance + p.first_edge[i], p.cotangent.direction + 3 * p.first_edge[i], partial,
                    gradients);
        };
        dispatch(is_first, [&](auto first_) {
            if (p.reads_table) sums(first_, yes, no, yes);
            else if (p.wanted.forces && p.wanted.gradients) sums(first_, yes, yes, no);
            else if (p.wanted.forces) sums(first_, yes, no, no);
            else sums(first_, no, yes, no);
        });
    }

    // Calls ``work`` with a condition that the compiler knows.
    template <class F>
    static void dispatch(bool condition, F&& work) {
        condition ? work(std::true_type{}) : work(std::false_type{});
    }

    // out = factor * features, for features of N components.
    template <int N>
    void scale(const T* factor, const T* features, T* out) const {
        for (int k = 0; k < N; ++k)
            for (int64_t h = 0; h < H; ++h) out[k * H + h] = factor[h] * features[k * H + h];
    }

    // Adds ``more`` to ``total`` and copies the sum to ``out``.
    void add_and_copy(int64_t rows, const T* more, T* total, T* out) const {
        for (int64_t k = 0; k < rows * H; ++k) out[k] = total[k] += more[k];
    }

    // Computes the cotangents of the block's input from those of its messages.
    void context_backward(Pass<T>& p, Activations<T>& saved, bool is_first, const Chunk& chunk) const {
        const int64_t lo = chunk.lo, n = chunk.n();
        T* gradients = p.wanted.gradients ? p.workspace.gradients.get(0) : nullptr;
        for (int64_t i = lo; i < chunk.hi; ++i) {
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
