// Energy, forces, virial and parameter gradients of PaiNN on a processor, of features up to vectors (RANK 1) or tensors
// (RANK 2), in float32 or float64.
//
// The network is the one of assay/models/painn.py; this is its lowering for CPUs. No tensor of edges and channels is
// ever stored (edges.h), and by the symmetry of the neighbor relation no gradient is scattered over features. Structures
// are worked on in groups that fit the cache; every thread takes as many atoms as the others, or, where structures cannot
// be shared out evenly, a range of the atoms of each group. Channels are padded with zero weights, and stay zero where they
// are padded.

#include <omp.h>

#include <algorithm>
#include <cstring>

#include "block.h"
#include "neighbors.h"
#include "pairs.h"

namespace assay {

constexpr int ATOMS_PER_GROUP = 48;  // of one thread
constexpr double UNEVEN = 1.06;      // atoms of the busiest thread, over the mean, from which on threads share each group

template <class T, int RANK>
class Engine {
   public:
    Engine(const Settings& settings, const double* radii)
        : set(settings), H(padded(settings.hidden)), R(settings.n_rbf + (settings.filter_bias ? 1 : 0)),
          pairs(settings, radii), embedding((settings.max_z + 1) * H, T(0)) {
        for (int64_t b = 0; b < set.n_blocks; ++b) blocks.emplace_back(set);
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
    }

    // Parameters in the order of the model's.
    void read(const T* flat) {
        for (int64_t z = 0; z <= set.max_z; ++z)
            for (int64_t h = 0; h < set.hidden; ++h) embedding[z * H + h] = *flat++;
        for (auto& block : blocks) {
            Linear<T>& filter = block.filter;
            flat = filter.read(flat);
            for (int64_t piece = 0; piece < Features<RANK>::PIECES; ++piece)
                for (int64_t h = 0; h < H; ++h)
                    for (int64_t r = 0; r < R; ++r)
                        block.filters.data()[block.filters.place(r, piece, h)] =
                            r < set.n_rbf ? filter.forward[Matrix<T>::place(filter.K, filter.M, r, piece * H + h)]
                                          : filter.bias[piece * H + h];
            for (auto* layer : block.atomwise()) flat = layer->read(flat);
        }
        for (auto& layer : head) flat = layer.read(flat);
    }

    // Energies of structures without reference energies; forces, virial and gradients where they are not null.
    void evaluate(const Input<T>& in, int threads, double* energy, T* forces, double* virial, T* gradients) {
        const Wanted wanted{forces != nullptr, virial != nullptr, gradients != nullptr};
        const std::vector<int64_t> ends = structure_ends(in);
        std::vector<int64_t> shares = cuts(ends, 0, in.n_atoms, threads);
        const bool together = busiest(shares) * threads > UNEVEN * in.n_atoms;
        if (together) shares = {0, in.n_atoms};
        first.assign(in.n_atoms + 1, 0);
        for (int64_t e = 0; e < in.n_edges; ++e) ++first[in.atom[e] + 1];
        for (int64_t i = 0; i < in.n_atoms; ++i) first[i + 1] += first[i];
        if (static_cast<int>(spaces.size()) < threads) spaces.resize(threads);
        atom_energy.assign(in.n_atoms, 0.0);
        int team_size = 1;
#pragma omp parallel num_threads(threads)
        {
            const int rank = omp_get_thread_num(), team = omp_get_num_threads();
            Space<T>& mine = spaces[rank];
            if (rank == 0) team_size = team;
            if (wanted.gradients) std::fill_n(mine.gradients.get(n_gradients), n_gradients, T(0));
            if (wanted.forces) mine.forces.assign(3 * in.n_atoms, 0.0);
            if (wanted.virial) mine.virial.assign(9 * in.n_structures, 0.0);
            const int width = together ? team : 1, leader = together ? 0 : rank;
            for (size_t part = leader; part + 1 < shares.size(); part += team)
                for (const auto& group : groups(ends, shares[part], shares[part + 1], width))
                    run(in, wanted, group, rank - leader, width, mine, spaces[leader]);
        }
        std::fill(energy, energy + in.n_structures, 0.0);
        for (int64_t i = 0; i < in.n_atoms; ++i) energy[in.batch[i]] += atom_energy[i];
        auto collect = [&](auto* out, int64_t n, auto part) {
            for (int64_t k = 0; k < n; ++k) {
                double total = 0;
                for (int t = 0; t < team_size; ++t) total += part(spaces[t])[k];
                out[k] = total;
            }
        };
        if (forces) collect(forces, 3 * in.n_atoms, [](Space<T>& space) { return space.forces.data(); });
        if (virial) collect(virial, 9 * in.n_structures, [](Space<T>& space) { return space.virial.data(); });
        if (gradients) write_gradients(team_size, gradients);
    }

   private:
    const Settings set;
    const int64_t H, R;
    const Pairs<T> pairs;
    std::vector<T> embedding;
    std::vector<Block<T, RANK>> blocks;
    std::vector<Linear<T>> head;
    size_t n_gradients;
    std::vector<Space<T>> spaces;
    std::vector<int64_t> first;
    std::vector<double> atom_energy;

    // Where each structure ends, in atoms.
    static std::vector<int64_t> structure_ends(const Input<T>& in) {
        std::vector<int64_t> ends;
        for (int64_t i = 1; i <= in.n_atoms; ++i)
            if (i == in.n_atoms || in.batch[i] != in.batch[i - 1]) ends.push_back(i);
        return ends;
    }

    // Atoms [from, to) in so many parts of whole structures, as even as they can be: from, cut, cut, ..., to.
    static std::vector<int64_t> cuts(const std::vector<int64_t>& ends, int64_t from, int64_t to, int64_t parts) {
        std::vector<int64_t> found{from};
        for (int64_t part = 1; part < parts; ++part) {
            const int64_t ideal = from + (to - from) * part / parts;
            auto above = std::lower_bound(ends.begin(), ends.end(), ideal);
            int64_t cut = above == ends.end() ? to : *above;
            if (above != ends.begin() && ideal - above[-1] < cut - ideal) cut = above[-1];
            found.push_back(std::clamp(cut, found.back(), to));
        }
        found.push_back(to);
        return found;
    }

    static int64_t busiest(const std::vector<int64_t>& shares) {
        int64_t most = 0;
        for (size_t k = 1; k < shares.size(); ++k) most = std::max(most, shares[k] - shares[k - 1]);
        return most;
    }

    static std::vector<Group> groups(const std::vector<int64_t>& ends, int64_t from, int64_t to, int width) {
        const int64_t size = ATOMS_PER_GROUP * width, parts = std::max<int64_t>(1, (to - from + size / 2) / size);
        const std::vector<int64_t> found = cuts(ends, from, to, parts);
        std::vector<Group> made;
        for (size_t k = 1; k < found.size(); ++k)
            if (found[k] > found[k - 1]) made.push_back({found[k - 1], found[k]});
        return made;
    }

    void run(const Input<T>& in, const Wanted& wanted, const Group& group, int rank, int team, Space<T>& mine,
             Space<T>& shared) {
        const int64_t N = group.end - group.begin, lo = N * rank / team, hi = N * (rank + 1) / team;
        Pass<T> pass{in, wanted, group.begin, first[group.begin], lo, hi, hi - lo, team, mine};
        pass.meet();
        make_room(pass, N, first[group.end] - first[group.begin], shared, rank == 0);
        geometry(pass);
        for (int64_t b = 0; b < set.n_blocks; ++b) blocks[b].forward(pass, pass.saved[b], b == 0);
        energies(pass);
        if (!wanted.forces && !wanted.gradients) return;
        head_backward(pass);
        for (int64_t b = set.n_blocks; b-- > 0;) blocks[b].backward(pass, pass.saved[b], b == 0);
        if (wanted.gradients)
            for (int64_t i = lo; i < hi; ++i) {
                T* row = mine.gradients.get(0) + in.numbers[group.begin + i] * H;
                for (int64_t h = 0; h < H; ++h) row[h] += pass.s_bar[i * H + h];
            }
        if (wanted.forces) forces(pass);
    }

    // Rows for every atom and every edge, the same for the team.
    void make_room(Pass<T>& pass, int64_t N, int64_t E, Space<T>& shared, bool allocates) const {
        using B = Block<T, RANK>;
        const int64_t tensors = RANK == 1 ? 0 : 5 * H;
        Saved<T> kept{};
        const std::vector<std::pair<T**, int64_t>> rows_kept{
            {&kept.s, H}, {&kept.v, 3 * H}, {&kept.t, tensors}, {&kept.c, H}, {&kept.a, H}, {&kept.x, B::PIECES * H},
            {&kept.messages, B::MESSAGES * H}, {&kept.middle, B::SEEN * H}, {&kept.v_middle, 3 * H},
            {&kept.t_middle, tensors}, {&kept.mixed, 6 * H}, {&kept.t_mixed, 2 * tensors}, {&kept.h, H}, {&kept.g, H},
            {&kept.y, B::GATES * H}};
        const std::vector<std::pair<T**, int64_t>> rows_passing{
            {&pass.s, H}, {&pass.v, 3 * H}, {&pass.t, tensors}, {&pass.s_bar, H}, {&pass.v_bar, 3 * H},
            {&pass.t_bar, tensors}, {&pass.bars, B::ROWS * H}, {&pass.message_bars, B::MESSAGES * H},
            {&pass.x_bar, B::PIECES * H}, {&pass.y_bar, B::GATES * H}, {&pass.seen_bar, B::SEEN * H},
            {&pass.v_more, 3 * H}, {&pass.t_more, tensors}};
        auto width = [](const auto& rows) {
            int64_t total = 0;
            for (const auto& [row, size] : rows) total += size;
            return total;
        };
        int64_t head_width = 0;
        for (const auto& layer : head) head_width += 2 * layer.M;
        if (allocates) {
            shared.atoms.get(N * (width(rows_kept) * set.n_blocks + width(rows_passing) + head_width) + 64);
            shared.edges.get(E * (2 * R + 13) + 128);
            shared.lists.get(E + 2 * N);
        }
        pass.meet();
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
            for (const auto& [row, size] : rows_kept) *row = take(size);
            pass.saved.push_back(kept);
        }
        for (const auto& [row, size] : rows_passing) *row = take(size);
        pass.before.push_back(pass.s);
        for (const auto& layer : head) {
            pass.after.push_back(take(layer.M));
            pass.before.push_back(take(layer.M));
        }
        for (T** rows : {&pass.basis, &pass.slope}) *rows = take_edges(R);
        for (T** rows : {&pass.unit, &pass.turn}) *rows = take_edges(3);
        pass.tensor = take_edges(5);
        for (T** rows : {&pass.distance, &pass.along}) *rows = take_edges(1);
        pass.neighbor = shared.lists.get(0);
        pass.count = pass.neighbor + E;
        pass.place = pass.count + N;
    }

    // Edges within the cutoff, what depends on their length, and the first features.
    void geometry(Pass<T>& p) {
        for (int64_t i = p.lo; i < p.hi; ++i) {
            const int64_t atom = p.begin + i, z = p.in.numbers[atom];
            p.place[i] = first[atom] - p.E0;
            int64_t e = p.place[i];
            for (int64_t k = first[atom]; k < first[atom + 1]; ++k) {
                const int64_t j = p.in.neighbor[k], w = p.in.numbers[j];
                double r[3], square = 0.0;
                for (int x = 0; x < 3; ++x) {
                    r[x] = double(p.in.positions[3 * j + x]) - double(p.in.positions[3 * atom + x]) +
                           double(p.in.shift[3 * k + x]);
                    square += r[x] * r[x];
                }
                const double d = std::sqrt(square);
                if (!pairs.radial(d, z, w, p.basis + e * R, p.slope + e * R)) continue;
                double push = 0.0;
                if (set.repulsion) atom_energy[atom] += pairs.repulsion(z, w, d, push);
                for (int x = 0; x < 3; ++x) {
                    p.unit[3 * e + x] = r[x] / d;
                    p.turn[3 * e + x] = 0;
                }
                if (RANK == 2) product(p.unit + 3 * e, p.unit + 3 * e, p.tensor + 5 * e);
                p.distance[e] = d;
                p.along[e] = push;
                p.neighbor[e++] = j - p.begin;
            }
            p.count[i] = e - p.place[i];
            p.most_neighbors = std::max(p.most_neighbors, p.count[i]);
            std::memcpy(p.s + i * H, embedding.data() + z * H, H * sizeof(T));
        }
    }

    // Atomic energies; the head's last output is replaced with what the energy is differentiated with.
    void energies(Pass<T>& p) {
        for (size_t k = 0; k < head.size(); ++k) {
            const Linear<T>& layer = head[k];
            layer.apply(p.n, p.before[k] + p.lo * layer.K, p.after[k] + p.lo * layer.M);
            if (k + 1 < head.size()) silu(p.n * layer.M, p.after[k] + p.lo * layer.M, p.before[k + 1] + p.lo * layer.M);
        }
        const int64_t M = head.back().M;
        for (int64_t i = p.lo; i < p.hi; ++i) {
            const int64_t atom = p.begin + i;
            T* out = p.after.back() + i * M;
            atom_energy[atom] += double(out[0]) * set.energy_scale;
            out[0] = T(set.energy_scale * (p.in.weights ? p.in.weights[p.in.batch[atom]] : 1.0));
            std::fill(out + 1, out + M, T(0));
        }
    }

    void head_backward(Pass<T>& p) const {
        for (size_t k = head.size(); k-- > 0;) {
            const Linear<T>& layer = head[k];
            T *y_bar = p.after[k] + p.lo * layer.M, *x = p.before[k] + p.lo * layer.K;
            if (p.wanted.gradients) layer.add_gradient(p.n, x, y_bar, p.mine.gradients.get(0));
            T* x_bar = k ? x : p.s_bar + p.lo * H;
            layer.apply_transposed(p.n, y_bar, x_bar);
            if (!k) break;
            T* below = p.after[k - 1] + p.lo * layer.K;
            silu_gradient(p.n * layer.K, below, x_bar);
            std::memcpy(below, x_bar, p.n * layer.K * sizeof(T));
        }
        std::memset(p.v_bar + p.lo * 3 * H, 0, p.n * 3 * H * sizeof(T));
        if (RANK == 2) std::memset(p.t_bar + p.lo * 5 * H, 0, p.n * 5 * H * sizeof(T));
    }

    // dE/dr of every edge, onto both of its atoms.
    void forces(Pass<T>& p) const {
        for (int64_t i = p.lo; i < p.hi; ++i)
            for (int64_t e = p.place[i]; e < p.place[i] + p.count[i]; ++e) {
                const double u[3] = {p.unit[3 * e], p.unit[3 * e + 1], p.unit[3 * e + 2]};
                const double t[3] = {p.turn[3 * e], p.turn[3 * e + 1], p.turn[3 * e + 2]};
                const double parallel = t[0] * u[0] + t[1] * u[1] + t[2] * u[2], d = p.distance[e];
                double* virial = p.wanted.virial ? p.mine.virial.data() + 9 * p.in.batch[p.begin + i] : nullptr;
                for (int x = 0; x < 3; ++x) {
                    const double slope = p.along[e] * u[x] + (t[x] - parallel * u[x]) / d;
                    p.mine.forces[3 * (p.begin + i) + x] += slope;
                    p.mine.forces[3 * (p.begin + p.neighbor[e]) + x] -= slope;
                    for (int y = 0; virial && y < 3; ++y) virial[3 * x + y] -= slope * d * u[y];
                }
            }
    }

    void write_gradients(int n_threads, T* flat) {
        T* total = spaces[0].gradients.get(0);
        for (int t = 1; t < n_threads; ++t) {
            const T* part = spaces[t].gradients.get(0);
            for (size_t k = 0; k < n_gradients; ++k) total[k] += part[k];
        }
        for (int64_t z = 0; z <= set.max_z; ++z)
            for (int64_t h = 0; h < set.hidden; ++h) *flat++ = total[z * H + h];
        for (auto& block : blocks) {
            const T* filters = total + block.gradient;
            auto write = [&](int64_t from, int64_t to) {
                for (int64_t piece = 0; piece < Features<RANK>::PIECES; ++piece)
                    for (int64_t h = 0; h < set.hidden; ++h)
                        for (int64_t r = from; r < to; ++r) *flat++ = filters[block.filters.place(r, piece, h)];
            };
            write(0, set.n_rbf);
            write(set.n_rbf, R);
            for (auto* layer : block.atomwise()) flat = layer->write_gradient(total, flat);
        }
        for (const auto& layer : head) flat = layer.write_gradient(total, flat);
    }
};

}  // namespace assay

#define INTERFACE(NAME, T, RANK)                                                                                       \
    extern "C" void* NAME##_new(const Settings* settings, const double* radii) {                                       \
        return new assay::Engine<T, RANK>(*settings, radii);                                                           \
    }                                                                                                                  \
    extern "C" void NAME##_free(void* engine) { delete static_cast<assay::Engine<T, RANK>*>(engine); }                 \
    extern "C" void NAME##_read(void* engine, const T* parameters) {                                                   \
        static_cast<assay::Engine<T, RANK>*>(engine)->read(parameters);                                                \
    }                                                                                                                  \
    extern "C" void NAME##_evaluate(void* engine, const int64_t* sizes, const int64_t* numbers, const int64_t* batch,  \
                                    const int64_t* edge_index, const T* positions, const T* shift,                     \
                                    const double* weights, int threads, double* energy, T* forces, double* virial,     \
                                    T* gradients) {                                                                    \
        const assay::Input<T> input{sizes[0], sizes[1],   sizes[2],              numbers,   batch,                     \
                                    edge_index, edge_index + sizes[2], positions, shift, weights};                     \
        static_cast<assay::Engine<T, RANK>*>(engine)->evaluate(input, threads, energy, forces, virial, gradients);     \
    }

INTERFACE(painn_1_float32, float, 1)
INTERFACE(painn_1_float64, double, 1)
INTERFACE(painn_2_float32, float, 2)
INTERFACE(painn_2_float64, double, 2)

#define NEIGHBORS(NAME, T)                                                                                             \
    extern "C" int64_t NAME(int64_t n_structures, const int64_t* first, const T* positions, T cutoff,                  \
                            int64_t* neighbor, int64_t* atom) {                                                        \
        return assay::neighbors<T>(n_structures, first, positions, cutoff, neighbor, atom);                            \
    }

NEIGHBORS(neighbors_float32, float)
NEIGHBORS(neighbors_float64, double)
