"""Whether students can be left alone in dynamics of 100 ps.

Needs the normalized models, and a labelled split for its molecules. Makes results/<variant>/endurance.json.

`snakemake endurance` is never part of `all`: it takes minutes to half an hour a student.
"""


rule endure:
    """Dynamics of unseen molecules, all in one batch."""
    input:
        model=model_of,
        card=CARD,
        split=lambda wildcards: SPLITS[config["endurance"]["split"]],
    output:
        "results/{variant}/endurance.json",
    log:
        "logs/endure/{variant}.log",
    benchmark:
        "benchmarks/endure/{variant}.tsv"
    conda:
        CONDA
    threads: workflow.cores
    params:
        settings=config["endurance"],
        device=DEVICE,
    script:
        "../scripts/endurance.py"


rule endurance:
    input:
        expand("results/{variant}/endurance.json", variant=VARIANTS),
