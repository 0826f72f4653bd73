// All pairs of atoms within the cutoff, structure by structure: quadratic, which is the fastest way up to some hundred
// atoms.
#pragma once

#include <cstdint>

namespace assay {

// Writes the edges, sorted by center and then by neighbor, and returns their number. Structure s owns the atoms
// [first[s], first[s + 1]). ``neighbor`` and ``center`` have room for all pairs of each structure, and one more.
template <class T>
int64_t neighbors(int64_t n_structures, const int64_t* first, const T* positions, T cutoff, int64_t* neighbor,
                  int64_t* center) {
    int64_t n = 0;
    for (int64_t s = 0; s < n_structures; ++s)
        for (int64_t i = first[s]; i < first[s + 1]; ++i) {
            const T x = positions[3 * i], y = positions[3 * i + 1], z = positions[3 * i + 2];
            for (int64_t j = first[s]; j < first[s + 1]; ++j) {
                const T dx = positions[3 * j] - x, dy = positions[3 * j + 1] - y, dz = positions[3 * j + 2] - z;
                neighbor[n] = j;
                center[n] = i;
                n += (dx * dx + dy * dy + dz * dz <= cutoff * cutoff) & (i != j);
            }
        }
    return n;
}

}  // namespace assay
