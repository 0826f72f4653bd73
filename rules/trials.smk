"""What choices in a student and its training are worth at one budget, and what smaller forms of a student are worth.

Needs labelled structures to train and to validate on; and for the forms a normalized student and its quantization.json.
Makes results/ablation/: a JSON of each training, ablation.json with all settings beside the base, and ablation.svg; and
results/<variant>/compression/: a checkpoint of each form with its scope and its teacher, compression.json and
compression.svg.

`snakemake ablate` and `snakemake compress` are never part of `all`. Each training is a job of its own, so that
Snakemake's executors spread them over a cluster, and each resumes from its *.state.pt wherever it stopped. Forms are
made and measured on a CPU, for the engine is what they ask about.
"""

from assay.ablation.plan import settings, training_of
from assay.compression.plan import forms

ABLATION = config["ablate"] | learned_from("ablate")
ABLATED = settings(present(ABLATION["vary"]), ABLATION["grid"])

COMPRESSION = config["compress"] | learned_from("compress")
FORMS = forms(COMPRESSION)


rule ablate_trial:
    """Train one setting from one seed."""
    input:
        train=named(ABLATION["train"], "ablate.train"),
        validation=named(ABLATION["validation"], "ablate.validation"),
        parts=PARTS_OF_RUNS,
    output:
        "results/ablation/trials/{setting}/{seed}.json",
    log:
        "logs/ablate_trial/{setting}/{seed}.log",
    benchmark:
        "benchmarks/ablate_trial/{setting}/{seed}.tsv"
    wildcard_constraints:
        setting=one_of(ABLATED),
        seed=r"\d+",
    conda:
        CONDA
    threads: 1
    resources:
        **needs(mem_MB=3000, minutes=60),
    params:
        code=code_of("ablate_trial"),
        content=lambda wildcards: contents_of(ABLATION["train"], ABLATION["validation"]),
        training=lambda wildcards: training_of(ABLATED[wildcards.setting], ABLATION["base"], ABLATION["budget"]),
        change=lambda wildcards: ABLATED[wildcards.setting],
        train_structures=ABLATION["train_structures"],
        validation_structures=ABLATION["validation_structures"],
        states="results/ablation/trials/{setting}",
        device=DEVICE,
    script:
        "../scripts/ablate_trial.py"


rule ablate:
    """Compare all settings with the base."""
    input:
        trials=expand("results/ablation/trials/{setting}/{seed}.json", setting=ABLATED, seed=ABLATION["seeds"]),
        validation=named(ABLATION["validation"], "ablate.validation"),
        parts=PARTS_OF_RUNS,
    output:
        json="results/ablation/ablation.json",
        figure="results/ablation/ablation.svg",
    log:
        "logs/ablate.log",
    benchmark:
        "benchmarks/ablate.tsv"
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=1500, minutes=10, device_percent=100),
    params:
        code=code_of("ablate"),
        content=lambda wildcards: contents_of(ABLATION["validation"]),
        settings=ABLATION,
    script:
        "../scripts/ablate.py"


rule compress_form:
    """Make one form: prune, factor, or train a smaller student."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        train=named(COMPRESSION["train"], "compress.train"),
        validation=named(COMPRESSION["validation"], "compress.validation"),
        parts=PARTS_OF_RUNS,
        smaller=named(COMPRESSION["smaller"], "compress.smaller"),
        beside=lambda wildcards: files_beside(COMPRESSION["smaller"]),
    output:
        checkpoint="results/{variant}/compression/{form}.pt",
        told=expand("results/{{variant}}/compression/{{form}}.{kind}.json", kind=["scope", "training"]),
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
        content=lambda wildcards: contents_of(COMPRESSION["train"], COMPRESSION["validation"]),
        settings=COMPRESSION,
        form=lambda wildcards: FORMS[wildcards.form],
        teacher=teacher_name,
    script:
        "../scripts/compress_form.py"


rule compress_student:
    """Measure all forms beside the student."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        forms=expand("results/{{variant}}/compression/{form}.pt", form=FORMS),
        quantization="results/{variant}/quantization.json",
        test=named(COMPRESSION["test"], "compress.test"),
        parts=PARTS_OF_RUNS,
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
        content=lambda wildcards: contents_of(COMPRESSION["test"]),
        settings=COMPRESSION,
        physics={key: config["physics"][key] for key in ["seed", "dynamics", "thresholds"]},
        teacher=teacher_name,
    script:
        "../scripts/compress.py"


rule compress:
    input:
        compressed,
