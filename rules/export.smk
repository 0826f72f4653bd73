"""A student as files that run without this project, and the proof that they are right.

Needs a normalized model, and labelled structures for their molecules. Makes model.onnx, model.edges.onnx,
model.fp16.onnx, model.ts.pt, model.assay and, where there is a C++ compiler, model.pt2; judges them in export.json. The files
come before other jobs, since most of them wait for a file.
"""


rule export:
    """Write ONNX and TorchScript files, and the file of the engine."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
    output:
        onnx="results/{variant}/model.onnx",
        edges="results/{variant}/model.edges.onnx",
        half="results/{variant}/model.fp16.onnx",
        torchscript="results/{variant}/model.ts.pt",
        engine="results/{variant}/model.assay",
    log:
        "logs/export/{variant}.log",
    benchmark:
        "benchmarks/export/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    priority: 2
    conda:
        CONDA
    resources:
        **needs(mem_MB=1500, minutes=10),
    params:
        code=code_of("export"),
    script:
        "../scripts/export.py"


rule compile:
    """Compile a student to machine code."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
    output:
        "results/{variant}/model.pt2",
    log:
        "logs/compile/{variant}.log",
    benchmark:
        "benchmarks/compile/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    priority: 2
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=20),
    params:
        code=code_of("compile"),
    script:
        "../scripts/compile.py"


rule verify:
    """Check parity with the network in double precision, determinism, standard graphs, and dynamics."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        files=exported_files,
        splits=split_files,
        parts=PARTS_OF_RUNS,
    output:
        "results/{variant}/export.json",
    log:
        "logs/verify/{variant}.log",
    benchmark:
        "benchmarks/verify/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=2500, minutes=30),
    params:
        code=code_of("verify"),
        content=lambda wildcards: contents_of(*SPLITS.values()),
        splits=SPLITS,
        settings=config["export"],
        missing=lambda wildcards: NOT_EXPORTED[wildcards.variant],
    script:
        "../scripts/verify.py"
