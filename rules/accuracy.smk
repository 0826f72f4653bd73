"""How far a student is from its teacher on labelled structures.

Needs a normalized model, the labelled splits, and domain.npz of the variant. Makes accuracy.json, the worst structures
and figures of each variant, and one figure of all variants in results/report/.

`--set-scatter validate=100` lets 100 jobs predict a share of the structures each; the result is the same.
"""


scattergather:
    validate=1,


SHARDS = gather.validate("results/{{variant}}/shards/{scatteritem}.npz")


rule predict_shard:
    """Predict a share of the structures of every split."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        splits=split_files,
        parts=PARTS_OF_RUNS,
        domain="results/{variant}/domain.npz",
    output:
        temp("results/{variant}/shards/{scatteritem}.npz"),
    log:
        "logs/predict_shard/{variant}.{scatteritem}.log",
    benchmark:
        "benchmarks/predict_shard/{variant}.{scatteritem}.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=60),
    params:
        code=code_of("predict_shard"),
        content=lambda wildcards: contents_of(*SPLITS.values()),
        splits=SPLITS,
        max_structures=config["accuracy"]["max_structures"],
        seed=config["accuracy"]["seed"],
        device=DEVICE,
    script:
        "../scripts/predict_shard.py"


rule validate:
    """Measure errors against the teacher on every split."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        splits=split_files,
        parts=PARTS_OF_RUNS,
        domain="results/{variant}/domain.npz",
        shards=SHARDS if len(SHARDS) > 1 else [],
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
    resources:
        **needs(mem_MB=1500, minutes=15),
    params:
        code=code_of("validate"),
        content=lambda wildcards: contents_of(*SPLITS.values()),
        splits=SPLITS,
        recorded=RECORDED,
        teacher=teacher_name,
        settings=config["accuracy"],
        device=DEVICE,
    script:
        "../scripts/validate.py"


rule compare_accuracy:
    """Draw the accuracy of all variants in one figure."""
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
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("compare_accuracy"),
        target=config["report"]["targets"]["force_accuracy"],
    script:
        "../scripts/compare_accuracy.py"
