// The model file, model.assay: the weights of one network and all that is needed to compute it.
//
// A header, then the parts, each at a multiple of 64 bytes with zeros between them; numbers are little-endian.
//
//     header     "ASSAYMDL"  uint32 version, 2  uint32 number of parts
//                for each part: char[16] name, uint64 offset, uint64 size, uint8[32] SHA-256 of the part
//                uint8[32] SHA-256 of the header up to here
//     metadata   JSON, for people and programs; the engine does not read it. A network that the engine does not compute
//                becomes a file whose other parts are empty.
//     settings   ``Hyperparameters``
//     elements   float64 [6, max_z + 1] by atomic number: covalent radius, angstrom; Z^CHARGE_POWER, and the same as
//                the network keeps it; reference energy, eV; 1 for the elements that the model was trained on, 0 for
//                others; the place among the elements with pair energies, their number for others
//     radial     float64 [2, n_rbf]: the center and the width of each Gaussian, or the k of each sine and 1
//     parameters in the order of the model's, numbers of ``parameter_bits``; layers that blocks share once for each
//
// assay/engine/model_file.py writes it. Whatever a file holds, reading it ends with a model or with a Failure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "constants.h"

namespace assay {

// Thrown by all that checks what a user gives: a code of assay.h, and a sentence.
struct Failure {
    int code;
    std::string message;
};

struct ModelFile {
    Hyperparameters settings;
    std::string metadata;
    std::vector<double> radii, powers, screening, reference, known, pair_places, places, widths, parameters;

    // Raises Failure with ASSAY_BAD_FILE; ``name`` is what the sentence calls the file.
    ModelFile(const uint8_t* bytes, uint64_t size, const std::string& name);
};

// The bytes of a file. Raises Failure with ASSAY_BAD_FILE.
std::vector<uint8_t> read_file(const std::string& path);

}  // namespace assay
