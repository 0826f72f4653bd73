"""Train somebody's own students on their labels, or on those of their teacher.

Needs `data` and `students` in the config (config/students.yaml). Makes in data/build/own/: labels of the structures, if
these have none, the structures to learn from and those that are held out, and of each student its checkpoint, the record
and the description of its training, and its learning curve. `snakemake distill` puts these into students/, from where
`all` judges them: what lies there is no rule's output, so that nothing trains a student again because something else
changed.

Labelling and training resume from data/build/own/ wherever they stopped.
"""

OWN_STRUCTURES = named(OWN_DATA.get("structures"), "data.structures")
OWN_TRAIN = named(file_of(OWN_DATA.get("train", "")), "data.train")
LABELLED = FIRST_LABELS + labels_of_rounds(ROUNDS["count"])


rule try_teacher:
    """Hold the teacher's forces against its energies, before it labels anything or anybody learns from it."""
    input:
        structures=OWN_STRUCTURES if "structures" in OWN_DATA else OWN_TRAIN,
        parts=PARTS_OF_RUNS,
        teacher_files=OWN_TEACHER_FILES,
    output:
        f"{OWN_BUILD}/teacher.json",
    log:
        "logs/try_teacher.log",
    benchmark:
        "benchmarks/try_teacher.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=60),
    params:
        code=code_of("try_teacher"),
        content=lambda wildcards: contents_of(OWN_DATA.get("structures") or OWN_DATA.get("train")),
        teacher=OWN_DATA.get("teacher"),
        labelled=lambda wildcards: OWN_DATA.get("train"),
    script:
        "../scripts/try_teacher.py"


rule label_structures:
    """Let the teacher label a part of the structures."""
    input:
        structures=OWN_STRUCTURES,
        parts=PARTS_OF_RUNS,
        teacher_files=OWN_TEACHER_FILES,
        tried=rules.try_teacher.output[0],
    output:
        f"{OWN_BUILD}/labels.{{part}}.h5",
    log:
        "logs/label_structures/{part}.log",
    benchmark:
        "benchmarks/label_structures/{part}.tsv"
    wildcard_constraints:
        part=r"\d+",
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=2880),
    params:
        **labelling("shards"),
        code=code_of("label_structures"),
        content=lambda wildcards: contents_of(OWN_DATA.get("structures")),
    script:
        "../scripts/label_structures.py"


rule store_data:
    """Check the labelled structures, and hold some of them out."""
    input:
        train=lambda wildcards: labelled_files(LABELLED),
        validation=named(file_of(OWN_DATA.get("validation", "")), "data.validation"),
        parts=PARTS_OF_RUNS,
        tried=rules.try_teacher.output if "calculator" in OWN_DATA.get("teacher", {}) else [],
        origins=lambda wildcards: earlier_students(),
        learned=lambda wildcards: [path for origin in earlier_students() for path in described(origin)],
    output:
        train=f"{OWN_BUILD}/train.h5",
        validation=f"{OWN_BUILD}/validation.h5",
        about=f"{OWN_BUILD}/data.json",
    log:
        "logs/store_data.log",
    benchmark:
        "benchmarks/store_data.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=600),
    params:
        code=code_of("store_data"),
        content=lambda wildcards: contents_of(*LABELLED, OWN_DATA.get("validation")),
        train=lambda wildcards: LABELLED,
        validation=lambda wildcards: OWN_DATA.get("validation"),
        share=TRAINING["validation_share"],
        seed=TRAINING["seed"],
        origins=lambda wildcards: earlier_students(),
    script:
        "../scripts/store_data.py"


rule train_own:
    """Train one student."""
    input:
        train=rules.store_data.output.train,
        validation=rules.store_data.output.validation,
        about=rules.store_data.output.about,
        learned=lambda wildcards: described(origin_of(wildcards)),
        origin=lambda wildcards: origin_of(wildcards) or [],
        beside=beside_origin,
    output:
        student=f"{OWN_BUILD}/{{student}}.pt",
        record=f"{OWN_BUILD}/{{student}}.training.json",
        domain=f"{OWN_BUILD}/{{student}}.domain.npz",
        curve=f"{OWN_BUILD}/{{student}}.curve.svg",
    log:
        "logs/train_own/{student}.log",
    benchmark:
        "benchmarks/train_own/{student}.tsv"
    wildcard_constraints:
        student=one_of(OWN),
    conda:
        CONDA
    threads: TRAINING["threads"] * TRAINING["processes"]
    resources:
        **needs(mem_MB=8000, minutes=2880),
    params:
        code=code_of("train_own"),
        student=lambda wildcards: OWN[wildcards.student],
        training=TRAINING,
        origin=told_of_origin,
        teacher=lambda wildcards: OWN_DATA["teacher"],
        said=lambda wildcards: said_of(OWN[wildcards.student], OWN_DATA),
        states=f"{OWN_BUILD}/states",
        device=DEVICE,
        domain=config["domain"],
    script:
        "../scripts/train_own.py"


rule fine_tuning:
    """Compare students that begin with new weights with those that go on from a trained one."""
    input:
        records_of_own,
    output:
        "results/fine_tuning.json",
    log:
        "logs/fine_tuning.log",
    benchmark:
        "benchmarks/fine_tuning.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("fine_tuning"),
    script:
        "../scripts/fine_tuning.py"
