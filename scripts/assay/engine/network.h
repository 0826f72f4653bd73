// Energy, forces, virial and parameter gradients of PaiNN on a CPU, with features up to vectors (RANK 1) or tensors
// (RANK 2), in float32 or float64.
//
// The network is the one of assay/models/painn.py; docs/engine.md has its formulas, forward and backward. No array of
// edges times channels is ever stored (edges.h), and by the symmetry of the neighbor relation no gradient of features
// is scattered. Structures are computed in groups that fit the cache, and the atoms of larger ones in chunks. Each
// thread takes whole groups or, where they would not be enough for all threads, a range of the atoms of each group.
// Energies, forces and virials do not depend on the number of threads, to the last bit. Channels are padded; padded
// channels have zero weights and stay zero.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "block.h"
#include "choice.h"
#include "groups.h"
#include "pair_energies.h"
#include "pairs.h"

namespace assay {

// Threads share each group if the one with the most atoms would have more than this multiple of the mean.
constexpr double IMBALANCE = 1.06;

template <class T, int RANK>
class Network : public AnyNetwork {
   public:
    explicit Network(const Constants& constants)
        : set(constants.set), H(padded(set.hidden)), R(set.n_rbf + (set.filter_bias ? 1 : 0)), pairs(constants),
          splines(pairs), pair_energies(constants), embedding((set.max_z + 1) * H, T(0)) {
        for (int64_t b = 0; b < set.n_blocks; ++b) blocks.emplace_back(set, b + 1 == set.n_blocks);
        int64_t width = set.hidden;
        for (int64_t k = 0; k < set.n_head; ++k) {
            head.emplace_back(width, 1, set.head[k], 1, true);
            width = set.head[k];
        }
        head.emplace_back(width, 1, 1, 1, true);
        n_gradients = embedding.size();
        auto reserve = [&](Linear<T>& layer) {
            layer.gradient = n_gradients;
            n_gradients += (layer.K + 1) * layer.M;
        };
        for (auto& block : blocks) {
            block.gradient = n_gradients;
            n_gradients += block.filters.size();
            for (auto* layer : block.atomwise()) reserve(*layer);
        }
        for (auto& layer : head) reserve(layer);
        pair_gradient = n_gradients;
        n_gradients += pair_energies.n_parameters();
    }

    int64_t n_parameters() override {
        int64_t total = (set.max_z + 1) * set.hidden;
        for (auto& block : blocks) total += block.n_parameters();
        for (const auto& layer : head) total += layer.n_parameters();
        return total + pair_energies.n_parameters();
    }

    int64_t row_width() const override { return Block<T, RANK>::MESSAGE_ROWS * H; }

    void set_parameters(const void* parameters) override {
        const T* flat = static_cast<const T*>(parameters);
        for (int64_t z = 0; z <= set.max_z; ++z)
            for (int64_t h = 0; h < set.hidden; ++h) embedding[z * H + h] = *flat++;
        for (auto& block : blocks) {
            Linear<T>& filter = block.filter;
            flat = filter.set_weights(flat);
            for (int64_t piece = 0; piece < Features<RANK>::FILTERS; ++piece)
                for (int64_t h = 0; h < H; ++h)
                    for (int64_t r = 0; r < R; ++r)
                        block.filters.data()[block.filters.place(r, piece, h)] =
                            r < set.n_rbf ? filter.forward[Matrix<T>::place(filter.K, filter.M, r, piece * H + h)]
                                          : filter.bias[piece * H + h];
            for (auto* layer : block.atomwise()) {
                if (layer == &block.update.second) block.update.set_narrow(flat);
                flat = layer->set_weights(flat);
            }
        }
        for (auto& layer : head) flat = layer.set_weights(flat);
        pair_energies.set_table(flat);
        tables_are_old = true;
        if (!blocks.empty()) blocks.front().context_of(set.max_z + 1, embedding.data(), element_context);
    }

    void evaluate(const Call& in, int threads, const Results& results) override {
        const Wanted wanted{results.forces != nullptr, results.virial != nullptr, results.gradients != nullptr};
        if (reads_table(wanted) && std::exchange(tables_are_old, false))
            for (auto& block : blocks) block.filters.tabulate(splines, set.n_rbf);
        // Gradients are summed thread by thread, so that their last bits depend on the number of threads.
        const double started = ThreadChoice::now();
        const int chosen = wanted.gradients ? threads : choice.begin(in.n_local, threads);
        Team team(chosen);
        const int size = team.size();
        if (static_cast<int>(workspaces.size()) < size) workspaces.resize(size);
        const std::vector<int64_t> ends = structure_ends(in);
        const std::vector<int64_t> shares = boundaries(ends, 0, in.n_local, size);
        const bool share_groups = in.exchange || largest_share(shares) * size > IMBALANCE * in.n_local;
        std::fill_n(results.atomic_energies, in.n_local, 0.0);
        if (results.virial) std::fill_n(results.virial, 9 * in.n_structures, 0.0);
        const std::vector<Group> every = groups(in, ends, share_groups ? size : 1);
        for (int k = 0; k < (share_groups ? 1 : size); ++k) reserve(in, wanted, every, workspaces[k]);
        if (wanted.gradients)
            for (int k = 0; k < size; ++k) workspaces[k].gradients.get(n_gradients);
        std::atomic<size_t> next{0};
        team.run([&](int rank) {
            Workspace<T>& own = workspaces[rank];
            if (wanted.gradients) std::fill_n(own.gradients.get(n_gradients), n_gradients, T(0));
            if (share_groups) {
                for (const auto& group : every) evaluate_group(in, wanted, results, group, rank, team, workspaces[0]);
            } else if (wanted.gradients) {
                for (const auto& group : every)
                    if (shares[rank] <= group.begin && group.begin < shares[rank + 1])
                        evaluate_group(in, wanted, results, group, 0, Team(1), own);
            } else {
                for (size_t k = next++; k < every.size(); k = next++)
                    evaluate_group(in, wanted, results, every[k], 0, Team(1), own);
            }
        });
        if (results.gradients) write_gradients(size, static_cast<T*>(results.gradients));
        if (!wanted.gradients) choice.end(threads, size, ThreadChoice::now() - started);
    }

   private:
    const Hyperparameters set;
    const int64_t H, R;
    const Pairs<T> pairs;
    const RadialSplines<T> splines;
    PairEnergies<T> pair_energies;
    std::vector<T> embedding;
    Buffer<T> element_context;  // what the context network of the first block gives for each element
    std::vector<Block<T, RANK>> blocks;
    std::vector<Linear<T>> head;
    size_t n_gradients, pair_gradient;
    std::vector<Workspace<T>> workspaces;
    ThreadChoice choice;
    bool tables_are_old = true;

    // The numbers by which an edge's filters are made: splines, by a table, or radial functions.
    int64_t terms(const Wanted& wanted) const { return reads_table(wanted) ? SPLINES : R; }
    bool reads_table(const Wanted& wanted) const { return splines.rows > 0 && !wanted.gradients; }

    // The weight of an atom's energy in the sum that is differentiated.
    static double weight(const Call& in, int64_t atom) { return in.weights ? in.weights[in.structure[atom]] : 1.0; }

    // Does the work of one thread of a team on a group, in the memory ``shared`` of the team.
    void evaluate_group(const Call& in, const Wanted& wanted, const Results& results, const Group& group, int rank,
                        const Team& team, Workspace<T>& shared) {
        const int64_t n = group.end - group.begin, lo = n * rank / team.size(), hi = n * (rank + 1) / team.size();
        Workspace<T>& own = team.size() > 1 ? workspaces[rank] : shared;
        Pass<T> pass{{}, in, wanted, group.begin, in.first[group.begin], n, group.rows, lo, hi, rank, team, own,
                     reads_table(wanted), terms(wanted), element_context.get(0), results.atomic_energies + group.begin};
        pass.barrier();
        lay_out(pass, wanted, group.rows, in.first[group.end] - in.first[group.begin], shared, false);
        geometry(pass);
        for (size_t b = 0; b < blocks.size(); ++b) blocks[b].forward(pass, pass.activations[b], b == 0);
        pass.for_chunks([&](const Chunk& chunk) { energies(pass, chunk); });
        if (!wanted.forces && !wanted.gradients) return;
        pass.for_chunks([&](const Chunk& chunk) { head_backward(pass, chunk); });
        for (size_t b = blocks.size(); b-- > 0;) blocks[b].backward(pass, pass.activations[b], b);
        if (wanted.gradients)
            for (int64_t i = lo; i < hi; ++i) {
                T* row = own.gradients.get(0) + in.numbers[group.begin + i] * H;
                for (int64_t h = 0; h < H; ++h) row[h] += pass.cotangent.s[i * H + h];
            }
        if (wanted.forces) forces(pass, results);
    }

    // Reserves the memory that any of the groups needs, so that none is asked for while threads compute.
    void reserve(const Call& in, const Wanted& wanted, const std::vector<Group>& groups, Workspace<T>& shared) const {
        int64_t most_rows = 0, most_edges = 0;
        for (const auto& group : groups) {
            most_rows = std::max(most_rows, group.rows);
            most_edges = std::max(most_edges, in.first[group.end] - in.first[group.begin]);
        }
        Rows<T> rows;
        lay_out(rows, wanted, most_rows, most_edges, shared, true);
    }

    // Points the rows of every atom and every edge into the shared memory, in the same way for each thread of a team.
    void lay_out(Rows<T>& pass, const Wanted& wanted, int64_t N, int64_t E, Workspace<T>& shared, bool reserves) const {
        using B = Block<T, RANK>;
        const int64_t tensors = RANK == 1 ? 0 : 5 * H;
        Activations<T> block{};
        const std::vector<std::pair<T**, int64_t>> block_rows{
            {&block.v, 3 * H}, {&block.t, tensors}, {&block.context_hidden, H}, {&block.context, B::FILTERS * H},
            {&block.messages, B::MESSAGE_ROWS * H}, {&block.invariants, B::INVARIANTS * H}, {&block.v_mixed, 6 * H},
            {&block.t_mixed, 2 * tensors}, {&block.update_hidden, H}, {&block.gates, B::GATES * H}};
        // What only gradients need of every block; without them all blocks write it to the same memory.
        const std::vector<std::pair<T**, int64_t>> gradient_rows{
            {&block.s, H}, {&block.context_active, H}, {&block.v_summed, 3 * H}, {&block.t_summed, tensors},
            {&block.update_active, H}};
        const int64_t copies = wanted.gradients ? set.n_blocks : 1;
        Cotangents<T>& cotangent = pass.cotangent;
        const std::vector<std::pair<T**, int64_t>> pass_rows{
            {&pass.s, H}, {&pass.v, 3 * H}, {&pass.t, tensors}, {&cotangent.s, H}, {&cotangent.v, 3 * H},
            {&cotangent.t, tensors}, {&cotangent.features[0], B::COMPONENTS * H},
            {&cotangent.features[1], B::COMPONENTS * H}, {&cotangent.messages, B::MESSAGE_ROWS * H},
            {&cotangent.context, B::FILTERS * H}, {&cotangent.gates, B::GATES * H},
            {&cotangent.invariants, B::INVARIANTS * H},
            {&cotangent.v_summed, 3 * H}, {&cotangent.t_summed, tensors}};
        auto width = [](const auto& rows) {
            int64_t total = 0;
            for (const auto& [row, size] : rows) total += size;
            return total;
        };
        int64_t head_width = 0;
        for (const auto& layer : head) head_width += 2 * layer.M;
        if (reserves) {
            const int64_t in_blocks = width(block_rows) * set.n_blocks + width(gradient_rows) * copies;
            shared.atoms.get(N * (in_blocks + width(pass_rows) + head_width) + 64);
            shared.edges.get(E * (2 * std::max<int64_t>(R, SPLINES) + 13) + 128);
            shared.neighbors.get(2 * E);
            shared.lists.get(2 * N);
            shared.slopes.get(3 * E + 9 * N);
        }
        T *atoms = shared.atoms.get(0), *edges = shared.edges.get(0);
        auto take = [&](int64_t width) {
            T* p = atoms;
            atoms += N * width;
            return p;
        };
        auto take_edges = [&](int64_t width) {
            T* p = edges;
            edges += padded(E * width);
            return p;
        };
        for (int64_t b = 0; b < set.n_blocks; ++b) {
            for (const auto& [row, size] : block_rows) *row = take(size);
            if (b < copies)
                for (const auto& [row, size] : gradient_rows) *row = take(size);
            pass.activations.push_back(block);
        }
        for (const auto& [row, size] : pass_rows) *row = take(size);
        pass.head_in.push_back(pass.s);
        for (const auto& layer : head) {
            pass.head_out.push_back(take(layer.M));
            pass.head_in.push_back(take(layer.M));
        }
        for (T** rows : {&pass.basis, &pass.basis_slope}) *rows = take_edges(terms(wanted));
        for (T** rows : {&pass.direction, &pass.cotangent.direction}) *rows = take_edges(3);
        pass.tensor = take_edges(5);
        for (T** rows : {&pass.distance, &pass.cotangent.distance}) *rows = take_edges(1);
        pass.neighbor = shared.neighbors.get(0);
        pass.row = pass.neighbor + E;
        pass.n_neighbors = shared.lists.get(0);
        pass.slopes = shared.slopes.get(0);
        pass.virials = pass.slopes + 3 * E;
        pass.first_edge = pass.n_neighbors + N;
    }

    // Computes the edges within the cutoff, their radial functions, the energies of pairs, and the first features.
    void geometry(Pass<T>& p) const {
        const Call& in = p.in;
        for (int64_t i = p.lo; i < p.hi; ++i) {
            const int64_t atom = p.begin + i, z = in.numbers[atom];
            p.first_edge[i] = in.first[atom] - p.edge_begin;
            int64_t e = p.first_edge[i];
            for (int64_t k = in.first[atom]; k < in.first[atom + 1]; ++k) {
                const int64_t j = in.neighbor[k], w = in.numbers[j];
                const double* r = in.vectors + 3 * k;
                const double d = std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
                typename Pairs<T>::Reach reach;
                if (!pairs.reach(d, z, w, reach)) continue;
                T *basis = p.basis + e * p.terms, *slope = p.basis_slope + e * p.terms;
                if (p.reads_table) p.row[e] = splines.at(reach, basis, slope);
                else pairs.radial(reach, basis, slope);
                double pair_slope = 0.0;
                if (set.repulsion) p.atomic_energies[i] += pairs.repulsion(z, w, d, pair_slope);
                if (const int64_t at = pair_energies.place(z, w); at >= 0) {
                    const auto half = p.reads_table ? pair_energies.of_splines(at, splines, p.row[e], basis, slope)
                                                    : pair_energies.of_basis(at, basis, slope);
                    p.atomic_energies[i] += half.energy;
                    pair_slope += half.slope;
                    if (p.wanted.gradients)
                        pair_energies.add_gradient(at, weight(in, atom), basis,
                                                   p.workspace.gradients.get(0) + pair_gradient);
                }
                for (int x = 0; x < 3; ++x) {
                    p.direction[3 * e + x] = r[x] / d;
                    p.cotangent.direction[3 * e + x] = 0;
                }
                if (RANK == 2) traceless_product(p.direction + 3 * e, p.direction + 3 * e, p.tensor + 5 * e);
                p.distance[e] = d;
                p.cotangent.distance[e] = pair_slope * weight(in, atom);
                p.neighbor[e++] = static_cast<int32_t>(j - p.begin);
            }
            p.n_neighbors[i] = e - p.first_edge[i];
            p.most_neighbors = std::max(p.most_neighbors, p.n_neighbors[i]);
            std::memcpy(p.s + i * H, embedding.data() + z * H, H * sizeof(T));
        }
    }

    // Computes the atomic energies, and overwrites the head's last output by its cotangent.
    void energies(Pass<T>& p, const Chunk& chunk) const {
        for (size_t k = 0; k < head.size(); ++k) {
            const Linear<T>& layer = head[k];
            T* out = p.head_out[k] + chunk.lo * layer.M;
            layer.apply(chunk.n(), p.head_in[k] + chunk.lo * layer.K, out);
            if (k + 1 < head.size())
                activate(set.head_activation, chunk.n() * layer.M, out, p.head_in[k + 1] + chunk.lo * layer.M);
        }
        const int64_t M = head.back().M;
        for (int64_t i = chunk.lo; i < chunk.hi; ++i) {
            T* out = p.head_out.back() + i * M;
            p.atomic_energies[i] += double(out[0]) * set.energy_scale;
            out[0] = T(set.energy_scale * weight(p.in, p.begin + i));
            std::fill(out + 1, out + M, T(0));
        }
    }

    void head_backward(Pass<T>& p, const Chunk& chunk) const {
        const int64_t lo = chunk.lo, n = chunk.n();
        for (size_t k = head.size(); k-- > 0;) {
            const Linear<T>& layer = head[k];
            T *y_cotangent = p.head_out[k] + lo * layer.M, *x = p.head_in[k] + lo * layer.K;
            if (p.wanted.gradients) layer.add_gradient(n, x, y_cotangent, p.workspace.gradients.get(0));
            T* x_cotangent = k ? x : p.cotangent.s + lo * H;
            layer.apply_transposed(n, y_cotangent, x_cotangent);
            if (!k) break;
            T* below = p.head_out[k - 1] + lo * layer.K;
            activation_gradient(set.head_activation, n * layer.K, below, x_cotangent);
            std::memcpy(below, x_cotangent, n * layer.K * sizeof(T));
        }
        std::memset(p.cotangent.v + lo * 3 * H, 0, n * 3 * H * sizeof(T));
        if (RANK == 2) std::memset(p.cotangent.t + lo * 5 * H, 0, n * 5 * H * sizeof(T));
    }

    // Computes forces and virials from the derivative of the energy by the vector of every edge. Each sum is taken in
    // the order of the edges, whoever takes it.
    void forces(Pass<T>& p, const Results& results) const {
        double* out = results.forces + 3 * p.begin;
        for (int64_t i = p.lo; i < p.hi; ++i) {
            double force[3] = {}, virial[9] = {};
            for (int64_t e = p.first_edge[i]; e < p.first_edge[i] + p.n_neighbors[i]; ++e) {
                const double u[3] = {p.direction[3 * e], p.direction[3 * e + 1], p.direction[3 * e + 2]};
                const T* turn = p.cotangent.direction + 3 * e;
                const double t[3] = {turn[0], turn[1], turn[2]}, d = p.distance[e];
                const double parallel = t[0] * u[0] + t[1] * u[1] + t[2] * u[2];
                for (int x = 0; x < 3; ++x) {
                    const double slope = p.cotangent.distance[e] * u[x] + (t[x] - parallel * u[x]) / d;
                    p.slopes[3 * e + x] = slope;
                    force[x] += slope;
                    for (int y = 0; y < 3; ++y) virial[3 * x + y] -= slope * d * u[y];
                }
            }
            std::copy_n(force, 3, out + 3 * i);
            std::copy_n(virial, 9, p.virials + 9 * i);
        }
        if (p.rank == 0) std::fill(out + 3 * p.n_local, out + 3 * p.n_rows, 0.0);
        p.barrier();
        const int64_t size = p.team.size(), begin = p.n_rows * p.rank / size, end = p.n_rows * (p.rank + 1) / size;
        for (int64_t i = 0; i < p.n_local; ++i)
            for (int64_t e = p.first_edge[i]; e < p.first_edge[i] + p.n_neighbors[i]; ++e) {
                const int64_t j = p.neighbor[e];
                if (j < begin || j >= end) continue;
                for (int x = 0; x < 3; ++x) out[3 * j + x] -= p.slopes[3 * e + x];
            }
        if (p.rank == 0 && p.wanted.virial)
            for (int64_t i = 0; i < p.n_local; ++i)
                for (int x = 0; x < 9; ++x) results.virial[9 * p.in.structure[p.begin + i] + x] += p.virials[9 * i + x];
    }

    // Adds up the gradients of all threads, and writes them in the order of the model's parameters.
    void write_gradients(int n_threads, T* flat) {
        T* total = workspaces[0].gradients.get(0);
        for (int t = 1; t < n_threads; ++t) {
            const T* part = workspaces[t].gradients.get(0);
            for (size_t k = 0; k < n_gradients; ++k) total[k] += part[k];
        }
        for (int64_t z = 0; z <= set.max_z; ++z)
            for (int64_t h = 0; h < set.hidden; ++h) *flat++ = total[z * H + h];
        for (auto& block : blocks) {
            const T* filters = total + block.gradient;
            auto write = [&](int64_t from, int64_t to) {
                for (int64_t piece = 0; piece < Features<RANK>::FILTERS; ++piece)
                    for (int64_t h = 0; h < set.hidden; ++h)
                        for (int64_t r = from; r < to; ++r) *flat++ = filters[block.filters.place(r, piece, h)];
            };
            write(0, set.n_rbf);
            write(set.n_rbf, R);
            for (auto* layer : block.atomwise()) flat = layer->write_gradient(total, flat);
        }
        for (const auto& layer : head) flat = layer.write_gradient(total, flat);
        std::copy_n(total + pair_gradient, pair_energies.n_parameters(), flat);
    }
};

}  // namespace assay
