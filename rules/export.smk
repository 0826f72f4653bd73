"""A student as files that run without this project, and the proof that they are right.

Needs a normalized model. Makes model.onnx, model.edges.onnx and model.ts.pt, and judges them in export.json.
"""


rule export:
    """ONNX and TorchScript."""
    input:
        model=model_of,
        card=CARD,
    output:
        onnx="results/{variant}/model.onnx",
        edges="results/{variant}/model.edges.onnx",
        torchscript="results/{variant}/model.ts.pt",
    log:
        "logs/export/{variant}.log",
    benchmark:
        "benchmarks/export/{variant}.tsv"
    conda:
        CONDA
    script:
        "../scripts/export.py"


rule verify:
    """Parity with the network in double precision, determinism, and standard graphs."""
    input:
        model=model_of,
        card=CARD,
        files=expand(
            "results/{{variant}}/{file}",
            file=["model.onnx", "model.edges.onnx", "model.ts.pt"],
        ),
    output:
        "results/{variant}/export.json",
    log:
        "logs/verify/{variant}.log",
    benchmark:
        "benchmarks/verify/{variant}.tsv"
    threads: 2
    conda:
        CONDA
    params:
        settings=config["export"],
    script:
        "../scripts/verify.py"
