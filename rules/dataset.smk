"""Make the shipped datasets again: molecules, the teacher's labels, splits; and crystals.

Needs data/molecules/{written,listed,pieces,new}.csv and the teacher of the config. Makes data/molecules/molecules.csv,
data/build/*.h5 (all that was labelled) and data/dataset/ (what is shipped). `snakemake crystals --configfile
config/examples/foundation.yaml` makes data/crystals/: crystals.h5, with the energies, forces and stresses of a foundation
model, and dataset.json, which says who labelled it.

`snakemake dataset` and `snakemake crystals` are never part of `all`: shipped files are no rule's output, so that nothing
labels them again because a clone gave them new dates. Labelling resumes from data/build/shards/ wherever it stopped.
"""

RECIPE = config["dataset"]["recipe"]
PARTS = ["train", "validation", "seen_molecules", "unseen_molecules", "larger_molecules", "new_molecules"]


rule molecules:
    input:
        lists=[shipped("data/molecules/written.csv"), shipped("data/molecules/listed.csv")],
        pieces=shipped("data/molecules/pieces.csv"),
        new=shipped("data/molecules/new.csv"),
    output:
        "data/molecules/molecules.csv",
    log:
        "logs/molecules.log",
    benchmark:
        "benchmarks/molecules.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=120),
    params:
        code=code_of("molecules"),
        recipe=RECIPE["molecules"],
    script:
        "../scripts/molecules.py"


rule label:
    input:
        molecules=rules.molecules.output[0],
        checked=shipped("data/physics/molecules.csv"),
        teacher_files=TEACHER_FILES,
    output:
        "data/build/{part}.h5",
    log:
        "logs/label/{part}.log",
    benchmark:
        "benchmarks/label/{part}.tsv"
    wildcard_constraints:
        part="|".join(PARTS),
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=4000, minutes=2880),
    params:
        code=code_of("label"),
        recipe=RECIPE["labels"],
        teacher=config["teacher"],
        shards="data/build/shards",
    script:
        "../scripts/label.py"


rule dataset:
    input:
        expand("data/build/{part}.h5", part=PARTS),
    output:
        "data/dataset/dataset.json",
    log:
        "logs/dataset.log",
    benchmark:
        "benchmarks/dataset.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("dataset"),
        max_bytes=RECIPE["max_shipped_bytes"],
        teacher=config["teacher"],
    script:
        "../scripts/dataset.py"


rule crystals:
    input:
        teacher_files=TEACHER_FILES,
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
