"""What the training data cover, so that structures unlike them are flagged.

Needs the training and validation data of the config. Makes results/domain.npz.
"""


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
