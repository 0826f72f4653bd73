// How a call's structures are divided among threads and into groups that fit the cache.
#pragma once

#include <algorithm>
#include <vector>

#include "pass.h"

namespace assay {

constexpr int ATOMS_PER_GROUP = ATOMS_PER_CHUNK;  // about as many for each thread of the group's team

// The index behind the last atom of each structure.
inline std::vector<int64_t> structure_ends(const Call& in) {
    std::vector<int64_t> ends;
    for (int64_t i = 1; i <= in.n_local; ++i)
        if (i == in.n_local || in.structure[i] != in.structure[i - 1]) ends.push_back(i);
    return ends;
}

// Divides the atoms [from, to) into parts of whole structures, as evenly as possible: from, boundary, ..., to.
inline std::vector<int64_t> boundaries(const std::vector<int64_t>& ends, int64_t from, int64_t to, int64_t parts) {
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

inline int64_t largest_share(const std::vector<int64_t>& shares) {
    int64_t most = 0;
    for (size_t k = 1; k < shares.size(); ++k) most = std::max(most, shares[k] - shares[k - 1]);
    return most;
}

// Divides all atoms into groups of whole structures for ``width`` threads each; an exchange moves the rows of all.
inline std::vector<Group> groups(const Call& in, const std::vector<int64_t>& ends, int width) {
    if (in.exchange) return {{0, in.n_local, in.n_atoms}};
    const int64_t size = ATOMS_PER_GROUP * width, parts = std::max<int64_t>(1, (in.n_local + size / 2) / size);
    const std::vector<int64_t> found = boundaries(ends, 0, in.n_local, parts);
    std::vector<Group> made;
    for (size_t k = 1; k < found.size(); ++k)
        if (found[k] > found[k - 1]) made.push_back({found[k - 1], found[k], found[k] - found[k - 1]});
    return made;
}

}  // namespace assay
