"""How fast a student is, and where its time goes.

Needs the normalized model, its exported and quantized files, structures of the labelled splits, and the teacher. Makes
benchmark.json and its chart. It owns the device: nothing else runs beside it.
"""


rule benchmark:
    """Time every runtime at every size and batch, beside the teacher."""
    input:
        model=model_of,
        exported=lambda wildcards: [f"results/{wildcards.variant}/{file}" for file in files_timed(wildcards).values()],
        card=CARD,
        taught=taught_of,
        splits=split_files,
        parts=PARTS_OF_RUNS,
        teacher_files=lambda wildcards: files_behind(timed_teacher(wildcards)),
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
    threads: CORES
    resources:
        **needs(mem_MB=5000, minutes=60, device_percent=100),
    params:
        code=code_of("benchmark"),
        content=lambda wildcards: contents_of(*SPLITS.values()),
        splits=SPLITS,
        model_runtimes=lambda wildcards: ["calculator"] if wildcards.variant in CALCULATORS else MODEL_RUNTIMES,
        file_runtimes=lambda wildcards: list(files_timed(wildcards)),
        settings=config["benchmark"],
        teacher=timed_teacher,
        device=DEVICE,
    script:
        "../scripts/benchmark.py"
