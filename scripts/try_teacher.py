"""Hold the forces of a teacher against its energies, and its labels against those that a file names as its own."""

from assay.sampling.label_gradients import measure_slopes, require_gradient
from assay.sampling.label_origin import require_own_labels
from assay.sampling.own_labels import tried_structures
from assay.sampling.teacher import Teacher
from assay.workflow.errors import exit_on_error
from assay.workflow.files import write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("try_teacher")

with exit_on_error(snakemake.log[0]):
    teacher = Teacher(**snakemake.params.teacher)
    structures = tried_structures(snakemake.input.structures, snakemake.params.labelled)
    slopes = measure_slopes(teacher.process(threads=1), structures)
    sentence = require_gradient(slopes, teacher.name)
    if snakemake.params.labelled:
        sentence += "; " + require_own_labels(slopes.asked, teacher.name, str(snakemake.input.structures))
    print(sentence)
    write_json(
        snakemake.output[0],
        {
            "sentence": sentence,
            "slopes_of_energies_eV_per_A": slopes.of_energies,
            "slopes_of_forces_eV_per_A": slopes.of_forces,
        },
    )
