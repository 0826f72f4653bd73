#include "model_file.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "assay.h"
#include "sha256.h"

namespace assay {
namespace {

constexpr uint64_t ALIGNMENT = 64, LARGEST_BYTES = uint64_t(1) << 32;
constexpr uint32_t VERSION = 2;
constexpr const char* PARTS[] = {"metadata", "settings", "elements", "radial", "parameters"};
constexpr uint32_t N_PARTS = 5;
constexpr int64_t WIDEST = 4096, MOST_BLOCKS = 64, HEAVIEST = 255;

struct Entry {
    char name[16];
    uint64_t offset, size;
    uint8_t sha256[32];
};
struct Header {
    char magic[8];
    uint32_t version, n_parts;
    Entry parts[N_PARTS];
    uint8_t sha256[32];
};
static_assert(sizeof(Header) == 16 + 64 * N_PARTS + 32, "no padding");

class Reader {
   public:
    Reader(const uint8_t* bytes, uint64_t size, const std::string& name) : bytes(bytes), size(size), name(name) {
        if (size < sizeof(Header) || std::memcmp(bytes, "ASSAYMDL", 8) != 0)
            refuse("is not a model file of Assay: give a model.assay");
        std::memcpy(&header, bytes, sizeof header);
        if (header.version != VERSION)
            refuse("is of version " + std::to_string(header.version) + " and this library reads " +
                   std::to_string(VERSION) + ": export the model again, or update the library");
        if (header.n_parts != N_PARTS || !matches(0, offsetof(Header, sha256), header.sha256)) refuse_damaged("header");
        uint64_t end = sizeof(Header);
        for (uint32_t k = 0; k < N_PARTS; ++k) {
            const Entry& entry = header.parts[k];
            char expected[16] = {};
            std::strncpy(expected, PARTS[k], sizeof expected - 1);
            const uint64_t start = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
            if (std::memcmp(entry.name, expected, 16) != 0 || entry.offset != start || start > size ||
                entry.size > size - start)
                refuse_damaged("list of parts");
            for (uint64_t at = end; at < start; ++at)
                if (bytes[at]) refuse_damaged("space between parts");
            if (!matches(start, entry.size, entry.sha256)) refuse_damaged(std::string("part ") + PARTS[k]);
            end = start + entry.size;
        }
        if (end != size) refuse_damaged("end");
    }

    std::string text(int part) const {
        const Entry& entry = header.parts[part];
        const char* begin = reinterpret_cast<const char*>(bytes + entry.offset);
        if (std::memchr(begin, 0, entry.size)) refuse("has metadata that are no text");
        return std::string(begin, entry.size);
    }

    Hyperparameters settings() const {
        Hyperparameters h;
        if (header.parts[1].size == 0)
            refuse("is of a network that the engine does not compute: run the student's ONNX file instead");
        if (header.parts[1].size != sizeof h) refuse("has settings of the wrong size");
        std::memcpy(&h, bytes + header.parts[1].offset, sizeof h);
        auto within = [&](const char* what, int64_t value, int64_t low, int64_t high) {
            if (value < low || value > high)
                refuse(std::string("gives ") + what + " as " + std::to_string(value) + ", which is not within " +
                       std::to_string(low) + " and " + std::to_string(high));
        };
        within("rank", h.rank, 1, 2);
        within("hidden", h.hidden, 1, WIDEST);
        within("n_blocks", h.n_blocks, 1, MOST_BLOCKS);
        within("n_rbf", h.n_rbf, 1, WIDEST);
        within("max_z", h.max_z, 1, HEAVIEST);
        within("n_pair_elements", h.n_pair_elements, 0, h.max_z);
        within("n_head", h.n_head, 0, static_cast<int64_t>(sizeof h.head / sizeof *h.head));
        for (int64_t k = 0; k < h.n_head; ++k) within("head", h.head[k], 1, WIDEST);
        within("envelope", h.envelope, 0, SWITCH);
        for (int64_t kind : {h.activation, h.head_activation}) within("activation", kind, 0, SHIFTED_SOFTPLUS);
        for (int64_t flag : {h.filter_bias, h.gaussian, h.repulsion, h.floor, h.from_contact}) within("a flag", flag, 0, 1);
        if (h.parameter_bits != 32 && h.parameter_bits != 64) refuse("has parameters of neither 32 nor 64 bits");
        const bool sound = h.cutoff > 0.0 && h.cutoff <= 100.0 && h.envelope_begin >= 0.0 &&
                           h.envelope_begin < h.envelope_end && h.envelope_end <= h.cutoff && h.epsilon >= 0.0 &&
                           h.epsilon <= 1.0 && std::isfinite(h.energy_scale);
        if (!sound) refuse("has a cutoff, envelope, epsilon or energy scale that no network has");
        return h;
    }

    // The rows of a part that holds ``rows`` rows of ``columns`` numbers of a type, all of them finite.
    template <class T>
    std::vector<double> numbers(int part, uint64_t rows, uint64_t columns, uint64_t row, uint64_t n_rows) const {
        const Entry& entry = header.parts[part];
        if (entry.size != rows * columns * sizeof(T))
            refuse(std::string("has ") + std::to_string(entry.size) + " bytes of " + PARTS[part] +
                   " where its settings need " + std::to_string(rows * columns * sizeof(T)));
        std::vector<double> values(n_rows * columns);
        for (uint64_t k = 0; k < values.size(); ++k) {
            T value;
            std::memcpy(&value, bytes + entry.offset + (row * columns + k) * sizeof(T), sizeof value);
            values[k] = value;
            if (!std::isfinite(values[k]))
                refuse(std::string("has a number among its ") + PARTS[part] + " that is not finite");
        }
        return values;
    }

    [[noreturn]] void refuse(const std::string& what) const { throw Failure{ASSAY_BAD_FILE, name + " " + what}; }

   private:
    const uint8_t* bytes;
    const uint64_t size;
    const std::string name;
    Header header;

    bool matches(uint64_t offset, uint64_t length, const uint8_t* expected) const {
        uint8_t found[32];
        Sha256::digest(bytes + offset, length, found);
        return std::memcmp(found, expected, sizeof found) == 0;
    }
    [[noreturn]] void refuse_damaged(const std::string& where) const {
        refuse("is damaged (" + where + "): export the model again, or copy the file again");
    }
};

// The number of parameters that a network of these settings has; cannot overflow within the bounds of settings.
int64_t count_parameters(const Hyperparameters& h) {
    auto layer = [](int64_t n_in, int64_t n_out, int64_t bias) { return n_out * (n_in + bias); };
    const int64_t H = h.hidden, filters = N_FILTERS[h.rank] * H;
    const int64_t block = layer(h.n_rbf, filters, h.filter_bias) + layer(H, H, 1) + layer(H, filters, 1) +
                          h.rank * layer(H, 2 * H, 0) + layer((h.rank + 1) * H, H, 1) +
                          layer(H, N_GATES[h.rank] * H, 1);
    int64_t total = (h.max_z + 1) * H + h.n_blocks * block, width = H;
    for (int64_t k = 0; k < h.n_head; ++k) {
        total += layer(width, h.head[k], 1);
        width = h.head[k];
    }
    return total + layer(width, 1, 1) + h.n_pair_elements * (h.n_pair_elements + 1) / 2 * h.n_rbf;
}

}  // namespace

ModelFile::ModelFile(const uint8_t* bytes, uint64_t size, const std::string& name) {
    const Reader reader(bytes, size, name);
    metadata = reader.text(0);
    settings = reader.settings();
    const uint64_t n_elements = settings.max_z + 1, n_parameters = count_parameters(settings);
    std::vector<double>* rows[] = {&radii, &powers, &screening, &reference, &known, &pair_places};
    for (uint64_t row = 0; row < 6; ++row) *rows[row] = reader.numbers<double>(2, 6, n_elements, row, 1);
    places = reader.numbers<double>(3, 2, settings.n_rbf, 0, 1);
    widths = reader.numbers<double>(3, 2, settings.n_rbf, 1, 1);
    for (double width : widths)
        if (width == 0.0) reader.refuse("has a radial function without a width");
    for (uint64_t z = 0; z < n_elements; ++z)
        if (radii[z] < 0.0 || powers[z] < 0.0 || screening[z] < 0.0 || (known[z] != 0.0 && known[z] != 1.0))
            reader.refuse("has an element with a radius, screening or mark that none has");
    for (double place : pair_places)
        if (!(place >= 0.0 && place <= settings.n_pair_elements && place == std::floor(place)))
            reader.refuse("has an element at a place among those with pair energies that is none");
    parameters = settings.parameter_bits == 32 ? reader.numbers<float>(4, 1, n_parameters, 0, 1)
                                               : reader.numbers<double>(4, 1, n_parameters, 0, 1);
}

std::vector<uint8_t> read_file(const std::string& path) {
    auto refuse = [&](const std::string& why) {
        throw Failure{ASSAY_BAD_FILE, path + " cannot be read (" + why + "): check the path"};
    };
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
    if (!file) refuse(std::strerror(errno));
    std::vector<uint8_t> bytes;
    size_t n = 1;
    while (n) {
        const size_t before = bytes.size(), chunk = size_t(1) << 20;
        if (before > LARGEST_BYTES) refuse("it is larger than any model");
        bytes.resize(before + chunk);
        n = std::fread(bytes.data() + before, 1, chunk, file.get());
        bytes.resize(before + n);
    }
    if (std::ferror(file.get())) refuse(std::strerror(errno));
    return bytes;
}

}  // namespace assay
