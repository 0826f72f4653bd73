// pair_style assay [single|double]; pair_coeff * * model.assay ELEMENT ...
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libassay.h"
#include "pair.h"

namespace LAMMPS_NS {

// A student as a pair style of LAMMPS.
//
// The atoms of one process are local, all others are ghosts: their messages come from the process that owns them, so
// that ghosts within one cutoff suffice for a network of any depth. Where there is one process, a ghost is an image of
// a local atom, and stands for that atom itself.
class PairAssay : public Pair {
   public:
    explicit PairAssay(LAMMPS *);
    ~PairAssay() override;
    void compute(int, int) override;
    void settings(int, char **) override;
    void coeff(int, char **) override;
    void init_style() override;
    double init_one(int, int) override;
    int pack_forward_comm(int, int *, double *, int, int *) override;
    void unpack_forward_comm(int, int, double *) override;
    int pack_reverse_comm(int, int, double *) override;
    void unpack_reverse_comm(int, int *, double *) override;
    double memory_usage() override;

   private:
    static void exchange(void *context, void *rows, int64_t width, int precision);
    void find_owners();
    void find_edges();
    void refuse_hidden_neighbors();
    void compare_masses();
    bool is_odd(double mass_u, double known_u) const;
    void compare_with_scope();
    void tally(double energy, const double *virial);

    std::unique_ptr<assay::Model> model;
    int precision = 32;
    std::vector<int32_t> element;                    // by type
    std::vector<int32_t> owner;                      // of each atom and ghost, its row
    std::vector<int32_t> numbers;                    // of the rows
    std::vector<int32_t> edge_neighbor, edge_center;
    std::vector<double> vectors, energies, forces;   // of the edges; of the local atoms; of the rows
    bool has_ghosts = false, compared = false;
    int taken_out = 0;     // bits of the groups of atoms that fix gcmc takes out on trial
    bigint builds = -1;    // of neighbor lists, when owners were found
    char *sent = nullptr;  // what the exchange under way sends: rows of so many bytes
    size_t row_bytes = 0;
};

}  // namespace LAMMPS_NS
