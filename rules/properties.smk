"""Properties of a material by dynamics of each variant: radial distribution, diffusion and pressure.

Needs the models of the variants, the periodic structure that `properties: structure` of the config names, and for
comparison the teacher. Makes results/<variant>/properties.json, and in results/properties/ teacher.json, teacher.h5 with
some frames of the teacher's dynamics and its labels, and a figure.

`snakemake properties` is never part of `all`: the teacher takes minutes to hours. The report shows what was made.
"""

PROPERTIES = config["properties"]
OF_TEACHER = [] if PROPERTIES["teacher"] is None else ["results/properties/teacher.json"]


rule material:
    """Run dynamics of one variant at every size and temperature, and measure."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        structure=structure_of_properties,
        parts=PARTS_OF_RUNS,
    output:
        json="results/{variant}/properties.json",
    log:
        "logs/material/{variant}.log",
    benchmark:
        "benchmarks/material/{variant}.tsv"
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=3000, minutes=600),
    params:
        code=code_of("properties"),
        content=lambda wildcards: contents_of(config["properties"]["structure"]),
        settings={key: value for key, value in PROPERTIES.items() if key != "teacher"},
        device=DEVICE,
    script:
        "../scripts/properties.py"


rule teachers_material:
    """Do the same by the teacher, for as long as it can afford."""
    input:
        structure=structure_of_properties,
        parts=PARTS_OF_RUNS,
        teacher_files=TEACHER_FILES,
    output:
        json="results/properties/teacher.json",
        frames="results/properties/teacher.h5",
    log:
        "logs/teachers_material.log",
    benchmark:
        "benchmarks/teachers_material.tsv"
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=3000, minutes=2880),
    params:
        code=code_of("properties"),
        content=lambda wildcards: contents_of(config["properties"]["structure"]),
        settings={key: value for key, value in PROPERTIES.items() if key != "teacher"}
        | {key: PROPERTIES[key][:1] for key in ("repeats", "temperatures_K")}
        | (PROPERTIES["teacher"] or {}),
        teacher=config["teacher"],
        device=DEVICE,
    script:
        "../scripts/properties.py"


rule properties:
    """Draw all of them side by side."""
    input:
        students=expand("results/{variant}/properties.json", variant=VARIANTS),
        cards=CARDS,
        teacher=OF_TEACHER,
    output:
        "results/properties/properties.svg",
    log:
        "logs/properties.log",
    benchmark:
        "benchmarks/properties.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("draw_properties"),
        variants=list(VARIANTS),
    script:
        "../scripts/draw_properties.py"
