// A model file in libassay.so, which is loaded at run time: a plugin that uses this is compiled once for all students.
#pragma once

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "../engine/assay.h"

namespace assay {

// The path of libassay.so: the environment variable ASSAY_LIBRARY; else the file beside the shared object that holds
// the given address, or in one of the three folders above it, as in the wheel of a student; else the name alone, which
// the dynamic linker searches.
inline std::string library_path(const void* address_in_plugin) {
    if (const char* given = std::getenv("ASSAY_LIBRARY")) return given;
    Dl_info info;
    std::string place = dladdr(address_in_plugin, &info) && info.dli_fname ? info.dli_fname : "";
    for (int above = 0; above <= 3 && place.find('/') != std::string::npos; ++above) {
        place.erase(place.find_last_of('/'));
        const std::string found = place + "/libassay.so";
        if (access(found.c_str(), R_OK) == 0) return found;
    }
    return "libassay.so";
}

// A model. All functions throw std::runtime_error with one sentence for the user.
class Model {
   public:
    // Opens the model file at `path` by the library at `library`, in numbers of 32 or of 64 bits.
    Model(const std::string& path, int precision, const std::string& library) {
        handle_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!handle_)
            throw std::runtime_error(std::string("libassay.so cannot be loaded (") + dlerror() +
                                     "): put it beside the plugin or name it by ASSAY_LIBRARY");
        find(version_, "assay_interface_version");
        if (version_() != ASSAY_INTERFACE_VERSION)
            throw std::runtime_error(library + " has interface " + std::to_string(version_()) + " and the plugin " +
                                     std::to_string(ASSAY_INTERFACE_VERSION) + ": compile the plugin again");
        find(last_error_, "assay_last_error");
        find(open_, "assay_open");
        find(close_, "assay_close");
        find(cutoff_, "assay_cutoff");
        find(has_element_, "assay_has_element");
        find(metadata_, "assay_metadata");
        find(row_width_, "assay_row_width");
        find(evaluate_, "assay_evaluate");
        check(open_(path.c_str(), precision, &model_));
    }
    ~Model() {
        if (model_) close_(model_);  // the library stays: its threads may still wait in it
    }
    Model(const Model&) = delete;
    Model& operator=(const Model&) = delete;

    double cutoff() const { return cutoff_(model_); }
    bool has_element(int atomic_number) const { return has_element_(model_, atomic_number) != 0; }
    std::string metadata() const { return metadata_(model_); }
    int64_t row_width() const { return row_width_(model_); }
    void evaluate(assay_input& input, assay_output& output) {
        input.struct_size = sizeof input;
        output.struct_size = sizeof output;
        check(evaluate_(model_, &input, &output));
    }

   private:
    template <class Function>
    void find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(handle_, name));
        if (!function)
            throw std::runtime_error(std::string("libassay.so has no function ") + name + ": install it again");
    }
    void check(int code) const {
        if (code) throw std::runtime_error(last_error_());
    }

    void* handle_ = nullptr;
    assay_model* model_ = nullptr;
    decltype(&assay_interface_version) version_;
    decltype(&assay_last_error) last_error_;
    decltype(&assay_open) open_;
    decltype(&assay_close) close_;
    decltype(&assay_cutoff) cutoff_;
    decltype(&assay_has_element) has_element_;
    decltype(&assay_metadata) metadata_;
    decltype(&assay_row_width) row_width_;
    decltype(&assay_evaluate) evaluate_;
};

}  // namespace assay
