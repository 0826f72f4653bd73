"""What each choice in a student and its training is worth, at one budget.

Needs labelled structures to train and to validate on. Makes results/ablation/: a JSON of each training, ablation.json
with all settings beside the base, and ablation.svg.

`snakemake ablate` is never part of `all`. Each training is a job of its own, so that Snakemake's executors spread them
over a cluster, and each resumes from results/ablation/trials/*.state.pt wherever it stopped.
"""

from assay.ablation.plan import settings, training_of

ABLATION = config["ablate"]
ABLATED = settings(present(ABLATION["vary"]), ABLATION["grid"])


rule ablate_trial:
    """Train one setting from one seed."""
    input:
        train=ABLATION["train"],
        validation=ABLATION["validation"],
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
        training=lambda wildcards: training_of(ABLATED[wildcards.setting], ABLATION["base"], ABLATION["budget"]),
        change=lambda wildcards: ABLATED[wildcards.setting],
        train_structures=ABLATION["train_structures"],
        validation_structures=ABLATION["validation_structures"],
        state="results/ablation/trials/{setting}/{seed}.state.pt",
        device=DEVICE,
    script:
        "../scripts/ablate_trial.py"


rule ablate:
    """Compare all settings with the base."""
    input:
        trials=expand("results/ablation/trials/{setting}/{seed}.json", setting=ABLATED, seed=ABLATION["seeds"]),
        validation=ABLATION["validation"],
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
        settings=ABLATION,
    script:
        "../scripts/ablate.py"
