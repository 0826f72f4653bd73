"""Whether a student obeys the physics that dynamics and screening rest on, and the verdict.

Needs a normalized model, its exported files, and the teacher's reference for the checks. Makes physics.json with the
verdict, and its figures. `snakemake physics_reference` makes references and is never part of `all`.
"""

PHYSICS = config["physics"]
REFERENCES = reference_files(PHYSICS)
FIGURES = ["overview", "nve", "cutoff", "continuity", "dimers", "contacts", "torsions", "vibrations", "energies"]


rule probe:
    """Measure everything that the physics checks ask for, and judge nothing."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        references=references_of,
        own=held_out_of,
    output:
        "results/{variant}/physics.probe.json",
    log:
        "logs/probe/{variant}.log",
    benchmark:
        "benchmarks/probe/{variant}.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=1500, minutes=30),
    params:
        code=code_of("probe"),
        settings={key: PHYSICS[key] for key in ["seed", "dynamics"]},
        teacher=teacher_name,
        device=DEVICE,
    script:
        "../scripts/probe.py"


rule probe_exports:
    """Measure on the exported files what an export could have broken."""
    input:
        models=expand("results/{{variant}}/{file}", file=PHYSICS["exports"]["files"]),
        card=CARD,
        taught=taught_of,
        references=references_of,
        own=held_out_of,
    output:
        "results/{variant}/physics.exports.json",
    log:
        "logs/probe_exports/{variant}.log",
    benchmark:
        "benchmarks/probe_exports/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=1500, minutes=20),
    params:
        code=code_of("probe_exports"),
        settings=PHYSICS["exports"] | {"seed": PHYSICS["seed"]},
        teacher=teacher_name,
        device=DEVICE,
    script:
        "../scripts/probe_exports.py"


rule physics:
    """Judge the outcomes, and draw figures. Thresholds act here, so that a changed one measures nothing again."""
    input:
        probe="results/{variant}/physics.probe.json",
        exports=lambda wildcards: expand("results/{variant}/physics.exports.json", variant=only_network(wildcards)),
        card=CARD,
        taught=taught_of,
    output:
        **{
            name: report(
                f"results/{{variant}}/figures/{name}.svg",
                category="Physics",
                labels={"student": "{variant}", "figure": name},
                caption="captions/physics.rst",
            )
            for name in FIGURES
        },
        physics="results/{variant}/physics.json",
    log:
        "logs/physics/{variant}.log",
    benchmark:
        "benchmarks/physics/{variant}.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("physics"),
        thresholds=PHYSICS["thresholds"],
    script:
        "../scripts/physics.py"


rule own_reference:
    """Ask a teacher about the user's own molecules."""
    input:
        structures=PHYSICS.get("structures", []),
        parts=PARTS_OF_RUNS,
        teacher_files=lambda wildcards: files_behind(ASKED[wildcards.reference]["teacher"]),
    output:
        "data/build/physics/{reference}.xyz.gz",
    log:
        "logs/own_reference/{reference}.log",
    benchmark:
        "benchmarks/own_reference/{reference}.tsv"
    wildcard_constraints:
        reference=one_of(ASKED),
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=240),
    params:
        code=code_of("own_reference"),
        content=lambda wildcards: contents_of(PHYSICS.get("structures")),
        teacher=lambda wildcards: ASKED[wildcards.reference]["teacher"],
        settings=PHYSICS["reference_recipe"],
        shipped=lambda wildcards: ASKED[wildcards.reference]["shipped"],
    script:
        "../scripts/own_reference.py"


rule listed_reference:
    """Ask the teacher again about every listed geometry that the checks look at, in half an hour."""
    input:
        molecules=lambda wildcards: before_replacing(
            REFERENCES[0], "physics.reference", shipped("data/physics/molecules.csv")
        ),
        teacher_files=TEACHER_FILES,
    output:
        "data/build/physics_reference.xyz.gz",
    log:
        "logs/listed_reference.log",
    benchmark:
        "benchmarks/listed_reference.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=240),
    params:
        code=code_of("listed_reference"),
        teacher=config["teacher"],
        settings=PHYSICS["reference_recipe"],
        shipped=REFERENCES[0],
        parts="data/build/parts/physics",
    script:
        "../scripts/listed_reference.py"


rule physics_reference:
    """Make the references of the user's own structures, or without these the shipped one again."""
    input:
        expand("data/build/physics/{reference}.xyz.gz", reference=ASKED) or rules.listed_reference.output,
