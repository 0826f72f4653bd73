// What the parts of a network share while they compute one group of structures: its rows, its memory, its threads.
#pragma once

#include <algorithm>
#include <vector>

#include "call.h"
#include "edges.h"
#include "team.h"

namespace assay {

// Whole structures that are computed together: the atoms [begin, end). There is a row for each of them and, with
// ghosts, for all atoms.
struct Group {
    int64_t begin, end, rows;
};

// The results that a call asks for besides the energies.
struct Wanted {
    bool forces, virial, gradients;
};

// The memory of one thread, which is kept from call to call.
template <class T>
struct Workspace {
    Buffer<T> gradients, atoms, edges, partial;
    Buffer<int32_t> neighbors;
    Buffer<int64_t> lists;
    Buffer<double> slopes;
};

// Atoms that one thread takes from layer to layer, few enough to stay in its cache: [lo, hi).
constexpr int ATOMS_PER_CHUNK = 48;
struct Chunk {
    int64_t lo, hi;
    int64_t n() const { return hi - lo; }
};

// What one block keeps from its forward to its backward pass, a row for each atom: the features before it, s, v, t, the
// layers of its context network, its messages, the features after the sum over neighbors, their mixed forms, the
// invariants [s, norms] that the update network reads, the layers of that network, and the gates that it gives.
template <class T>
struct Activations {
    T *s, *v, *t, *context_hidden, *context_active, *context, *messages, *invariants, *v_summed, *t_summed, *v_mixed,
        *t_mixed, *update_hidden, *update_active, *gates;
};

// The cotangents of one group: a row for each atom, but ``distance`` and ``direction`` for each edge. ``features`` are
// those of s, v and t in one row, as neighbors read them, in turns for one block and for the next; ``v_summed`` and
// ``t_summed`` come from the mixed features.
template <class T>
struct Cotangents {
    T *s, *v, *t, *features[2], *messages, *context, *gates, *invariants, *v_summed, *t_summed, *distance, *direction;
};

// The memory of one group: rows of atoms and of edges.
template <class T>
struct Rows {
    std::vector<Activations<T>> activations;  // one for each block
    std::vector<T*> head_in, head_out;        // inputs and outputs of the head's layers
    Cotangents<T> cotangent;
    T *s, *v, *t;                                            // one row for each atom
    T *basis, *basis_slope, *direction, *tensor, *distance;  // one row for each edge
    int32_t *neighbor, *row;
    int64_t *n_neighbors, *first_edge, most_neighbors = 1;
    double *slopes, *virials;  // the derivative of the energy by the vector of each edge; the virial of each atom
};

// The computation of one group as one thread of its team sees it. The team shares all rows, of which the first n_local
// are those of the group's atoms and the rest those of ghosts; the thread computes those of its own atoms, [lo, hi).
template <class T>
struct Pass : Rows<T> {
    const Call& in;
    const Wanted wanted;
    const int64_t begin, edge_begin, n_local, n_rows, lo, hi;
    const int rank;
    const Team& team;
    Workspace<T>& workspace;
    const bool reads_table;                   // of filters
    const int64_t terms;                      // the number of an edge's radial functions or splines
    const T* element_context;                 // a row for each element: outputs of the first block's context network
    double* atomic_energies;                  // of the group

    // Waits until all threads of the team are here.
    void barrier() const { team.barrier(); }
    // Calls ``work`` for one chunk of the thread's atoms after the other.
    template <class F>
    void for_chunks(F&& work) const {
        for (int64_t at = lo; at < hi; at += ATOMS_PER_CHUNK) work(Chunk{at, std::min(at + ATOMS_PER_CHUNK, hi)});
    }
    // Waits until all threads have filled their rows, and fills those of the ghosts.
    void exchange(T* rows, int64_t width) const {
        barrier();
        if (!in.exchange) return;
        if (rank == 0) in.exchange(in.context, rows, width, 8 * sizeof(T));
        barrier();
    }
    Edges<T> edges(int64_t i) const {
        const int64_t e = this->first_edge[i];
        return {this->n_neighbors[i],      this->neighbor + e,            this->row + e,
                this->basis + e * terms, this->basis_slope + e * terms, this->direction + 3 * e, this->tensor + 5 * e};
    }
};

}  // namespace assay
