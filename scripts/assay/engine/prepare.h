// What a caller gives, checked and brought into the order in which networks read it.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "assay.h"
#include "call.h"
#include "model_file.h"
#include "order.h"

namespace assay {

// Raised for positions and vectors that are not finite, and for two atoms at one place.
constexpr int NOT_FINITE = 1000;

// How far sums over all edges may be from zero, relative to the sum of their magnitudes, where each edge has a reverse.
constexpr double ASYMMETRY = 1e-6;
constexpr double COINCIDENT_A = 1e-6;  // two atoms that are nearer are at one place
constexpr double SAME_A = 1e-3;        // vectors that differ by less are one vector, rounded
constexpr double SURE = 0.9999;        // the part of the squared cutoff within which no rounding drops an edge

template <class... Parts>
[[noreturn]] void refuse(int code, const Parts&... parts) {
    std::string message;
    auto add = [&](const auto& part) {
        if constexpr (std::is_arithmetic_v<std::decay_t<decltype(part)>>) message += std::to_string(part);
        else message += part;
    };
    (add(parts), ...);
    throw Failure{code, message};
}

// The memory is kept from call to call.
class Prepared {
   public:
    std::vector<int32_t> numbers, structure, neighbor;
    std::vector<int64_t> first;
    std::vector<double> vectors;

    Order order;

    // Checks atoms and edges and copies them, those of large structures in the order of ``order``. ``in`` has n_atoms,
    // n_local, n_structures, n_edges and ghosts (whether there may be any), and gives number(i), structure_of(i),
    // neighbor_of(k), center_of(k) and vector(k, double[3]). Edges beyond the cutoff are dropped.
    template <class Source>
    void take(const Source& in, double cutoff, const std::vector<double>& known) {
        check_sizes(in);
        atoms(in, known);
        next.assign(in.n_local + 1, 0);
        uint64_t unpaired = 0;  // a sum that is zero where each edge between two local atoms has a reverse
        double asymmetry[4] = {}, magnitude[2] = {};
        const double square_cutoff = cutoff * cutoff;
        for (int64_t k = 0; k < in.n_edges; ++k) {
            const int64_t i = in.center_of(k), j = in.neighbor_of(k);
            if (i < 0 || i >= in.n_local)
                refuse(ASSAY_BAD_ARGUMENT, "edge ", k, " has the center ", i, ", and there are ", in.n_local,
                       " local atoms");
            if (j < 0 || j >= in.n_atoms)
                refuse(ASSAY_BAD_ARGUMENT, "edge ", k, " has the neighbor ", j, ", and there are ", in.n_atoms,
                       " atoms");
            if (structure[i] != structure[j])
                refuse(ASSAY_BAD_ARGUMENT, "edge ", k, " joins atoms of the structures ", structure[i], " and ",
                       structure[j]);
            double r[3];
            in.vector(k, i, j, r);
            const double square = r[0] * r[0] + r[1] * r[1] + r[2] * r[2];
            if (!std::isfinite(square))
                refuse(NOT_FINITE, "the vector of edge ", k, ", between the atoms ", i, " and ", j, ", is not finite");
            if (square >= square_cutoff) continue;
            if (square < COINCIDENT_A * COINCIDENT_A)
                refuse(NOT_FINITE, "the atoms ", i, " and ", j, " of edge ", k, " are at one place");
            ++next[i + 1];
            if (j >= in.n_local) continue;
            if (i != j) unpaired += i < j ? mixed(i, j) : -mixed(j, i);
            const double weight = square_cutoff - square;  // an edge as long as the cutoff may lack its reverse
            for (int x = 0; x < 3; ++x) asymmetry[x] += weight * r[x];
            asymmetry[3] += weight * double(j - i);
            magnitude[0] += weight * std::sqrt(square);
            magnitude[1] += weight * std::fabs(double(j - i));
        }
        for (int x = 0; x < 4; ++x)
            if (std::fabs(asymmetry[x]) > ASYMMETRY * magnitude[x / 3])
                refuse(ASSAY_BAD_ARGUMENT,
                       "some edges have no reverse: give every pair of atoms both ways, with opposite vectors");
        first.resize(in.n_local + 1);
        for (int64_t i = 0; i < in.n_local; ++i) next[i + 1] += next[i];
        std::copy(next.begin(), next.end(), first.begin());
        neighbor.resize(first.back());
        vectors.resize(3 * first.back());
        for (int64_t k = 0; k < in.n_edges; ++k) {
            const int64_t i = in.center_of(k), j = in.neighbor_of(k);
            double r[3];
            in.vector(k, i, j, r);
            if (r[0] * r[0] + r[1] * r[1] + r[2] * r[2] >= square_cutoff) continue;
            const int64_t place = next[i]++;
            neighbor[place] = static_cast<int32_t>(j);
            for (int x = 0; x < 3; ++x) vectors[3 * place + x] = r[x];
        }
        refuse_repeated(in.n_atoms);
        if (unpaired != 0) refuse_unpaired(square_cutoff);
        order.place.clear();
        if (!in.ghosts) order.find(structure, first, neighbor, vectors, cutoff);
        if (!order.place.empty()) reorder();
    }

    // Copies rows of ``width`` numbers from the order in which networks have atoms to that of the caller.
    template <class From, class To>
    void in_order_of_caller(const From* rows, int64_t n_atoms, int64_t width, To* out) const {
        for (int64_t i = 0; i < n_atoms; ++i)
            std::copy_n(rows + width * (order.place.empty() ? i : order.place[i]), width, out + width * i);
    }

   private:
    std::vector<int64_t> next;
    std::vector<int32_t> seen;
    std::vector<int32_t> old_numbers, old_neighbor;
    std::vector<int64_t> old_first;
    std::vector<double> old_vectors;

    // Sums of these differ where pairs of atoms do, but for one case in 2^64.
    static uint64_t mixed(uint64_t low, uint64_t high) {
        uint64_t bits = (low << 32 | high) * 0x9E3779B97F4A7C15u;
        bits = (bits ^ bits >> 32) * 0xD6E8FEB86659FD93u;
        return bits ^ bits >> 32;
    }

    // Whether the edge is ``sign`` times the vector of another, to rounding.
    bool is_same(int64_t edge, int64_t other, double sign) const {
        double square = 0;
        for (int x = 0; x < 3; ++x) {
            const double difference = vectors[3 * edge + x] - sign * vectors[3 * other + x];
            square += difference * difference;
        }
        return square < SAME_A * SAME_A;
    }

    // Refuses an edge that an atom has twice; it may have a neighbor twice, as two images.
    void refuse_repeated(int64_t n_atoms) {
        seen.assign(n_atoms, -1);
        for (int64_t i = 0; i + 1 < int64_t(first.size()); ++i)
            for (int64_t e = first[i]; e < first[i + 1]; ++e) {
                const int32_t j = neighbor[e];
                for (int64_t other = first[i]; seen[j] == i && other < e; ++other)
                    if (neighbor[other] == j && is_same(e, other, 1))
                        refuse(ASSAY_BAD_ARGUMENT, "the atoms ", i, " and ", j,
                               " have one edge twice: give every pair of atoms once each way");
                seen[j] = static_cast<int32_t>(i);
            }
    }

    // Refuses the first edge between local atoms that has no reverse, if it is not as long as the cutoff.
    void refuse_unpaired(double square_cutoff) const {
        const int64_t n_local = first.size() - 1;
        for (int64_t i = 0; i < n_local; ++i)
            for (int64_t e = first[i]; e < first[i + 1]; ++e) {
                const int64_t j = neighbor[e];
                const double* r = &vectors[3 * e];
                if (j >= n_local || r[0] * r[0] + r[1] * r[1] + r[2] * r[2] > SURE * square_cutoff) continue;
                int64_t reverse = first[j];
                while (reverse < first[j + 1] && !(neighbor[reverse] == i && is_same(e, reverse, -1))) ++reverse;
                if (reverse == first[j + 1])
                    refuse(ASSAY_BAD_ARGUMENT, "the edge of atom ", i, " to atom ", j,
                           " has no reverse: give every pair of atoms both ways, with opposite vectors");
            }
    }

    // Puts atoms and edges into the order; structures stay where they are.
    void reorder() {
        const std::vector<int32_t>& place = order.place;
        const int64_t n = place.size();
        old_numbers.swap(numbers);
        old_neighbor.swap(neighbor);
        old_first.swap(first);
        old_vectors.swap(vectors);
        numbers.resize(n);
        first.assign(n + 1, 0);
        for (int64_t i = 0; i < n; ++i) {
            numbers[place[i]] = old_numbers[i];
            first[place[i] + 1] = old_first[i + 1] - old_first[i];
        }
        for (int64_t i = 0; i < n; ++i) first[i + 1] += first[i];
        neighbor.resize(old_neighbor.size());
        vectors.resize(old_vectors.size());
        for (int64_t i = 0; i < n; ++i) {
            int64_t to = first[place[i]];
            std::copy(old_vectors.begin() + 3 * old_first[i], old_vectors.begin() + 3 * old_first[i + 1],
                      vectors.begin() + 3 * to);
            for (int64_t e = old_first[i]; e < old_first[i + 1]; ++e) neighbor[to++] = place[old_neighbor[e]];
        }
    }

    template <class Source>
    static void check_sizes(const Source& in) {
        constexpr int64_t MOST = INT32_MAX;
        auto within = [](const char* what, int64_t value, int64_t low, int64_t high) {
            if (value < low || value > high)
                refuse(ASSAY_BAD_ARGUMENT, what, " is ", value, " and not from ", low, " to ", high);
        };
        within("n_atoms", in.n_atoms, 0, MOST);
        within("n_local", in.n_local, 0, in.n_atoms);
        within("n_structures", in.n_structures, 0, MOST);
        within("n_edges", in.n_edges, 0, int64_t(1) << 40);
        if (in.n_local < in.n_atoms && !in.ghosts)
            refuse(ASSAY_BAD_ARGUMENT, "there are ", in.n_atoms - in.n_local,
                   " ghost atoms and no function `exchange`: give one");
    }

    template <class Source>
    void atoms(const Source& in, const std::vector<double>& known) {
        numbers.resize(in.n_atoms);
        structure.resize(in.n_atoms);
        int64_t before = -1;
        for (int64_t i = 0; i < in.n_atoms; ++i) {
            const int64_t z = in.number(i), s = in.structure_of(i);
            if (z < 0 || z >= int64_t(known.size()) || known[z] == 0.0)
                refuse(ASSAY_UNKNOWN_ELEMENT, "atom ", i, " has the atomic number ", z,
                       ", which the model was never trained on");
            if (s < 0 || s >= in.n_structures)
                refuse(ASSAY_BAD_ARGUMENT, "atom ", i, " is of structure ", s, ", and there are ", in.n_structures);
            if (i < in.n_local) {
                if (s < before || (s > before + 1 && !in.ghosts))
                    refuse(ASSAY_BAD_ARGUMENT, "the structures of atoms are not in order (atom ", i, " is of ", s,
                           "): sort atoms by structure, from 0 on and without a gap");
                before = s;
            }
            numbers[i] = static_cast<int32_t>(z);
            structure[i] = static_cast<int32_t>(s);
        }
        if (before + 1 < in.n_structures && !in.ghosts && in.n_local > 0)
            refuse(ASSAY_BAD_ARGUMENT, "structure ", before + 1, " has no atoms, and there are ", in.n_structures,
                   " structures");
    }
};

}  // namespace assay
