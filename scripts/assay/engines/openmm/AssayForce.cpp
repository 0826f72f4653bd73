// A force of OpenMM that is computed by libassay. Python gets it from its XML (runtime/openmm.py), without SWIG.
#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "assay.h"
#include "cell_list.h"
#include "openmm/Force.h"
#include "openmm/OpenMMException.h"
#include "openmm/System.h"
#include "openmm/internal/ContextImpl.h"
#include "openmm/internal/CustomCPPForceImpl.h"
#include "openmm/serialization/SerializationNode.h"
#include "openmm/serialization/SerializationProxy.h"

using OpenMM::Vec3;

namespace {

constexpr double KJ_PER_MOL_PER_EV = 96.48533212331002, ANGSTROM_PER_NM = 10.0;

[[noreturn]] void refuse(const std::string& what) { throw OpenMM::OpenMMException("AssayForce: " + what); }

// The digest of the digests of all parts, in hexadecimal digits, which stands in the header of a model file.
std::string checksum_of(const std::string& path) {
    constexpr int BEFORE = 16 + 5 * 64;
    std::array<unsigned char, 32> digest{};
    std::ifstream file(path, std::ios::binary);
    file.seekg(BEFORE).read(reinterpret_cast<char*>(digest.data()), digest.size());
    std::string text;
    for (const unsigned char byte : digest)
        for (const int half : {byte >> 4, byte & 15}) text += "0123456789abcdef"[half];
    return text;
}

// The functions of a libassay.so.
class Library {
   public:
    decltype(&assay_interface_version) interface_version;
    decltype(&assay_last_error) last_error;
    decltype(&assay_open) open;
    decltype(&assay_close) close;
    decltype(&assay_cutoff) cutoff;
    decltype(&assay_evaluate) evaluate;

    explicit Library(const std::string& path) {
        handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!handle) refuse(std::string("the library cannot be loaded (") + dlerror() + "): install the package again");
        find(interface_version, "assay_interface_version");
        if (interface_version() != ASSAY_INTERFACE_VERSION)
            refuse(path + " has another interface than this plugin: compile the plugin again");
        find(last_error, "assay_last_error");
        find(open, "assay_open");
        find(close, "assay_close");
        find(cutoff, "assay_cutoff");
        find(evaluate, "assay_evaluate");
    }

   private:
    void* handle;

    template <class Function>
    void find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(handle, name));
        if (!function) refuse(std::string("the library has no ") + name + ": give the path of libassay.so");
    }
};

}  // namespace

// The particles of a student, and how it computes them.
class AssayForce : public OpenMM::Force {
   public:
    std::string model, library, checksum;     // the last is the model's, or empty for whichever lies there
    std::vector<int32_t> numbers, particles;  // atomic numbers; the indices of the particles that have them
    bool periodic = false;
    int threads = 1, precision = 32;
    double skin = 0.05;  // nm

    bool usesPeriodicBoundaryConditions() const override { return periodic; }

   protected:
    OpenMM::ForceImpl* createImpl() const override;
};

class AssayForceImpl : public OpenMM::CustomCPPForceImpl {
   public:
    explicit AssayForceImpl(const AssayForce& force)
        : CustomCPPForceImpl(force), force(force), library(force.library), model(nullptr, library.close) {}

    void initialize(OpenMM::ContextImpl& context) override {
        CustomCPPForceImpl::initialize(context);
        const int n = context.getSystem().getNumParticles();
        for (int32_t i : force.particles)
            if (i < 0 || i >= n)
                refuse("particle " + std::to_string(i) + " is none of the system's " + std::to_string(n));
        assay_model* opened = nullptr;
        if (library.open(force.model.c_str(), force.precision, &opened)) refuse(library.last_error());
        model.reset(opened);
        if (!force.checksum.empty() && checksum_of(force.model) != force.checksum)
            refuse(force.model + " is another model than that of this force: put that one there, or make a new force");
        radius = library.cutoff(opened) / ANGSTROM_PER_NM + force.skin;
        x.resize(force.particles.size());
        gradients.resize(3 * x.size());
    }

    const OpenMM::Force& getOwner() const override { return force; }

    double computeForce(OpenMM::ContextImpl& context, const std::vector<Vec3>& positions,
                        std::vector<Vec3>& forces) override {
        const size_t n = x.size();
        for (size_t k = 0; k < n; ++k) x[k] = positions[force.particles[k]];
        Vec3 box[3];
        context.getPeriodicBoxVectors(box[0], box[1], box[2]);
        search(box);
        for (size_t k = 0; k < pairs.neighbor.size(); ++k) {
            const Vec3 r = (x[pairs.neighbor[k]] - x[pairs.center[k]] + pairs.shift[k]) * ANGSTROM_PER_NM;
            for (int axis = 0; axis < 3; ++axis) vectors[3 * k + axis] = r[axis];
        }
        double energy = 0.0;
        assay_input input{};
        input.struct_size = sizeof input;
        input.n_atoms = input.n_local = int64_t(n);
        input.n_structures = 1;
        input.n_edges = int64_t(pairs.neighbor.size());
        input.atomic_numbers = force.numbers.data();
        input.neighbor = pairs.neighbor.data();
        input.center = pairs.center.data();
        input.vectors = vectors.data();
        input.threads = force.threads;
        assay_output output{};
        output.struct_size = sizeof output;
        output.energy = &energy;
        output.forces = gradients.data();
        if (library.evaluate(model.get(), &input, &output)) refuse(library.last_error());
        std::fill(forces.begin(), forces.end(), Vec3());
        for (size_t k = 0; k < n; ++k)
            forces[force.particles[k]] = Vec3(gradients[3 * k], gradients[3 * k + 1], gradients[3 * k + 2]) *
                                         (ANGSTROM_PER_NM * KJ_PER_MOL_PER_EV);
        return energy * KJ_PER_MOL_PER_EV;
    }

   private:
    const AssayForce& force;
    Library library;
    std::unique_ptr<assay_model, decltype(&assay_close)> model;
    double radius = 0.0;  // nm, cutoff and skin
    std::vector<Vec3> x, searched_at;
    Vec3 searched_in[3];
    assay::Pairs pairs;
    std::vector<double> vectors, gradients;

    // Finds the pairs again once an atom has moved by more than half of the skin, or the box has changed.
    void search(const Vec3* box) {
        bool stale = searched_at.size() != x.size();
        if (force.periodic && !stale)
            for (int k = 0; k < 3; ++k) stale |= box[k] != searched_in[k];
        for (size_t i = 0; i < x.size() && !stale; ++i) {
            const Vec3 moved = x[i] - searched_at[i];
            // Written so that positions that are none are searched.
            stale = !(moved.dot(moved) <= 0.25 * force.skin * force.skin);
        }
        if (!stale) return;
        try {
            pairs = assay::CellList(x, force.periodic ? box : nullptr, radius).pairs();
        } catch (const std::runtime_error& error) {
            refuse(std::string(error.what()) + ": is the time step too long, or the unit another?");
        }
        searched_at = x;
        std::copy(box, box + 3, searched_in);
        vectors.resize(3 * pairs.neighbor.size());
    }
};

OpenMM::ForceImpl* AssayForce::createImpl() const { return new AssayForceImpl(*this); }

namespace {

class AssayForceProxy : public OpenMM::SerializationProxy {
   public:
    AssayForceProxy() : SerializationProxy("AssayForce") {}

    void serialize(const void* object, OpenMM::SerializationNode& node) const override {
        const auto& force = *static_cast<const AssayForce*>(object);
        node.setIntProperty("version", 1);
        node.setIntProperty("forceGroup", force.getForceGroup());
        node.setStringProperty("name", force.getName());
        node.setStringProperty("model", force.model);
        node.setStringProperty("library", force.library);
        node.setStringProperty("checksum", force.checksum);
        node.setBoolProperty("periodic", force.periodic);
        node.setIntProperty("threads", force.threads);
        node.setIntProperty("precision", force.precision);
        node.setDoubleProperty("skin", force.skin);
        node.setStringProperty("numbers", text(force.numbers));
        node.setStringProperty("particles", text(force.particles));
    }

    void* deserialize(const OpenMM::SerializationNode& node) const override {
        if (node.getIntProperty("version") != 1) refuse("the XML is of another version of this plugin");
        auto force = std::make_unique<AssayForce>();
        force->setForceGroup(node.getIntProperty("forceGroup", 0));
        force->setName(node.getStringProperty("name", "AssayForce"));
        force->model = node.getStringProperty("model");
        force->library = node.getStringProperty("library");
        force->checksum = node.getStringProperty("checksum", "");
        force->periodic = node.getBoolProperty("periodic", false);
        force->threads = node.getIntProperty("threads", 1);
        force->precision = node.getIntProperty("precision", 32);
        force->skin = node.getDoubleProperty("skin", force->skin);
        force->numbers = integers(node.getStringProperty("numbers"));
        force->particles = integers(node.getStringProperty("particles"));
        if (force->numbers.size() != force->particles.size()) refuse("there must be as many numbers as particles");
        return force.release();
    }

   private:
    static std::string text(const std::vector<int32_t>& values) {
        std::ostringstream out;
        for (size_t k = 0; k < values.size(); ++k) out << (k ? " " : "") << values[k];
        return out.str();
    }

    static std::vector<int32_t> integers(const std::string& text) {
        std::istringstream in(text);
        std::vector<int32_t> values;
        for (int32_t value; in >> value;) values.push_back(value);
        return values;
    }
};

const bool registered = (OpenMM::SerializationProxy::registerProxy(typeid(AssayForce), new AssayForceProxy), true);

}  // namespace

extern "C" void registerPlatforms() {}
extern "C" void registerKernelFactories() {}
