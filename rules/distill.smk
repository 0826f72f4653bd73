"""Train students: one's own where the config has `data`, and without it the shipped ones again.

For the shipped ones it needs data/build/{train,validation}.h5, which it makes by the rules of the dataset where they are
missing. Makes a student, the record of its training and the description of what it was trained on per entry of
`distill: students` in the config, and puts them in data/checkpoints/. One's own are made by students.smk and put into
students/, with the structures that they learned from and that they are judged on.

`snakemake distill` is never part of `all`: what is shipped or registered is no rule's output. Training resumes wherever
it stopped, for the shipped ones from data/build/students/*.state.pt.
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


MADE = ["pt", "training.json", "domain.npz"]


rule distill:
    input:
        (
            expand(f"{OWN_BUILD}/{{student}}.{{kind}}", student=OWN, kind=[*MADE, "curve.svg"])
            + rules.store_data.output
            if OWN
            else expand("data/build/students/{student}.{kind}", student=STUDENTS, kind=MADE)
        ),
    output:
        REGISTERED if OWN else "data/build/students/shipped.json",
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
        folder="students" if OWN else "data/checkpoints",
        earlier=EARLIER if OWN else None,
    script:
        "../scripts/distill.py"
