"""Bring a checkpoint of any accepted form into the one form that everything else works with.

Needs the checkpoint of a variant. Makes model.safetensors and its identity card model.json.
"""


rule normalize:
    input:
        checkpoint=lambda wildcards: VARIANTS[wildcards.variant]["checkpoint"],
    output:
        model="results/{variant}/model.safetensors",
        card="results/{variant}/model.json",
    log:
        "logs/normalize/{variant}.log",
    benchmark:
        "benchmarks/normalize/{variant}.tsv"
    conda:
        CONDA
    params:
        cutoff_A=lambda wildcards: VARIANTS[wildcards.variant].get("cutoff_A"),
    script:
        "../scripts/normalize.py"
