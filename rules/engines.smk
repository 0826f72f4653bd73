"""Whether and how fast programs of molecular dynamics run the students.

Needs the students' files, structures of the labelled splits, and a registry of packages. Makes
results/<variant>/model.metatomic.pt, results/<variant>/model.gromacs.pt and results/engines/: engines.json, the table engines.md, and the figure engines.svg.

`snakemake engines` is never part of `all`: it installs what envs/engines/ pins, each file into an environment of its own.
A program that cannot be installed is named with the reason.
"""

from assay.engines.programs import PROGRAMS as MD_PROGRAMS

CHOSEN_PROGRAMS = [name for name in MD_PROGRAMS if name in config["engines"]["programs"]]
ENGINE_FILES = sorted({file for name in CHOSEN_PROGRAMS for file in MD_PROGRAMS[name].files})


rule metatomic_file:
    """Write a student as one file of metatomic."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        environment=ROOT / "envs/engines/metatomic.txt",
    output:
        "results/{variant}/model.metatomic.pt",
    log:
        "logs/metatomic_file/{variant}.log",
    benchmark:
        "benchmarks/metatomic_file/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=20),
    params:
        code=code_of("metatomic_file"),
    script:
        "../scripts/metatomic_file.py"


rule gromacs_file:
    """Write a student as one file of the signature of GROMACS' NNPot."""
    input:
        scripted="results/{variant}/model.ts.pt",
        card=CARD,
        taught=taught_of,
    output:
        "results/{variant}/model.gromacs.pt",
    log:
        "logs/gromacs_file/{variant}.log",
    benchmark:
        "benchmarks/gromacs_file/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("gromacs_file"),
    script:
        "../scripts/gromacs_file.py"


rule run_engines:
    """Run one student in every chosen program."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        files=expand("results/{{variant}}/{file}", file=ENGINE_FILES),
        splits=split_files,
        parts=PARTS_OF_RUNS,
        environments=sorted(
            {
                ROOT / "envs/engines" / MD_PROGRAMS[name].environment
                for name in CHOSEN_PROGRAMS
                if MD_PROGRAMS[name].environment
            }
        ),
    output:
        "results/engines/{variant}.json",
    log:
        "logs/run_engines/{variant}.log",
    benchmark:
        "benchmarks/run_engines/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=8000, minutes=60, device_percent=100),
    params:
        code=code_of("run_engines"),
        content=lambda wildcards: contents_of(*SPLITS.values()),
        splits=SPLITS,
        programs=CHOSEN_PROGRAMS,
        settings={key: value for key, value in config["engines"].items() if key != "programs"},
        tolerance=config["export"]["tolerances"]["default"],
    script:
        "../scripts/run_engines.py"


rule engines:
    """Tell of all students in all programs."""
    input:
        students=of_each_student("results/engines/{variant}.json"),
        cards=CARDS,
    output:
        json="results/engines/engines.json",
        page="results/engines/engines.md",
        figure="results/engines/engines.svg",
    log:
        "logs/engines/all.log",
    benchmark:
        "benchmarks/engines/all.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("engines"),
    script:
        "../scripts/engines.py"
