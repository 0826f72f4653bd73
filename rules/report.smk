"""One report over all variants.

Needs what the other rules found out about each variant. Makes results/report/: report.html for people, report.md for a
pull request, summary.json and comparison.csv for machines.
"""


report: "captions/workflow.rst"


# The files that results rest on, by their names in the report, where a split may be called like one of the others.
DATA = {
    "training_data": file_of(config["dataset"]["train"]),
    "validation_data": file_of(config["dataset"]["validation"]),
} | {
    "physics_reference" if k == 0 else f"physics_reference_{k + 1}": path
    for k, path in enumerate(
        in_words(
            reference_files,
            config["physics"],
            sorted(ABLE_TEACHERS),
        )
    )
}
DATA = {f"split {name}" if name in DATA else name: path for name, path in zip(SPLITS, SPLIT_FILES)} | DATA
# What was measured on a GPU before, which reports of a run on a CPU show.
GPU_SPEED = on_disk(shipped("data/benchmarks/gpu/speed.json"))
# What `all` does not measure and the report shows. It follows the content: as inputs these files would be made again.
ALSO_SHOWN = [
    "results/peers/peers.json",
    *expand("results/engines/engines.{kind}", kind=["json", "svg"]),
    *expand("results/{variant}/properties.json", variant=VARIANTS),
    *expand("results/properties/{file}", file=["teacher.json", "properties.svg"]),
]
# The rules whose jobs the report times: those that `all` runs before it. Their tables are called after a variant, the part
# of it that `--set-scatter` makes, or the training data of several; "all" is always among them.
TIMED = [
    "normalize",
    "adopt",
    "calculator",
    "describe",
    "domain",
    "predict_shard",
    "validate",
    "compare_accuracy",
    "probe",
    "probe_exports",
    "physics",
    "export",
    "compile",
    "verify",
    "schemes",
    "quantize",
    "benchmark",
    "package",
]


rule report:
    input:
        expand(
            "results/{variant}/{file}",
            variant=VARIANTS,
            file=["accuracy.json", "physics.json", "benchmark.json", "benchmark.svg"],
        ),
        expand("results/{variant}/{file}", variant=NETWORKS, file=["export.json", "quantization.json"]),
        data=list(DATA.values()),
        records=[
            record for variant in NETWORKS.values() if (record := training_record(variant["checkpoint"])).is_file()
        ],
        cards=CARDS,
        gpu=[GPU_SPEED] if Path(GPU_SPEED).is_file() else [],
        figures=["results/report/accuracy.svg"],
    output:
        page=report(
            "results/report/report.html",
            category="Report",
            labels={"file": "report"},
            caption="captions/report.rst",
        ),
        markdown="results/report/report.md",
        summary="results/report/summary.json",
        comparison=report(
            "results/report/comparison.csv",
            category="Report",
            labels={"file": "comparison"},
            caption="captions/comparison.rst",
        ),
    log:
        "logs/report/all.log",
    benchmark:
        "benchmarks/report/all.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("report"),
        variants=list(VARIANTS),
        data=DATA,
        teachers={name: teacher["name"] for name, teacher in TEACHERS.items()},
        targets=config["report"]["targets"],
        properties={"structure": config["properties"]["structure"], "teacher": config["teacher"]["name"]},
        shipped=SHIPPED_STUDENTS,
        timed=TIMED,
        tables=tables_of,
        also_shown={path: sha256_file(path) for path in ALSO_SHOWN if Path(path).is_file()},
    script:
        "../scripts/report.py"
