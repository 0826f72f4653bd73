#include "pair_assay.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "elements.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#if __has_include("json.h")
#include "json.h"
#define ASSAY_HAS_JSON
#endif

using namespace LAMMPS_NS;

static constexpr double SCOPE_RADIUS_A = 5.0;  // of the sphere in which the scope of a model counts neighbors
static constexpr double DENSER = 1.1;          // so many times the neighbors are no longer as dense as what was taught
static constexpr double HEAVIER_U = 1.5;       // what weighs so much more or less than an element is hardly one of it
static constexpr double HEAVIEST_U = 3.2;      // unless it is an isotope, or hydrogen took mass
static constexpr double LIGHTEST_U = 8.2;      // from what it is bound to, as far as from methane

static int atomic_number(const char *symbol) {
    const int count = sizeof assay::ELEMENTS / sizeof *assay::ELEMENTS;
    for (int z = 1; z < count; ++z)
        if (!strcmp(assay::ELEMENTS[z].symbol, symbol)) return z;
    return 0;
}

PairAssay::PairAssay(LAMMPS *lmp) : Pair(lmp) {
    single_enable = 0;
    restartinfo = 0;
    one_coeff = 1;
    manybody_flag = 1;
    no_virial_fdotr_compute = 1;
    centroidstressflag = CENTROID_NOTAVAIL;
}

PairAssay::~PairAssay() {
    if (!allocated) return;
    memory->destroy(setflag);
    memory->destroy(cutsq);
}

void PairAssay::settings(int narg, char **arg) {
    const std::string given = narg > 0 ? arg[0] : "single";
    if (narg > 1 || (given != "single" && given != "double"))
        error->all(FLERR, "pair_style assay takes one word, single or double, or none: correct the line");
    precision = given == "single" ? 32 : 64;
}

void PairAssay::coeff(int narg, char **arg) {
    const int ntypes = atom->ntypes;
    if (narg != 3 + ntypes || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
        error->all(FLERR,
                   "pair_coeff of pair_style assay takes * * model.assay and an element for each of the {} atom types, "
                   "and found {} words: correct the line",
                   ntypes, narg);
    try {
        model = std::make_unique<assay::Model>(arg[2], precision, assay::library_path((const void *) &atomic_number));
    } catch (const std::runtime_error &failure) {
        error->all(FLERR, "pair_style assay: {}", failure.what());
    }
    element.assign(ntypes + 1, 0);
    for (int type = 1; type <= ntypes; ++type) {
        const char *symbol = arg[2 + type];
        element[type] = atomic_number(symbol);
        if (!element[type])
            error->all(FLERR, "pair_style assay: atom type {} is {}, which is no element: name one such as C", type,
                       symbol);
        if (!model->has_element(element[type]))
            error->all(FLERR, "pair_style assay: atom type {} is {}, which {} was never trained on: use another model",
                       type, symbol, arg[2]);
    }
    if (!allocated) {
        allocated = 1;
        memory->create(setflag, ntypes + 1, ntypes + 1, "pair:setflag");
        memory->create(cutsq, ntypes + 1, ntypes + 1, "pair:cutsq");
    }
    for (int i = 1; i <= ntypes; ++i)
        for (int j = 1; j <= ntypes; ++j) setflag[i][j] = 1;
}

void PairAssay::init_style() {
    if (strcmp(update->unit_style, "metal") != 0)
        error->all(FLERR, "pair_style assay computes in eV and angstrom: write units metal, and not units {}",
                   update->unit_style);
    for (int k = 1; k <= 3; ++k)
        if (atom->molecular != Atom::ATOMIC && force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
            error->all(FLERR, "pair_style assay needs bonded neighbors too: write special_bonds lj/coul 1 1 1");
    compared = false;
    has_ghosts = comm->nprocs > 1;
    const int64_t bytes = model->row_width() * (precision / 8);
    comm_forward = has_ghosts ? static_cast<int>((bytes + sizeof(double) - 1) / sizeof(double)) : 1;
    comm_reverse_off = 3;
    neighbor->add_request(this, NeighConst::REQ_FULL);
}

double PairAssay::init_one(int, int) { return model->cutoff(); }

// Gives each ghost the row of its owner where there is one process, and a row of its own where there are several.
void PairAssay::find_owners() {
    const int nlocal = atom->nlocal, nall = nlocal + atom->nghost;
    builds = neighbor->ncalls;
    owner.resize(nall);
    for (int i = 0; i < nall; ++i) owner[i] = i;
    if (has_ghosts || nall == nlocal) return;
    sent = reinterpret_cast<char *>(owner.data());
    row_bytes = sizeof(int32_t);
    comm->forward_comm(this, 1);
}

void PairAssay::find_edges() {
    const double cutoff = model->cutoff(), cutoff_squared = cutoff * cutoff;
    const auto *const *x = atom->x;
    edge_neighbor.clear();
    edge_center.clear();
    vectors.clear();
    for (int k = 0; k < list->inum; ++k) {
        const int i = list->ilist[k], count = list->numneigh[i];
        const int *others = list->firstneigh[i];
        for (int n = 0; n < count; ++n) {
            const int j = others[n] & NEIGHMASK;
            const double r[3] = {x[j][0] - x[i][0], x[j][1] - x[i][1], x[j][2] - x[i][2]};
            if (!(r[0] * r[0] + r[1] * r[1] + r[2] * r[2] >= cutoff_squared)) {  // keeps NaN, which the model refuses
                edge_neighbor.push_back(owner[j]);
                edge_center.push_back(i);
                vectors.insert(vectors.end(), r, r + 3);
            }
        }
    }
}

void PairAssay::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    if (vflag_atom || cvflag_atom)
        error->all(FLERR,
                   "pair_style assay knows the virial of all atoms together and not of each: leave out what asks");
    const int nlocal = atom->nlocal;
    if (neighbor->ago == 0 || neighbor->ncalls != builds) find_owners();
    find_edges();
    if (!compared) {
        refuse_hidden_neighbors();
        compare_masses();
        compare_with_scope();
    }
    const int rows = has_ghosts ? nlocal + atom->nghost : nlocal;
    numbers.resize(rows);
    for (int i = 0; i < rows; ++i) numbers[i] = element[atom->type[i]];
    energies.assign(nlocal, 0.0);
    forces.assign(3 * static_cast<size_t>(rows), 0.0);
    double energy = 0.0, virial_here[9] = {};
    assay_input in{};
    in.n_atoms = rows;
    in.n_local = nlocal;
    in.n_structures = 1;
    in.n_edges = static_cast<int64_t>(edge_center.size());
    in.atomic_numbers = numbers.data();
    in.neighbor = edge_neighbor.data();
    in.center = edge_center.data();
    in.vectors = vectors.data();
    in.threads = comm->nthreads;
    in.exchange = has_ghosts ? &PairAssay::exchange : nullptr;
    in.context = this;
    assay_output out{};
    out.energy = &energy;
    out.atomic_energies = energies.data();
    out.forces = forces.data();
    out.virial = virial_here;
    try {
        model->evaluate(in, out);
    } catch (const std::runtime_error &failure) {
        error->one(FLERR, "pair_style assay: {}", failure.what());
    }
    for (int i = 0; i < nlocal; ++i)
        if (atom->mask[i] & taken_out) {
            energy -= energies[i];
            energies[i] = 0.0;
        }
    if (has_ghosts && !force->newton_pair) comm->reverse_comm(this);
    tally(energy, virial_here);
}

// Adds what the model found to what LAMMPS keeps.
void PairAssay::tally(double energy, const double *found) {
    const int nlocal = atom->nlocal, rows = has_ghosts && force->newton_pair ? nlocal + atom->nghost : nlocal;
    for (int i = 0; i < rows; ++i)
        for (int k = 0; k < 3; ++k) atom->f[i][k] += forces[3 * i + k];
    if (eflag_global) eng_vdwl += energy;
    if (eflag_atom)
        for (int i = 0; i < nlocal; ++i) eatom[i] += energies[i];
    if (!vflag_global) return;
    static const int order[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};
    for (int k = 0; k < 6; ++k) {
        const int i = order[k][0], j = order[k][1];
        virial[k] += 0.5 * (found[3 * i + j] + found[3 * j + i]);
    }
}

// Refuses, once in each run, neighbor lists that leave out pairs: only after init_style LAMMPS knows which do. Those of
// fix gcmc and widom hide from all others what these take out on trial, as if it were not there.
void PairAssay::refuse_hidden_neighbors() {
    taken_out = 0;
    bool hides = neighbor->includegroup || neighbor->nex_type || neighbor->nex_mol;
    for (int k = 0; k < neighbor->nex_group; ++k) {
        hides = hides || !strstr(group->names[neighbor->ex1_group[k]], "exclusion_group:");
        taken_out |= neighbor->ex1_bit[k];
    }
    if (hides)
        error->all(FLERR,
                   "pair_style assay needs all neighbors: leave out neigh_modify exclude and include, and hold atoms "
                   "where they are by fix setforce 0 0 0");
    if (list->ijskip)
        error->all(FLERR,
                   "pair_style assay needs the neighbors of all types, and pair_style hybrid gives some pairs of types "
                   "to another style: write hybrid/overlay and pair_coeff * * assay");
}

// Whether what weighs so much is hardly of its element: it weighs what another one does, or what no isotope does.
bool PairAssay::is_odd(double mass, double known) const {
    const double off = std::fabs(mass - known);
    const auto like = [&](int z) { return std::fabs(mass - assay::ELEMENTS[z].mass_u) < std::min(HEAVIER_U, off); };
    const bool exchanged = std::any_of(element.begin() + 1, element.end(), like);
    return off > HEAVIER_U && (exchanged || mass < known - LIGHTEST_U || mass > known + HEAVIEST_U);
}

// Warns, once in each run, of types that weigh what their elements do not: the order of these may be another.
void PairAssay::compare_masses() {
    std::vector<double> here(2 * element.size(), -INFINITY), all(here);  // of each type, the largest mass and -smallest
    for (int i = 0; i < atom->nlocal; ++i) {
        const int type = atom->type[i];
        const double mass = atom->rmass ? atom->rmass[i] : atom->mass[type];
        here[2 * type] = std::max(here[2 * type], mass);
        here[2 * type + 1] = std::max(here[2 * type + 1], -mass);
    }
    MPI_Allreduce(here.data(), all.data(), static_cast<int>(here.size()), MPI_DOUBLE, MPI_MAX, world);
    if (comm->me != 0) return;
    for (int type = 1; type <= atom->ntypes; ++type) {
        const assay::Element &known = assay::ELEMENTS[element[type]];
        const double largest = all[2 * type], smallest = -all[2 * type + 1];
        const double mass = largest - known.mass_u > known.mass_u - smallest ? largest : smallest;
        if (std::isfinite(mass) && is_odd(mass, known.mass_u))
            error->warning(FLERR,
                           "pair_style assay: atom type {} is {}, which weighs {} u, and has a mass of {} u: name the "
                           "elements in the order of the atom types, unless this is an isotope",
                           type, known.symbol, known.mass_u, mass);
    }
}

// Warns, once in each run, of what in the system is unlike the training data.
void PairAssay::compare_with_scope() {
    compared = true;
#ifdef ASSAY_HAS_JSON
    const json metadata = json::parse(model->metadata(), nullptr, false);
    json scope = json::object();
    if (metadata.is_object() && metadata.contains("scope") && metadata["scope"].is_object()) scope = metadata["scope"];
    double here[] = {static_cast<double>(edge_center.size()), 0.0, 0.0}, all[3];  // edges, charge, protons
    for (int i = 0; i < atom->nlocal; ++i) {
        if (atom->q_flag) here[1] += atom->q[i];
        here[2] += element[atom->type[i]];
    }
    MPI_Allreduce(here, all, 3, MPI_DOUBLE, MPI_SUM, world);
    if (comm->me != 0) return;
    const auto warn = [&](const std::string &what) {
        error->warning(FLERR, "pair_style assay: {}; the model is for {}", what,
                       scope.value("sentence", "what it was trained on"));
    };
    const int axes = domain->xperiodic + domain->yperiodic + domain->zperiodic;
    const long charge = std::lround(all[1]);  // partial charges add up to whole numbers only about
    const long spin = 1 + std::abs(std::lround(all[2]) - charge) % 2;  // the lowest multiplicity of so many electrons
    const json known_axes = scope.value("axes", json()), sizes = scope.value("n_atoms", json());
    const json dense = scope.value("neighbors", json()), spins = scope.value("spins", json());
    json charges = scope.value("charges", json());
    if (charges.empty()) charges = json::array({0});
    const auto lacks = [](const json &known, long value) {
        return !known.empty() && std::find(known.begin(), known.end(), json(value)) == known.end();
    };
    if (atom->q_flag && charges != json::array({charge}))
        warn(fmt::format("the charge of {:+d} of the system is ignored, because the model knows no charges", charge));
    if (axes == 0 && lacks(spins, spin))
        warn(fmt::format("the multiplicity of {} of the system is ignored, because the model knows no spins", spin));
    if (lacks(known_axes, axes))
        warn(fmt::format("the system repeats along {} axes, as no training data did", axes));
    if (sizes.is_array() && atom->natoms > sizes[1].get<bigint>())
        warn(fmt::format("the system has {} atoms, and the training data had at most {}", atom->natoms,
                         sizes[1].get<bigint>()));
    const double neighbors = all[0] / static_cast<double>(atom->natoms);
    if (dense.is_array() && model->cutoff() == SCOPE_RADIUS_A && neighbors > DENSER * dense[1].get<double>())
        warn(fmt::format("an atom has {:.0f} neighbors, and in the training data at most {:.0f}", neighbors,
                         dense[1].get<double>()));
#endif
}

void PairAssay::exchange(void *context, void *rows, int64_t width, int precision) {
    auto *pair = static_cast<PairAssay *>(context);
    pair->sent = static_cast<char *>(rows);
    pair->row_bytes = static_cast<size_t>(width) * (precision / 8);
    pair->comm->forward_comm(pair, static_cast<int>((pair->row_bytes + sizeof(double) - 1) / sizeof(double)));
}

int PairAssay::pack_forward_comm(int n, int *atoms, double *buffer, int, int *) {
    const size_t size = (row_bytes + sizeof(double) - 1) / sizeof(double);
    for (int k = 0; k < n; ++k) memcpy(buffer + k * size, sent + atoms[k] * row_bytes, row_bytes);
    return static_cast<int>(n * size);
}

void PairAssay::unpack_forward_comm(int n, int first, double *buffer) {
    const size_t size = (row_bytes + sizeof(double) - 1) / sizeof(double);
    for (int k = 0; k < n; ++k) memcpy(sent + (first + k) * row_bytes, buffer + k * size, row_bytes);
}

int PairAssay::pack_reverse_comm(int n, int first, double *buffer) {
    memcpy(buffer, forces.data() + 3 * static_cast<size_t>(first), 3 * n * sizeof(double));
    return 3 * n;
}

void PairAssay::unpack_reverse_comm(int n, int *atoms, double *buffer) {
    for (int k = 0; k < n; ++k)
        for (int axis = 0; axis < 3; ++axis) forces[3 * static_cast<size_t>(atoms[k]) + axis] += buffer[3 * k + axis];
}

double PairAssay::memory_usage() {
    const size_t integers = owner.capacity() + numbers.capacity() + edge_neighbor.capacity() + edge_center.capacity();
    const size_t reals = vectors.capacity() + energies.capacity() + forces.capacity();
    return static_cast<double>(sizeof(int32_t) * integers + sizeof(double) * reals);
}
