"""How fast a student is, and where its time goes.

Needs the normalized model, its exported and quantized files, the labelled splits for their structures, and the teacher.
Makes benchmark.json and its chart. It owns the device: nothing else runs beside it.
"""

EXPORTED = {
    "torchscript": "model.ts.pt",
    "onnx": "model.onnx",
    "onnx_edges": "model.edges.onnx",
    "onnx_int8": "model.int8.onnx",
}


rule benchmark:
    """Every runtime at every size and batch, beside the teacher."""
    input:
        model=model_of,
        exported=expand("results/{{variant}}/{file}", file=EXPORTED.values()),
        card=CARD,
        splits=list(SPLITS.values()),
    output:
        json="results/{variant}/benchmark.json",
        chart=report(
            "results/{variant}/benchmark.png",
            category="Speed",
            labels={"student": "{variant}", "figure": "benchmark"},
            caption="captions/benchmark.rst",
        ),
    log:
        "logs/benchmark/{variant}.log",
    benchmark:
        "benchmarks/benchmark/{variant}.tsv"
    conda:
        CONDA
    threads: workflow.cores
    resources:
        device_percent=100,
    params:
        runtimes=["eager", *EXPORTED],
        settings=config["benchmark"],
        teacher=config["teacher"],
        device=DEVICE,
    script:
        "../scripts/benchmark.py"
