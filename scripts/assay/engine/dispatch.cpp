// HAVE_... says for which instructions the networks were compiled (assay/engine/build.py).
#include "dispatch.h"

#include <cstdlib>
#include <cstring>

#define DECLARE(MAKE) extern "C" assay::AnyNetwork* MAKE(const assay::Constants& constants, int precision);
DECLARE(assay_network_x86_64_v4)
DECLARE(assay_network_x86_64_v3)
DECLARE(assay_network_aarch64)
DECLARE(assay_network_generic)

namespace assay {
namespace {

[[maybe_unused]] bool has_x86_64_v3() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

[[maybe_unused]] bool has_x86_64_v4() {
#if defined(__x86_64__)
    return has_x86_64_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

// ASSAY_INSTRUCTIONS in the environment chooses others than the best.
[[maybe_unused]] bool allowed(const char* name) {
    const char* wanted = std::getenv("ASSAY_INSTRUCTIONS");
    return !wanted || !*wanted || std::strcmp(wanted, name) == 0;
}

Instructions best() {
#ifdef HAVE_X86_64_V4
    if (has_x86_64_v4() && allowed("x86-64-v4")) return {"x86-64-v4", assay_network_x86_64_v4};
#endif
#ifdef HAVE_X86_64_V3
    if (has_x86_64_v3() && allowed("x86-64-v3")) return {"x86-64-v3", assay_network_x86_64_v3};
#endif
#ifdef HAVE_AARCH64
    if (allowed("aarch64")) return {"aarch64", assay_network_aarch64};
#endif
#ifdef HAVE_GENERIC
    if (allowed("generic")) return {"generic", assay_network_generic};
#endif
    return {"", nullptr};
}

}  // namespace

const Instructions& instructions() {
    static const Instructions found = best();
    return found;
}

}  // namespace assay
