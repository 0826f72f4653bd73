"""How fast a student is, and where its time goes.

Needs the normalized model, its exported and quantized files, structures of the labelled splits, and the teacher. Makes
benchmark.json and its chart. It owns the device: nothing else runs beside it.
"""


rule benchmark:
    """Time every runtime at every size and batch, beside the teacher."""
    input:
        model=model_of,
        exported=expand("results/{{variant}}/{file}", file=RUNTIMES.values()),
        card=CARD,
        splits=list(SPLITS.values()),
    output:
        json="results/{variant}/benchmark.json",
        chart=report(
            "results/{variant}/benchmark.svg",
            category="Speed",
            labels={"student": "{variant}", "figure": "benchmark"},
            caption="captions/benchmark.rst",
        ),
    log:
        "logs/benchmark/{variant}.log",
    benchmark:
        "benchmarks/benchmark/{variant}.tsv"
    priority: 1
    conda:
        CONDA
    threads: workflow.cores
    resources:
        device_percent=100,
    params:
        model_runtimes=MODEL_RUNTIMES,
        file_runtimes=list(RUNTIMES),
        settings=config["benchmark"],
        teacher=config["teacher"],
        device=DEVICE,
    script:
        "../scripts/benchmark.py"
