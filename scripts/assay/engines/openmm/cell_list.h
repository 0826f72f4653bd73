// All pairs of atoms within a radius, with their periodic images, by cells: linear in the number of atoms.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "openmm/Vec3.h"

namespace assay {

// Pairs sorted by center; the vector of pair k is x[neighbor[k]] - x[center[k]] + shift[k], in the unit of positions.
struct Pairs {
    std::vector<int32_t> neighbor, center;
    std::vector<OpenMM::Vec3> shift;
};

// Lattice vectors in rows of which the first is along x and the second in the plane of x and y, as OpenMM wants them.
// An open structure has a box of its own that no pair crosses.
class CellList {
   public:
    // `box` is null for an open structure. Throws std::runtime_error for positions that are not finite, or a flat box.
    CellList(const std::vector<OpenMM::Vec3>& x, const OpenMM::Vec3* box, double radius)
        : x(x), radius(radius), periodic(box) {
        for (const auto& r : x)
            if (!std::isfinite(r[0] + r[1] + r[2])) throw std::runtime_error("a position is not finite");
        if (periodic) std::copy(box, box + 3, lattice);
        else enclose();
        heights();
        assign();
    }

    Pairs pairs() const {
        Pairs found;
        for (size_t i = 0; i < x.size(); ++i) search(i, found);
        return found;
    }

   private:
    static constexpr int MOST_CELLS = 64;  // along an axis: atoms far apart leave no more cells empty than that
    const std::vector<OpenMM::Vec3>& x;
    double radius;
    bool periodic;
    OpenMM::Vec3 lattice[3], origin;
    int count[3], reach[3];
    std::vector<OpenMM::Vec3> wrap;          // what brings each atom into the box
    std::vector<int32_t> cell, first, atoms;  // the cell of each atom; the atoms by cell

    void enclose() {
        OpenMM::Vec3 low = x.empty() ? OpenMM::Vec3() : x[0], high = low;
        for (const auto& r : x)
            for (int k = 0; k < 3; ++k) {
                low[k] = std::min(low[k], r[k]);
                high[k] = std::max(high[k], r[k]);
            }
        origin = low;
        for (int k = 0; k < 3; ++k) {
            lattice[k] = OpenMM::Vec3();
            lattice[k][k] = high[k] - low[k] + radius;
        }
    }

    void heights() {
        const OpenMM::Vec3 cross[3] = {lattice[1].cross(lattice[2]), lattice[2].cross(lattice[0]),
                                       lattice[0].cross(lattice[1])};
        for (int k = 0; k < 3; ++k) {
            const double height = std::abs(lattice[k].dot(cross[k])) / std::sqrt(cross[k].dot(cross[k]));
            if (!(height > 0.02 * radius))
                throw std::runtime_error("the periodic box is too flat for a neighbor search");
            count[k] = std::clamp(int(height / radius), 1, MOST_CELLS);
            reach[k] = periodic ? int(std::ceil(radius * count[k] / height)) : 1;
        }
    }

    void assign() {
        const size_t n = x.size();
        wrap.assign(n, OpenMM::Vec3());
        cell.resize(n);
        first.assign(size_t(count[0]) * count[1] * count[2] + 1, 0);
        for (size_t i = 0; i < n; ++i) {
            OpenMM::Vec3 r = x[i] - origin;
            int at[3];
            for (int k = 2; k >= 0; --k) {  // a lattice vector has no components along the axes that follow its own
                const double fraction = r[k] / lattice[k][k], whole = periodic ? std::floor(fraction) : 0.0;
                r -= lattice[k] * fraction;
                wrap[i] -= lattice[k] * whole;
                at[k] = std::clamp(int((fraction - whole) * count[k]), 0, count[k] - 1);
            }
            cell[i] = (at[0] * count[1] + at[1]) * count[2] + at[2];
            ++first[cell[i] + 1];
        }
        for (size_t c = 1; c < first.size(); ++c) first[c] += first[c - 1];
        atoms.resize(n);
        std::vector<int32_t> next(first.begin(), first.end() - 1);
        for (size_t i = 0; i < n; ++i) atoms[next[cell[i]]++] = int32_t(i);
    }

    // The cell that is `steps` cells further along axis k, and how many lattice vectors lie between; false if there is
    // none.
    bool step(int k, int at, int steps, int& to, int& images) const {
        to = at + steps;
        images = periodic ? int(std::floor(double(to) / count[k])) : 0;
        to -= images * count[k];
        return to >= 0 && to < count[k];
    }

    void search(size_t i, Pairs& found) const {
        const int c = cell[i], at[3] = {c / (count[1] * count[2]), c / count[2] % count[1], c % count[2]};
        int to[3], images[3];
        for (int a = -reach[0]; a <= reach[0]; ++a) {
            if (!step(0, at[0], a, to[0], images[0])) continue;
            for (int b = -reach[1]; b <= reach[1]; ++b) {
                if (!step(1, at[1], b, to[1], images[1])) continue;
                for (int d = -reach[2]; d <= reach[2]; ++d) {
                    if (!step(2, at[2], d, to[2], images[2])) continue;
                    const OpenMM::Vec3 image = lattice[0] * images[0] + lattice[1] * images[1] + lattice[2] * images[2];
                    const bool same = !images[0] && !images[1] && !images[2];
                    const int other = (to[0] * count[1] + to[1]) * count[2] + to[2];
                    for (int k = first[other]; k < first[other + 1]; ++k) add(i, atoms[k], image, same, found);
                }
            }
        }
    }

    void add(size_t i, int32_t j, const OpenMM::Vec3& image, bool same, Pairs& found) const {
        if (same && int32_t(i) == j) return;
        const OpenMM::Vec3 shift = image + wrap[j] - wrap[i], r = x[j] - x[i] + shift;
        if (r.dot(r) >= radius * radius) return;
        found.neighbor.push_back(j);
        found.center.push_back(int32_t(i));
        found.shift.push_back(shift);
    }
};

}  // namespace assay
