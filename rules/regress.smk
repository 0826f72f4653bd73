"""Whether the students have become slower.

Needs benchmark.json of each student, and the ratios of an earlier run (`regress: baseline` in the config). Makes
results/regression/: regression.json, and the table regression.md, which says for every ratio by how much it changed.

`snakemake regress` exits with 1 and a sentence if a ratio became worse; `snakemake baseline` replaces the stored ratios
by those of this run. Neither is part of `all`, and the stored ratios are no rule's output, so that nothing but
`snakemake baseline` ever replaces them.
"""

BENCHMARKS = expand("results/{variant}/benchmark.json", variant=VARIANTS)
BASELINE = config["regress"]["baseline"]


rule compare_speed:
    """Put every ratio of this run beside that of the baseline."""
    input:
        benchmarks=BENCHMARKS,
        baseline=[BASELINE] if Path(BASELINE).is_file() else [],
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
        baseline=lambda wildcards: BASELINE,
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
        BENCHMARKS,
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
        baseline=BASELINE,
    script:
        "../scripts/baseline.py"
