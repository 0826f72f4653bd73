// The C interface (assay.h), and what Python needs besides: the gradients of parameters.
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <new>

#include "assay.h"
#include "dispatch.h"
#include "neighbors.h"
#include "prepare.h"

using namespace assay;

struct assay_model {
    ModelFile file;
    int precision;
    std::unique_ptr<AnyNetwork> network;
    std::mutex in_use;
    Prepared prepared;
    std::vector<double> atomic_energies, forces;

    assay_model(const uint8_t* bytes, uint64_t size, const std::string& name, int precision)
        : file(bytes, size, name), precision(precision) {
        const std::vector<double>& screening = precision == 32 ? file.powers : file.screening;
        const Constants constants{file.settings,           file.radii.data(),  screening.data(),
                                  file.pair_places.data(), file.places.data(), file.widths.data()};
        network.reset(instructions().make(constants, precision));
        const std::vector<float> single(file.parameters.begin(), file.parameters.end());
        if (precision == 32) network->set_parameters(single.data());
        else network->set_parameters(file.parameters.data());
    }

    // The call whose atoms and edges are those of ``prepared``.
    Call call(int64_t n_atoms, int64_t n_local, int64_t n_structures) const {
        return {n_atoms, n_local, n_structures, prepared.numbers.data(), prepared.structure.data(),
                prepared.neighbor.data(), prepared.first.data(), prepared.vectors.data(), nullptr, nullptr, nullptr};
    }

    // Sums the energies of local atoms, to which it adds reference energies, by structure; ``energy`` may be null.
    void sum_energies(const Call& call, bool with_reference, double* energy) {
        if (energy) std::fill_n(energy, call.n_structures, 0.0);
        for (int64_t i = 0; i < call.n_local; ++i) {
            if (with_reference) atomic_energies[i] += file.reference[call.numbers[i]];
            if (energy) energy[call.structure[i]] += atomic_energies[i];
        }
    }

    // Evaluates a call into ``atomic_energies`` and, if they are wanted, ``forces``.
    void evaluate(const Call& call, int threads, bool wants_forces, double* virial, void* gradients) {
        atomic_energies.resize(call.n_local);
        if (wants_forces) forces.resize(3 * call.n_atoms + 1);  // not null where a process has no atoms
        network->evaluate(call, threads,
                          {atomic_energies.data(), wants_forces ? forces.data() : nullptr, virial, gradients});
    }
};

namespace {

thread_local std::string last_error;

// Runs what may throw, and returns a code of assay.h.
template <class F>
int guarded(F&& work) {
    try {
        work();
        return 0;
    } catch (const Failure& failure) {
        last_error = failure.message;
        return failure.code == NOT_FINITE ? ASSAY_BAD_ARGUMENT : failure.code;
    } catch (const std::bad_alloc&) {
        last_error = "there is not enough memory";
        return ASSAY_NO_MEMORY;
    } catch (const std::exception& error) {
        last_error = std::string("the engine failed: ") + error.what();
        return ASSAY_FAILED;
    }
}

template <class T>
const T& required(const T& pointer, const char* name) {
    if (!pointer) refuse(ASSAY_BAD_ARGUMENT, name, " is NULL");
    return pointer;
}

void open(const std::vector<uint8_t>& bytes, const std::string& name, int precision, assay_model** model) {
    *model = new assay_model(bytes.data(), bytes.size(), name, precision);
}

void check_opening(int precision, assay_model** model) {
    *required(model, "model") = nullptr;
    if (precision != 32 && precision != 64) refuse(ASSAY_BAD_ARGUMENT, "precision is ", precision, ": give 32 or 64");
    if (!instructions().make)
        refuse(ASSAY_UNSUPPORTED,
               "this processor has none of the instructions that the library was built for (AVX2 and FMA on x86-64), "
               "without which it would be slower than PyTorch: use ONNX Runtime here");
}

// The atoms and edges of an assay_input.
struct FromC {
    const assay_input& in;
    int64_t n_atoms, n_local, n_structures, n_edges;
    bool ghosts;

    explicit FromC(const assay_input& in)
        : in(in), n_atoms(in.n_atoms), n_local(in.n_local), n_structures(in.n_structures), n_edges(in.n_edges),
          ghosts(in.exchange != nullptr) {
        if (n_atoms > 0) required(in.atomic_numbers, "atomic_numbers");
        if (n_structures > 1) required(in.structure, "structure");
        if (n_edges > 0) {
            required(in.neighbor, "neighbor");
            required(in.center, "center");
            required(in.vectors, "vectors");
        }
        if (in.threads < 1) refuse(ASSAY_BAD_ARGUMENT, "threads is ", in.threads, ": give 1 or more");
    }
    int64_t number(int64_t i) const { return in.atomic_numbers[i]; }
    int64_t structure_of(int64_t i) const { return in.structure ? in.structure[i] : 0; }
    int64_t center_of(int64_t k) const { return in.center[k]; }
    int64_t neighbor_of(int64_t k) const { return in.neighbor[k]; }
    void vector(int64_t k, int64_t, int64_t, double* r) const { std::memcpy(r, in.vectors + 3 * k, 3 * sizeof *r); }
};

// The atoms and edges of torch tensors: vectors are positions[neighbor] - positions[center] + shift.
template <class T>
struct FromTensors {
    int64_t n_atoms, n_local, n_structures, n_edges;
    const int64_t *numbers, *batch, *edge_index;
    const T *positions, *shift;
    static constexpr bool ghosts = false;

    int64_t number(int64_t i) const {
        for (int x = 0; x < 3; ++x)
            if (!std::isfinite(positions[3 * i + x])) refuse(NOT_FINITE, "the position of atom ", i, " is not finite");
        return numbers[i];
    }
    int64_t structure_of(int64_t i) const { return batch[i]; }
    int64_t center_of(int64_t k) const { return edge_index[n_edges + k]; }
    int64_t neighbor_of(int64_t k) const { return edge_index[k]; }
    void vector(int64_t k, int64_t i, int64_t j, double* r) const {
        for (int x = 0; x < 3; ++x)
            r[x] = double(positions[3 * j + x]) - double(positions[3 * i + x]) + double(shift[3 * k + x]);
    }
};

template <class T>
void evaluate_tensors(assay_model& model, const FromTensors<T>& in, const double* weights, int threads, double* energy,
                      T* forces, double* virial, T* gradients) {
    try {
        model.prepared.take(in, model.file.settings.cutoff, model.file.known);
    } catch (const Failure& failure) {  // dynamics that break down go on in numbers that are none, as they do in torch
        if (failure.code != NOT_FINITE) throw;
        auto spoil = [](auto* out, int64_t n) {
            if (out) std::fill_n(out, n, std::numeric_limits<double>::quiet_NaN());
        };
        spoil(energy, in.n_structures);
        spoil(forces, 3 * in.n_atoms);
        spoil(virial, 9 * in.n_structures);
        spoil(gradients, model.network->n_parameters());
        return;
    }
    Call call = model.call(in.n_atoms, in.n_local, in.n_structures);
    call.weights = weights;
    model.evaluate(call, threads, forces != nullptr, virial, gradients);
    model.sum_energies(call, false, energy);
    if (forces) model.prepared.in_order_of_caller(model.forces.data(), in.n_atoms, 3, forces);
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int assay_interface_version(void) { return ASSAY_INTERFACE_VERSION; }

EXPORTED const char* assay_instructions(void) { return instructions().name; }

EXPORTED const char* assay_last_error(void) { return last_error.c_str(); }

EXPORTED int assay_open(const char* path, int precision, assay_model** model) {
    return guarded([&] {
        check_opening(precision, model);
        open(read_file(required(path, "path")), path, precision, model);
    });
}

EXPORTED int assay_open_bytes(const void* bytes, int64_t size, int precision, assay_model** model) {
    return guarded([&] {
        check_opening(precision, model);
        const uint8_t* begin = static_cast<const uint8_t*>(required(bytes, "bytes"));
        if (size < 0) refuse(ASSAY_BAD_ARGUMENT, "size is ", size);
        open({begin, begin + size}, "the model", precision, model);
    });
}

EXPORTED void assay_close(assay_model* model) { delete model; }

EXPORTED double assay_cutoff(const assay_model* model) { return model ? model->file.settings.cutoff : 0.0; }

EXPORTED int assay_has_element(const assay_model* model, int32_t atomic_number) {
    return model && atomic_number >= 0 && atomic_number <= model->file.settings.max_z &&
           model->file.known[atomic_number] != 0.0;
}

EXPORTED const char* assay_metadata(const assay_model* model) { return model ? model->file.metadata.c_str() : ""; }

EXPORTED int64_t assay_row_width(const assay_model* model) { return model ? model->network->row_width() : 0; }

EXPORTED int assay_evaluate(assay_model* model, const assay_input* input, assay_output* output) {
    return guarded([&] {
        required(model, "model");
        required(input, "input");
        required(output, "output");
        if (input->struct_size != sizeof(assay_input) || output->struct_size != sizeof(assay_output))
            refuse(ASSAY_BAD_ARGUMENT, "struct_size is ", input->struct_size, " and ", output->struct_size,
                   " where this library has ", sizeof(assay_input), " and ", sizeof(assay_output),
                   ": set it to sizeof, and compile with the header of the library");
        const FromC in(*input);
        const std::lock_guard<std::mutex> lock(model->in_use);
        model->prepared.take(in, model->file.settings.cutoff, model->file.known);
        Call call = model->call(in.n_atoms, in.n_local, in.n_structures);
        call.exchange = input->exchange;
        call.context = input->context;
        model->evaluate(call, input->threads, output->forces || output->virial, output->virial, nullptr);
        model->sum_energies(call, true, output->energy);
        const Prepared& prepared = model->prepared;
        if (output->atomic_energies)
            prepared.in_order_of_caller(model->atomic_energies.data(), in.n_local, 1, output->atomic_energies);
        if (output->forces) prepared.in_order_of_caller(model->forces.data(), in.n_atoms, 3, output->forces);
    });
}

// For assay/engine/painn.py: copies parameters of the precision of the model, in the order of the file's. Tensors come
// with their sizes [atoms, structures, edges], in the precision of the model; energies have no reference energies.
EXPORTED int64_t assay_n_parameters(const assay_model* model) { return model->network->n_parameters(); }

EXPORTED void assay_set_parameters(assay_model* model, const void* parameters) {
    model->network->set_parameters(parameters);
}

#define TENSORS(NAME, T)                                                                                               \
    EXPORTED int NAME(assay_model* model, const int64_t* sizes, const int64_t* numbers, const int64_t* batch,          \
                      const int64_t* edge_index, const T* positions, const T* shift, const double* weights,            \
                      int threads, double* energy, T* forces, double* virial, T* gradients) {                          \
        return guarded([&] {                                                                                           \
            const std::lock_guard<std::mutex> lock(model->in_use);                                                     \
            const FromTensors<T> in{sizes[0], sizes[0],   sizes[1],  sizes[2], numbers,                                \
                                    batch,    edge_index, positions, shift};                                           \
            evaluate_tensors<T>(*model, in, weights, threads, energy, forces, virial, gradients);                      \
        });                                                                                                            \
    }

TENSORS(assay_evaluate_tensors_float32, float)
TENSORS(assay_evaluate_tensors_float64, double)

#define NEIGHBORS(NAME, T)                                                                                             \
    EXPORTED int64_t NAME(int64_t n_structures, const int64_t* first, const T* positions, T cutoff, int64_t* neighbor, \
                          int64_t* center) {                                                                           \
        return neighbors<T>(n_structures, first, positions, cutoff, neighbor, center);                                 \
    }

NEIGHBORS(assay_neighbors_float32, float)
NEIGHBORS(assay_neighbors_float64, double)
