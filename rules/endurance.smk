"""Whether students can be left alone in dynamics of 100 ps.

Needs the normalized models, and a labelled split for its molecules. Makes results/<variant>/endurance.json.

`snakemake endurance` is never part of `all`: it takes minutes to half an hour a student.
"""


rule endure:
    """Run dynamics of unseen molecules, all in one batch."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        split=lambda wildcards: file_of(split_of("endurance")),
        parts=PARTS_OF_RUNS,
    output:
        "results/{variant}/endurance.json",
    log:
        "logs/endure/{variant}.log",
    benchmark:
        "benchmarks/endure/{variant}.tsv"
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=3000, minutes=600),
    params:
        code=code_of("endurance"),
        content=lambda wildcards: contents_of(split_of("endurance")),
        split=lambda wildcards: split_of("endurance"),
        settings=config["endurance"],
        device=DEVICE,
    script:
        "../scripts/endurance.py"


rule endurance:
    input:
        expand("results/{variant}/endurance.json", variant=VARIANTS),
