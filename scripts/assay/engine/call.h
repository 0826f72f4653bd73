// What the interface of the library and the networks say to each other. Networks are compiled several times, for
// processors with different instructions; whoever calls them need not know for which.
#pragma once

#include <cstdint>

#include "constants.h"

namespace assay {

// The arguments of one call: atoms sorted by structure, of which those from n_local on are ghosts, and edges sorted by
// their center: those of atom i are [first[i], first[i + 1]).
struct Call {
    int64_t n_atoms, n_local, n_structures;
    const int32_t *numbers, *structure, *neighbor;
    const int64_t* first;
    const double* vectors;
    const double* weights;  // the weight of each structure's energy in the sum that is differentiated; null for 1
    void (*exchange)(void* context, void* rows, int64_t width, int precision);
    void* context;
};

// Where the results go; null for those that are not wanted. Atomic energies have no reference energies, and gradients
// the type of the network's numbers.
struct Results {
    double *atomic_energies, *forces, *virial;
    void* gradients;
};

// What a network is made of besides its parameters: radii, screening and places among the elements with pair energies
// by atomic number, places and widths of the radial functions.
struct Constants {
    Hyperparameters set;
    const double *radii, *screening, *pair_places, *places, *widths;
};

class AnyNetwork {
   public:
    virtual ~AnyNetwork() = default;
    // The number of parameters.
    virtual int64_t n_parameters() = 0;
    // The largest number of values of an atom that an exchange moves.
    virtual int64_t row_width() const = 0;
    // Copies the parameters, which come in the order of the model's and have the type of the network's numbers.
    virtual void set_parameters(const void* flat) = 0;
    virtual void evaluate(const Call& call, int threads, const Results& results) = 0;
};

// Makes a network that computes in numbers of 32 or of 64 bits; its parameters are zero.
typedef AnyNetwork* (*MakeNetwork)(const Constants&, int precision);

}  // namespace assay
