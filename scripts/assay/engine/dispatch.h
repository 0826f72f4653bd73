// The networks compiled for this processor.
#pragma once

#include "call.h"

namespace assay {

struct Instructions {
    const char* name;  // as assay_instructions of assay.h returns it; "" for none
    MakeNetwork make;
};

// The best instructions that this processor has among those that the library was built for.
const Instructions& instructions();

}  // namespace assay
