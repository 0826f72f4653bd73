"""Train the shipped students again, on the teacher's labels.

Needs data/build/{train,validation}.h5, which it makes by the rules of the dataset where they are missing. Makes a
student, the record of its training and the description of what it was trained on per entry of `distill: students` in
the config, and puts them in data/checkpoints/.

`snakemake distill` is never part of `all`: what is shipped is no rule's output. Training resumes from
data/build/students/*.state.pt wherever it stopped.
"""

STUDENTS = config["distill"]["students"]


rule train:
    input:
        train="data/build/train.h5",
        validation="data/build/validation.h5",
    output:
        student="data/build/students/{student}.pt",
        record="data/build/students/{student}.training.json",
        domain="data/build/students/{student}.domain.npz",
    log:
        "logs/train/{student}.log",
    benchmark:
        "benchmarks/train/{student}.tsv"
    wildcard_constraints:
        student="|".join(STUDENTS),
    conda:
        CONDA
    threads: config["distill"]["threads"] * config["distill"]["processes"]
    resources:
        **needs(mem_MB=8000, minutes=2880),
    params:
        code=code_of("train"),
        student=lambda wildcards: STUDENTS[wildcards.student],
        recipe=config["distill"]["recipe"],
        teacher=config["teacher"],
        device=DEVICE,
        processes=config["distill"]["processes"],
        shipped="data/checkpoints/{student}.pt",
        state="data/build/students/{student}.state.pt",
        domain=config["domain"],
    script:
        "../scripts/train.py"


rule distill:
    input:
        expand("data/build/students/{student}.{kind}", student=STUDENTS, kind=["pt", "training.json", "domain.npz"]),
    output:
        "data/build/students/shipped.json",
    log:
        "logs/distill.log",
    benchmark:
        "benchmarks/distill.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("distill"),
        folder="data/checkpoints",
    script:
        "../scripts/distill.py"
