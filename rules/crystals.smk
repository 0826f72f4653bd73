"""Make the shipped periodic dataset again: crystals with the energies, forces and stresses of a foundation model.

Needs the teacher of the config. Makes data/crystals/: crystals.h5, and dataset.json, which says who labelled it.

`snakemake crystals --configfile config/examples/foundation.yaml` is never part of `all`, and crystals.h5 is no rule's
output, so that nothing labels it again because a clone gave it a new date.
"""


rule crystals:
    output:
        "data/crystals/dataset.json",
    log:
        "logs/crystals.log",
    benchmark:
        "benchmarks/crystals.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=60),
    params:
        code=code_of("crystals"),
        recipe=config["dataset"]["recipe"]["crystals"],
        teacher=config["teacher"],
    script:
        "../scripts/crystals.py"
