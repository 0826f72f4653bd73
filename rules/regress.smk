"""Whether the students have become slower, and whether they still hold what is known of their weights.

Needs benchmark.json of each student, and the ratios of an earlier run (`regress: baseline` in the config). Makes
results/regression/: regression.json, and the table regression.md, which says for every ratio by how much it changed.

`snakemake regress` exits with 1 and a sentence if a ratio became worse; `snakemake baseline` replaces the stored ratios
by those of this run.

`snakemake weights` needs the normalized model and model.onnx of each student, unseen molecules, and
data/benchmarks/weights.yaml with the bounds, makes results/<variant>/weights.json, and exits with 1 and a sentence if a
student breaks a bound: tests judge the code with networks of any weights, and this judges the weights.

None of them is part of `all`, and the stored ratios are no rule's output, so that nothing but
`snakemake baseline` ever replaces them.
"""

BENCHMARKS = expand("results/{variant}/benchmark.json", variant=VARIANTS)
BASELINE = config["regress"]["baseline"]
# Where a later run looks for what this one stores.
STORED = PATH_MODIFIER.replace_prefix(BASELINE)


rule compare_speed:
    """Put every ratio of this run beside that of the baseline."""
    input:
        benchmarks=BENCHMARKS,
        baseline=named(BASELINE, "regress.baseline", "`snakemake baseline` stores this run as the new baseline"),
    output:
        json="results/regression/regression.json",
        page="results/regression/regression.md",
    log:
        "logs/compare_speed.log",
    benchmark:
        "benchmarks/compare_speed.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("compare_speed"),
        variants=list(VARIANTS),
        tolerance=config["regress"]["tolerance"],
    script:
        "../scripts/compare_speed.py"


rule regress:
    """Fail if a ratio became worse."""
    input:
        rules.compare_speed.output.json,
    log:
        "logs/regress.log",
    benchmark:
        "benchmarks/regress.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("regress"),
    script:
        "../scripts/regress.py"


rule baseline:
    """Replace the stored ratios."""
    input:
        lambda wildcards: before_replacing(STORED, "regress.baseline", BENCHMARKS),
    log:
        "logs/baseline.log",
    benchmark:
        "benchmarks/baseline.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("baseline"),
        variants=list(VARIANTS),
        baseline=STORED,
    script:
        "../scripts/baseline.py"


rule measure_weights:
    """Energies in float32 of turned molecules, and what finer filters spare in eight bits."""
    input:
        model=model_of,
        onnx="results/{variant}/model.onnx",
        card=CARD,
        taught=taught_of,
        unseen=lambda wildcards: files_of_splits([UNSEEN])[0],
        parts=PARTS_OF_RUNS,
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
        content=lambda wildcards: contents_of(UNSEEN),
        unseen=lambda wildcards: UNSEEN,
    script:
        "../scripts/weights.py"


rule weights:
    """Fail if a student breaks a bound."""
    input:
        measured=of_each_student("results/{variant}/weights.json"),
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
