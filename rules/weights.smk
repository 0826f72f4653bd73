"""Whether the shipped students still hold what is known of their weights.

Needs the normalized model and model.onnx of each student, unseen molecules, and data/benchmarks/weights.yaml with the
bounds. Makes results/<variant>/weights.json.

`snakemake weights` exits with 1 and a sentence if a student breaks a bound. It is never part of `all`: tests judge the
code with networks of any weights, and this judges the weights.
"""


rule measure_weights:
    """Energies in float32 of turned molecules, and what finer filters spare in eight bits."""
    input:
        model=model_of,
        onnx="results/{variant}/model.onnx",
        card=CARD,
        unseen=file_of(UNSEEN),
    output:
        "results/{variant}/weights.json",
    log:
        "logs/measure_weights/{variant}.log",
    benchmark:
        "benchmarks/measure_weights/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=1500, minutes=10),
    params:
        code=code_of("weights"),
        unseen=lambda wildcards: UNSEEN,
    script:
        "../scripts/weights.py"


rule weights:
    """Fail if a student breaks a bound."""
    input:
        measured=expand("results/{variant}/weights.json", variant=NETWORKS),
        cards=CARDS,
        bounds=shipped("data/benchmarks/weights.yaml"),
    log:
        "logs/weights.log",
    benchmark:
        "benchmarks/weights.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("hold_weights"),
    script:
        "../scripts/hold_weights.py"
