"""Structures to learn from beside those of a user's file: supercells of crystals, and rounds of active learning.

Needs the teacher of `data`, and what `data: supercells` and `rounds` of the config say (config/students.yaml). Makes in
data/build/own/ the supercells, and in rounds/<number>/ of each round what its two students learn from, these students,
those frames of their dynamics that are worth a label, and the labels. `snakemake distill` learns from all of them. As many
jobs label the frames of a round as `training: labelling_jobs` says.

A stopped labelling resumes from data/build/own/labels/, where labels are found again by what is labelled.
"""

CRYSTAL_FILES = [crystal["path"] for crystal in OWN_DATA.get("supercells", {}).get("crystals", []) if "path" in crystal]


rule supercells:
    """Make rattled, strained and vacant supercells of crystals."""
    input:
        crystals=lambda wildcards: [named(path, "data.supercells.crystals")(wildcards) for path in CRYSTAL_FILES],
        parts=PARTS_OF_RUNS,
    output:
        SUPERCELLS,
    log:
        "logs/supercells.log",
    benchmark:
        "benchmarks/supercells.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("supercells"),
        content=lambda wildcards: contents_of(*CRYSTAL_FILES),
        recipe=OWN_DATA.get("supercells"),
    script:
        "../scripts/supercells.py"


rule store_round:
    """Check what is labelled so far, and hold some of it out."""
    input:
        labelled=lambda wildcards: labelled_files(labelled_before(wildcards)),
        parts=PARTS_OF_RUNS,
    output:
        train=f"{OF_ROUND}/train.h5",
        validation=f"{OF_ROUND}/validation.h5",
        about=f"{OF_ROUND}/data.json",
    log:
        "logs/store_round/{round}.log",
    benchmark:
        "benchmarks/store_round/{round}.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=600),
    params:
        code=code_of("store_data"),
        content=lambda wildcards: contents_of(*labelled_before(wildcards)),
        train=labelled_before,
        validation=None,
        share=TRAINING["validation_share"],
        seed=TRAINING["seed"],
        origins=[],
    script:
        "../scripts/store_data.py"


rule train_member:
    """Train one of the two students that look for structures, or go on with that of the round before."""
    input:
        train=rules.store_round.output.train,
        validation=rules.store_round.output.validation,
        about=rules.store_round.output.about,
        learned=lambda wildcards: described(member_before(wildcards)),
        origin=lambda wildcards: member_before(wildcards) or [],
    output:
        student=f"{OF_ROUND}/{{student}}.pt",
        record=f"{OF_ROUND}/{{student}}.training.json",
        domain=f"{OF_ROUND}/{{student}}.domain.npz",
        curve=f"{OF_ROUND}/{{student}}.curve.svg",
    log:
        "logs/train_member/{round}.{student}.log",
    benchmark:
        "benchmarks/train_member/{round}.{student}.tsv"
    wildcard_constraints:
        student=one_of(MEMBERS),
    conda:
        CONDA
    threads: TRAINING["threads"] * TRAINING["processes"]
    resources:
        **needs(mem_MB=8000, minutes=600),
    params:
        code=code_of("train_own"),
        student=lambda wildcards: MEMBERS[wildcards.student],
        training=TRAINING,
        origin=lambda wildcards: {"path": path} if (path := member_before(wildcards)) else None,
        teacher=lambda wildcards: OWN_DATA["teacher"],
        said=lambda wildcards: said_of(MEMBERS[wildcards.student], OWN_DATA),
        states=f"{OF_ROUND}/states",
        device=DEVICE,
        domain=config["domain"],
    script:
        "../scripts/train_own.py"


rule explore:
    """Let one student move atoms, and keep the frames on which both do not agree or that are new to them."""
    input:
        members=expand(f"{OF_ROUND}/{{student}}.pt", student=MEMBERS, allow_missing=True),
        domain=expand(f"{OF_ROUND}/{{student}}.domain.npz", student=list(MEMBERS)[:1], allow_missing=True),
        data=[rules.store_round.output.train, rules.store_round.output.validation],
    output:
        frames=f"{OF_ROUND}/frames.xyz",
        record=f"{OF_ROUND}/round.json",
    log:
        "logs/explore/{round}.log",
    benchmark:
        "benchmarks/explore/{round}.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=3000, minutes=600),
    params:
        code=code_of("explore"),
        settings={key: value for key, value in ROUNDS.items() if key not in ("count", "committee")},
        device=DEVICE,
    script:
        "../scripts/explore.py"


rule label_frames:
    """Let the teacher label a part of the frames of a round."""
    input:
        structures=rules.explore.output.frames,
        teacher_files=OWN_TEACHER_FILES,
    output:
        f"{OF_ROUND}/labels.{{part}}.h5",
    log:
        "logs/label_frames/{round}.{part}.log",
    benchmark:
        "benchmarks/label_frames/{round}.{part}.tsv"
    wildcard_constraints:
        part=r"\d+",
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=2880),
    params:
        **labelling("labels"),
        code=code_of("label_structures"),
    script:
        "../scripts/label_structures.py"
