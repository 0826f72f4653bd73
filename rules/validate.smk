"""What a student is worth: its errors, its physics, and the verdict.

Needs a normalized model, the labelled splits, the training data, and the teacher's reference for the physics checks.
Makes domain.npz (what the training data cover), accuracy.json with the worst structures, physics.json with the verdict,
and their figures. `snakemake physics_reference` makes the shipped reference again and is never part of `all`.
"""

PHYSICS = config["physics"]
FIGURES = ["overview", "nve", "cutoff", "dimers", "contacts", "torsions", "vibrations", "energies"]


rule domain:
    """What the training data cover, to flag what they do not."""
    input:
        train=config["dataset"]["train"],
        validation=config["dataset"]["validation"],
    output:
        "results/domain.npz",
    log:
        "logs/domain/all.log",
    benchmark:
        "benchmarks/domain/all.tsv"
    conda:
        CONDA
    params:
        settings=config["domain"],
    script:
        "../scripts/domain.py"


rule validate:
    """Errors against the teacher on every split."""
    input:
        model=model_of,
        card=CARD,
        splits=list(SPLITS.values()),
        domain=rules.domain.output[0],
    output:
        accuracy="results/{variant}/accuracy.json",
        parity=report(
            "results/{variant}/figures/parity.svg",
            category="Accuracy",
            labels={"student": "{variant}", "figure": "parity"},
            caption="captions/parity.rst",
        ),
        errors=report(
            "results/{variant}/figures/errors.svg",
            category="Accuracy",
            labels={"student": "{variant}", "figure": "errors"},
            caption="captions/errors.rst",
        ),
        novelty=report(
            "results/{variant}/figures/novelty.svg",
            category="Accuracy",
            labels={"student": "{variant}", "figure": "novelty"},
            caption="captions/novelty.rst",
        ),
        worst="results/{variant}/worst.xyz",
    log:
        "logs/validate/{variant}.log",
    benchmark:
        "benchmarks/validate/{variant}.tsv"
    conda:
        CONDA
    params:
        splits=SPLITS,
        settings=config["accuracy"],
        device=DEVICE,
    script:
        "../scripts/validate.py"


rule compare_accuracy:
    """Accuracy of all variants in one figure."""
    input:
        results=expand("results/{variant}/accuracy.json", variant=VARIANTS),
        cards=CARDS,
    output:
        report(
            "results/report/accuracy.svg",
            category="Accuracy",
            labels={"student": "all", "figure": "comparison"},
            caption="captions/accuracy.rst",
        ),
    log:
        "logs/compare_accuracy/all.log",
    benchmark:
        "benchmarks/compare_accuracy/all.tsv"
    conda:
        CONDA
    params:
        target=config["report"]["targets"]["force_accuracy"],
    script:
        "../scripts/compare_accuracy.py"


rule probe:
    """Everything that the physics checks measure, without a judgement."""
    input:
        model=model_of,
        card=CARD,
        reference=PHYSICS["reference"],
    output:
        "results/{variant}/physics.probe.json",
    log:
        "logs/probe/{variant}.log",
    benchmark:
        "benchmarks/probe/{variant}.tsv"
    conda:
        CONDA
    params:
        settings={key: PHYSICS[key] for key in ["seed", "dynamics"]},
        device=DEVICE,
    script:
        "../scripts/probe.py"


rule probe_exports:
    """What an export could have broken, measured on the exported files."""
    input:
        models=expand("results/{{variant}}/{file}", file=PHYSICS["exports"]["files"]),
        card=CARD,
        reference=PHYSICS["reference"],
    output:
        "results/{variant}/physics.exports.json",
    log:
        "logs/probe_exports/{variant}.log",
    benchmark:
        "benchmarks/probe_exports/{variant}.tsv"
    conda:
        CONDA
    params:
        settings=PHYSICS["exports"] | {"seed": PHYSICS["seed"]},
        device=DEVICE,
    script:
        "../scripts/probe_exports.py"


rule physics:
    """Outcomes, verdict and figures: thresholds act here, so that a changed one measures nothing again."""
    input:
        probe="results/{variant}/physics.probe.json",
        exports="results/{variant}/physics.exports.json",
        card=CARD,
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
    conda:
        CONDA
    params:
        thresholds=PHYSICS["thresholds"],
    script:
        "../scripts/physics.py"


rule physics_reference:
    """Ask the teacher again about every geometry that the checks look at; opt-in, half an hour."""
    input:
        molecules="data/physics/molecules.csv",
    output:
        "data/build/physics_reference.xyz.gz",
    log:
        "logs/physics_reference.log",
    benchmark:
        "benchmarks/physics_reference.tsv"
    conda:
        CONDA
    params:
        teacher=config["teacher"],
        settings=PHYSICS["reference_recipe"],
        shipped=PHYSICS["reference"],
        parts="data/build/parts/physics",
    script:
        "../scripts/physics_reference.py"
