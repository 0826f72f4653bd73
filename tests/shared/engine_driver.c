/* Evaluates what a file holds and prints the results: driver model.assay precision input
 *
 * The input is the numbers of atoms and of edges as int64, then atomic numbers, neighbors and centers as int32, then
 * vectors as double. Prints the instructions, the energy, the forces and the virial, one number a line. */
#include <assay.h>
#include <stdio.h>
#include <stdlib.h>

static void *read_array(FILE *file, size_t size, int64_t count) {
    void *values = malloc(size * (size_t)count + 1);
    if (!values || fread(values, size, (size_t)count, file) != (size_t)count) exit(3);
    return values;
}

static void print(const double *values, int64_t count) {
    for (int64_t k = 0; k < count; ++k) printf("%.17g\n", values[k]);
}

int main(int argc, char **argv) {
    FILE *file = argc == 4 ? fopen(argv[3], "rb") : NULL;
    if (!file) return 2;
    const int64_t *counts = read_array(file, sizeof *counts, 2);
    assay_model *model;
    if (assay_open(argv[1], atoi(argv[2]), &model)) {
        fprintf(stderr, "%s\n", assay_last_error());
        return 1;
    }
    assay_input input = {sizeof input};
    input.n_atoms = input.n_local = counts[0];
    input.n_structures = 1;
    input.n_edges = counts[1];
    input.atomic_numbers = read_array(file, sizeof(int32_t), counts[0]);
    input.neighbor = read_array(file, sizeof(int32_t), counts[1]);
    input.center = read_array(file, sizeof(int32_t), counts[1]);
    input.vectors = read_array(file, sizeof(double), 3 * counts[1]);
    input.threads = 2;
    double energy, virial[9], *forces = malloc(sizeof(double) * 3 * (size_t)counts[0] + 1);
    assay_output output = {sizeof output};
    output.energy = &energy;
    output.forces = forces;
    output.virial = virial;
    if (assay_evaluate(model, &input, &output)) {
        fprintf(stderr, "%s\n", assay_last_error());
        return 1;
    }
    printf("%s\n", assay_instructions());
    print(&energy, 1);
    print(forces, 3 * counts[0]);
    print(virial, 9);
    assay_close(model);
    return 0;
}
