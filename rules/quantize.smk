"""A student in eight bits, and whether that pays.

Needs model.onnx and model.fp16.onnx, training structures for calibration, and unseen molecules to judge on. Makes
model.int8.onnx and quantization.json.
"""


rule quantize:
    input:
        onnx="results/{variant}/model.onnx",
        half="results/{variant}/model.fp16.onnx",
        card=CARD,
        train=config["dataset"]["train"],
        unseen=SPLITS.get("unseen_molecules", next(iter(SPLITS.values()))),
    output:
        model="results/{variant}/model.int8.onnx",
        table="results/{variant}/quantization.json",
    log:
        "logs/quantize/{variant}.log",
    benchmark:
        "benchmarks/quantize/{variant}.tsv"
    priority: 1
    conda:
        CONDA
    threads: workflow.cores
    resources:
        device_percent=100,
    params:
        settings=config["quantize"],
    script:
        "../scripts/quantize.py"
