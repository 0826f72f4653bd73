// An order of atoms in which neighbors lie near each other in memory, so that a chunk of atoms finds them in the cache.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace assay {

constexpr int64_t SMALLEST_ORDERED = 256;  // atoms; the features of smaller structures fit the cache in any order

class Order {
   public:
    std::vector<int32_t> place;  // the new index of each atom; empty where all keep theirs

    // Orders the atoms of each large structure by cells along a Z-order curve. ``structure``, ``first``, ``neighbor``
    // and ``vectors`` are those of a Call without ghosts.
    void find(const std::vector<int32_t>& structure, const std::vector<int64_t>& first,
              const std::vector<int32_t>& neighbor, const std::vector<double>& vectors, double cutoff) {
        place.clear();
        const int64_t n = structure.size();
        for (int64_t begin = 0, end; begin < n; begin = end) {
            for (end = begin + 1; end < n && structure[end] == structure[begin];) ++end;
            if (end - begin < SMALLEST_ORDERED) continue;
            if (place.empty()) {
                place.resize(n);
                std::iota(place.begin(), place.end(), 0);
            }
            positions.assign(3 * n, 0.0);
            key.assign(n, UNSEEN);
            sorted.clear();
            uint64_t component = 0;
            for (int64_t i = begin; i < end; ++i)
                if (key[i] == UNSEEN) walk(i, component++, first, neighbor, vectors, CELL_IN_CUTOFFS * cutoff);
            std::sort(sorted.begin(), sorted.end());
            for (int64_t k = 0; k < end - begin; ++k) place[sorted[k].second] = static_cast<int32_t>(begin + k);
        }
    }

   private:
    static constexpr uint64_t UNSEEN = ~uint64_t(0);
    static constexpr double CELL_IN_CUTOFFS = 0.6;
    static constexpr int BITS = 10;  // of a cell along each axis
    std::vector<double> positions;
    std::vector<uint64_t> key;
    std::vector<std::pair<uint64_t, int32_t>> sorted;
    std::vector<int32_t> queue;

    // Walks from an atom along edges to all that hang together with it. The vectors on the way are their positions,
    // with whole molecules and without jumps at the boundaries of a cell.
    void walk(int64_t start, uint64_t component, const std::vector<int64_t>& first,
              const std::vector<int32_t>& neighbor, const std::vector<double>& vectors, double cell) {
        queue.assign(1, static_cast<int32_t>(start));
        key[start] = component;
        double low[3] = {};
        for (size_t at = 0; at < queue.size(); ++at) {
            const int64_t i = queue[at];
            for (int64_t e = first[i]; e < first[i + 1]; ++e) {
                const int64_t j = neighbor[e];
                if (key[j] != UNSEEN) continue;
                key[j] = component;
                for (int x = 0; x < 3; ++x) {
                    positions[3 * j + x] = positions[3 * i + x] + vectors[3 * e + x];
                    low[x] = std::min(low[x], positions[3 * j + x]);
                }
                queue.push_back(static_cast<int32_t>(j));
            }
        }
        for (int32_t i : queue) {
            uint64_t curve = 0;
            for (int x = 0; x < 3; ++x) {
                const double steps = (positions[3 * i + x] - low[x]) / cell;
                const auto index = static_cast<uint64_t>(std::min(steps, double((1 << BITS) - 1)));
                for (int bit = 0; bit < BITS; ++bit) curve |= (index >> bit & 1) << (3 * bit + x);
            }
            sorted.emplace_back(component << (3 * BITS) | curve, i);
        }
    }
};

}  // namespace assay
