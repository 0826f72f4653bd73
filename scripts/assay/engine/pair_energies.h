// The energy of each pair of atoms by itself: radial functions with a row of coefficients for each two elements.
#pragma once

#include <vector>

#include "splines.h"

namespace assay {

template <class T>
class PairEnergies {
   public:
    // An energy and its derivative by the distance, half of them for each direction of an edge, eV and eV/angstrom.
    struct Half {
        double energy = 0.0, slope = 0.0;
    };

    explicit PairEnergies(const Constants& of)
        : n(of.set.n_rbf), count(of.set.n_pair_elements), places(of.pair_places, of.pair_places + of.set.max_z + 1),
          table(count * (count + 1) / 2 * n) {}

    int64_t n_parameters() const { return static_cast<int64_t>(table.size()); }
    void set_table(const T* flat) { std::copy_n(flat, table.size(), table.begin()); }

    // The place of a pair's coefficients in the table; -1 where one of its elements has none.
    int64_t place(int64_t z, int64_t w) const {
        const int64_t higher = std::max(places[z], places[w]), lower = std::min(places[z], places[w]);
        return higher < count ? (higher * (higher + 1) / 2 + lower) * n : -1;
    }

    // The energy by radial functions and their slopes, both with the envelope.
    Half of_basis(int64_t place, const T* basis, const T* slope) const {
        Half half;
        for (int64_t r = 0; r < n; ++r) {
            half.energy += 0.5 * table[place + r] * basis[r];
            half.slope += 0.5 * table[place + r] * slope[r];
        }
        return half;
    }

    // The same by splines, of which ``first`` is the row of the first.
    Half of_splines(int64_t place, const RadialSplines<T>& splines, int32_t first, const T* value,
                    const T* slope) const {
        const double* fitted = splines.coefficients(first);
        double sums[SPLINES] = {};  // side by side, so that no addition waits for the one before
        for (int64_t r = 0; r < n; ++r)
            for (int k = 0; k < SPLINES; ++k) sums[k] += table[place + r] * fitted[k * n + r];
        Half half;
        for (int k = 0; k < SPLINES; ++k) {
            half.energy += 0.5 * sums[k] * value[k];
            half.slope += 0.5 * sums[k] * slope[k];
        }
        return half;
    }

    // Adds what one direction of an edge, whose energy has this weight, gives to the gradient by the table.
    void add_gradient(int64_t place, double weight, const T* basis, T* gradient) const {
        for (int64_t r = 0; r < n; ++r) gradient[place + r] += T(0.5 * weight) * basis[r];
    }

   private:
    const int64_t n, count;
    const std::vector<int64_t> places;  // of each element among those with pair energies, ``count`` for the others
    std::vector<T> table;
};

}  // namespace assay
