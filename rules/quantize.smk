"""A student in eight bits, and whether that pays.

Needs the normalized model, model.onnx and model.fp16.onnx, training structures for calibration, and unseen molecules to
judge on. Makes model.int8.onnx and quantization.json. Only `quantize` times anything and owns the device; `schemes` makes
the files and measures what they cost in accuracy beside other jobs.
"""

from assay.quantize.names import SCHEME_NAMES

# What a student is judged on, and what it is judged on where its teacher labelled none of that or it knows none of it.
UNSEEN_OR_ELSE = [UNSEEN, *(split for split in SPLITS.values() if split != UNSEEN), config["dataset"]["validation"]]
UNSEEN_RECORDED = [recorded_labels(file_of(split)) for split in UNSEEN_OR_ELSE]


rule schemes:
    """Every scheme of fewer bits, and its errors."""
    input:
        model=model_of,
        onnx="results/{variant}/model.onnx",
        half="results/{variant}/model.fp16.onnx",
        card=CARD,
        taught=taught_of,
        train=lambda wildcards: on_disk(named(file_of(config["dataset"]["train"]), "dataset.train")(wildcards)),
        unseen=lambda wildcards: files_of_splits(UNSEEN_OR_ELSE),
        parts=PARTS_OF_RUNS,
    output:
        files=temp(expand("results/{{variant}}/schemes/{scheme}.onnx", scheme=SCHEME_NAMES)),
        costs=temp("results/{variant}/schemes/costs.json"),
    log:
        "logs/schemes/{variant}.log",
    benchmark:
        "benchmarks/schemes/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    priority: 1
    conda:
        CONDA
    resources:
        **needs(mem_MB=4000, minutes=20),
    params:
        code=code_of("schemes"),
        content=lambda wildcards: contents_of(config["dataset"]["train"], *UNSEEN_OR_ELSE),
        train=lambda wildcards: config["dataset"]["train"],
        unseen=lambda wildcards: UNSEEN_OR_ELSE,
        recorded=UNSEEN_RECORDED,
        teacher=teacher_name,
        settings={
            key: config["quantize"][key]
            for key in ["structures", "calibration_structures", "molecules", "motion", "seed"]
        },
    script:
        "../scripts/schemes.py"


rule quantize:
    """Times of every scheme, and the one to ship."""
    input:
        onnx="results/{variant}/model.onnx",
        half="results/{variant}/model.fp16.onnx",
        files=rules.schemes.output.files,
        costs=rules.schemes.output.costs,
        card=CARD,
        taught=taught_of,
        unseen=lambda wildcards: files_of_splits(UNSEEN_OR_ELSE),
        parts=PARTS_OF_RUNS,
    output:
        model="results/{variant}/model.int8.onnx",
        table="results/{variant}/quantization.json",
    log:
        "logs/quantize/{variant}.log",
    benchmark:
        "benchmarks/quantize/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    priority: 1
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=3000, minutes=30, device_percent=100),
    params:
        code=code_of("quantize"),
        content=lambda wildcards: contents_of(*UNSEEN_OR_ELSE),
        unseen=lambda wildcards: UNSEEN_OR_ELSE,
        recorded=UNSEEN_RECORDED,
        teacher=teacher_name,
        settings={key: config["quantize"][key] for key in ["structures", "seconds", "seed", "limits"]},
    script:
        "../scripts/quantize.py"
