"""Smaller and faster forms of one student, and which of them is worth shipping.

Needs a normalized student, its quantization.json, and labelled structures. Makes results/<variant>/compression/: a
checkpoint of each form, compression.json and compression.svg.

`snakemake compress` is never part of `all`. Each form is a job of its own, and a training resumes from its *.state.pt.
It runs on a CPU, for the engine is what it asks about.
"""

from assay.compression.plan import forms

COMPRESSION = config["compress"]
FORMS = forms(COMPRESSION)


rule compress_form:
    """Make one form: prune, factor, or train a smaller student."""
    input:
        model=model_of,
        card=CARD,
        train=COMPRESSION["train"],
        validation=COMPRESSION["validation"],
        smaller=COMPRESSION["smaller"] or [],
    output:
        "results/{variant}/compression/{form}.pt",
    log:
        "logs/compress_form/{variant}/{form}.log",
    benchmark:
        "benchmarks/compress_form/{variant}/{form}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
        form=one_of(FORMS),
    conda:
        CONDA
    threads: 1
    resources:
        **needs(mem_MB=3000, minutes=60),
    params:
        code=code_of("compress_form"),
        settings=COMPRESSION,
        form=lambda wildcards: FORMS[wildcards.form],
    script:
        "../scripts/compress_form.py"


rule compress_student:
    """Measure all forms beside the student."""
    input:
        model=model_of,
        card=CARD,
        forms=expand("results/{{variant}}/compression/{form}.pt", form=FORMS),
        quantization="results/{variant}/quantization.json",
        test=COMPRESSION["test"],
        references=references_of,
    output:
        json="results/{variant}/compression/compression.json",
        figure="results/{variant}/compression/compression.svg",
    log:
        "logs/compress_student/{variant}.log",
    benchmark:
        "benchmarks/compress_student/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=2500, minutes=30, device_percent=100),
    params:
        code=code_of("compress"),
        settings=COMPRESSION,
        physics={key: PHYSICS[key] for key in ["seed", "dynamics", "thresholds"]},
        teacher=teacher_name,
    script:
        "../scripts/compress.py"


rule compress:
    input:
        expand("results/{variant}/compression/compression.json", variant=COMPRESSION["variant"]),
