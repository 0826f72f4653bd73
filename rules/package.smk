"""A student for people who do not have this project.

Needs the exported files of a variant and what was found out about it. Makes package.zip.
"""

from assay.engines.programs import GUIDES

# The code that package.zip holds as it is written, of which its script runs a part; and the guides.
PACKED_CODE = [
    on_disk(shipped(path.relative_to(ROOT).as_posix()))
    for path in sorted((ROOT / "scripts/assay/runtime").rglob("*.py"))
]
PACKED_GUIDES = [on_disk(shipped(f"docs/engines/{name}.md")) for name in GUIDES]
PACKED_FILES = [file for file in EXPORTED_FILES if file != "model.pt2"] + ["model.int8.onnx"]


rule package:
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        files=expand("results/{{variant}}/{file}", file=PACKED_FILES),
        results=expand(
            "results/{{variant}}/{name}.json", name=["accuracy", "physics", "benchmark", "export", "quantization"]
        ),
        record=record_of,
        code=PACKED_CODE,
        guides=PACKED_GUIDES,
        lammps=shipped("envs/engines/lammps.txt"),
    output:
        "results/{variant}/package.zip",
    log:
        "logs/package/{variant}.log",
    benchmark:
        "benchmarks/package/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("package"),
        card=lambda wildcards: {
            "teacher": teacher_name(wildcards),
            "training_data": config["package"]["training_data"],
            "licence": VARIANTS[wildcards.variant].get("licence"),
            "citation": VARIANTS[wildcards.variant].get("citation"),
        },
        lammps_plugin=config["package"]["lammps_plugin"],
    script:
        "../scripts/package.py"
