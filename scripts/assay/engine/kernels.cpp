// The networks, compiled for the instructions of one kind of processor. MAKE is the name of the function that makes
// them there.
#include "network.h"

extern "C" assay::AnyNetwork* MAKE(const assay::Constants& constants, int precision) {
    using namespace assay;
    if (constants.set.rank == 1) {
        if (precision == 32) return new Network<float, 1>(constants);
        return new Network<double, 1>(constants);
    }
    if (precision == 32) return new Network<float, 2>(constants);
    return new Network<double, 2>(constants);
}
