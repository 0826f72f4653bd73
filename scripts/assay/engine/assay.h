/* The C interface of the compiled engine: energy, forces and virial of a student from one file, model.assay.
 *
 * Energies are in eV, lengths in angstrom, forces in eV/angstrom. Every function that can fail returns 0 on success and
 * one of the codes below otherwise; assay_last_error then says in one sentence what is wrong. docs/libassay.md has a
 * complete example.
 *
 * A model may be used by one thread at a time; a second one waits. Different models may be used side by side.
 */
#ifndef ASSAY_H
#define ASSAY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ASSAY_INTERFACE_VERSION 1

enum {
    ASSAY_BAD_ARGUMENT = 1,   /* a null pointer, a size, an index, a number that is not finite */
    ASSAY_BAD_FILE = 2,       /* not a model file, a damaged one, or one of a newer version */
    ASSAY_UNKNOWN_ELEMENT = 3,/* an atom of an element that the model was never trained on */
    ASSAY_UNSUPPORTED = 4,    /* the processor lacks the instructions that the library was built for */
    ASSAY_NO_MEMORY = 5,
    ASSAY_FAILED = 6          /* an error inside the library */
};

typedef struct assay_model assay_model;

/* The ASSAY_INTERFACE_VERSION that the library was built with. A program checks that it equals its own. */
int assay_interface_version(void);

/* The instructions that the library uses on this processor: "x86-64-v4", "x86-64-v3" or "aarch64"; "" for none. */
const char *assay_instructions(void);

/* What went wrong in the last call of this thread that failed: one sentence, valid until the thread's next call. */
const char *assay_last_error(void);

/* Opens a model file. The network computes in numbers of 32 or of 64 bits, which is `precision`. */
int assay_open(const char *path, int precision, assay_model **model);

/* Opens a model from the bytes of its file, which the caller may free afterwards. */
int assay_open_bytes(const void *bytes, int64_t size, int precision, assay_model **model);

/* Frees a model; NULL is allowed. */
void assay_close(assay_model *model);

/* The cutoff radius, angstrom. Edges that are as long or longer are left out. */
double assay_cutoff(const assay_model *model);

/* Whether the model was trained on an element: 1 or 0. */
int assay_has_element(const assay_model *model, int32_t atomic_number);

/* What the file says about itself, as JSON: variant, version, scope, units, hyperparameters, checksum of the
 * checkpoint. It lives as long as the model. */
const char *assay_metadata(const assay_model *model);

/* The largest `width` that `exchange` is called with. */
int64_t assay_row_width(const assay_model *model);

/* Atoms and their neighbors.
 *
 * `edge` k leads from the atom center[k] to neighbor[k] by vectors[3k .. 3k+2] = r_neighbor - r_center, periodic image
 * included. Every pair within the cutoff must be there both ways, each way as often as it has images, in any order;
 * centers are local atoms. Longer edges may be there too. Sort edges by center: it is faster.
 *
 * Ghost atoms are copies of other atoms, of this or of another process. They follow the n_local atoms and are centers
 * of no edge; those within one cutoff of a local atom suffice. `exchange` is called, by the thread that called
 * assay_evaluate, with an array of n_atoms rows of `width` numbers of 32 or 64 bits (`precision`) in which the rows of
 * local atoms are filled. It must copy to each ghost the row of the atom that it is a copy of. Every process calls it
 * equally often. Forces on ghosts come back in their rows, for the caller to add to those of the atoms themselves.
 */
typedef struct {
    int64_t struct_size;    /* sizeof(assay_input); newer fields are added at the end */
    int64_t n_atoms;        /* local atoms and ghosts */
    int64_t n_local;        /* atoms whose energies are computed: the first ones */
    int64_t n_structures;
    int64_t n_edges;
    const int32_t *atomic_numbers; /* n_atoms */
    const int32_t *structure;      /* n_atoms, the structure of each atom, 0 ... n_structures - 1 without a gap;
                                      ascending among the local atoms; NULL for one structure */
    const int32_t *neighbor;       /* n_edges */
    const int32_t *center;         /* n_edges */
    const double *vectors;         /* n_edges, 3; angstrom */
    int threads;                   /* the largest number of threads that may compute; 1 or more */
    void (*exchange)(void *context, void *rows, int64_t width, int precision); /* NULL without ghosts */
    void *context;                 /* what `exchange` is called with */
} assay_input;

/* Where results go; NULL for what is not wanted. */
typedef struct {
    int64_t struct_size;     /* sizeof(assay_output) */
    double *energy;          /* n_structures, eV: the sum over the local atoms of each */
    double *atomic_energies; /* n_local, eV */
    double *forces;          /* n_atoms, 3, eV/angstrom */
    double *virial;          /* n_structures, 3, 3, eV: -dE/d(strain); the stress of a cell is -virial / volume */
} assay_output;

int assay_evaluate(assay_model *model, const assay_input *input, assay_output *output);

#ifdef __cplusplus
}
#endif

#endif
