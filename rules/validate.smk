"""What a student is worth: its errors, its physics, and the verdict.

Needs a normalized model and the labelled splits. Makes accuracy.json with its figures and worst structures.
"""


rule validate:
    """Errors against the teacher on every split."""
    input:
        model=model_of,
        card=CARD,
        splits=list(SPLITS.values()),
    output:
        accuracy="results/{variant}/accuracy.json",
        parity="results/{variant}/figures/parity.png",
        errors="results/{variant}/figures/errors.png",
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
        expand("results/{variant}/accuracy.json", variant=VARIANTS),
    output:
        "results/report/accuracy.png",
    log:
        "logs/compare_accuracy/all.log",
    benchmark:
        "benchmarks/compare_accuracy/all.tsv"
    conda:
        CONDA
    params:
        target=config["accuracy"]["target"],
    script:
        "../scripts/compare_accuracy.py"
