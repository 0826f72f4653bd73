"""Assay: from checkpoints of distilled force fields to verdicts, deployable models and one report.

`snakemake -j 3 all` makes everything under results/. `snakemake dataset` and `snakemake distill` make again what is
shipped under data/, and are never part of `all`.
"""

from snakemake.utils import min_version

min_version("9.0")


include: "rules/common.smk"
include: "rules/normalize.smk"
include: "rules/calculators.smk"
include: "rules/domain.smk"
include: "rules/accuracy.smk"
include: "rules/physics.smk"
include: "rules/export.smk"
include: "rules/quantize.smk"
include: "rules/benchmark.smk"
include: "rules/peers.smk"
include: "rules/engines.smk"
include: "rules/regress.smk"
include: "rules/package.smk"
include: "rules/report.smk"
include: "rules/document.smk"
include: "rules/dataset.smk"
include: "rules/students.smk"
include: "rules/rounds.smk"
include: "rules/distill.smk"
include: "rules/trials.smk"
include: "rules/endurance.smk"
include: "rules/properties.smk"
include: "rules/multistep.smk"


rule all:
    default_target: True
    input:
        expand(
            "results/{variant}/{file}",
            variant=VARIANTS,
            file=["model.json", "accuracy.json", "benchmark.json", "benchmark.svg", "physics.json"],
        ),
        expand(
            "results/{variant}/{file}",
            variant=NETWORKS,
            file=[
                "model.safetensors",
                "model.onnx",
                "model.edges.onnx",
                "model.ts.pt",
                "export.json",
                "model.int8.onnx",
                "quantization.json",
                "package.zip",
            ],
        ),
        "results/report/summary.json",
        "results/report/report.html",
