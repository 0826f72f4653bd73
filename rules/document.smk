"""The figures of the documentation, written from a run.

Needs the report and everything that it rests on; results/peers/peers.json and results/<variant>/endurance.json are
shown where they exist, and else what an earlier run found for the same weights. Makes docs/figures.json,
docs/results.svg, docs/gallery/, and the tables of README.md and docs/*.md.

`snakemake document_example --configfile config/examples/molten_salt.yaml` does the same for the worked example alone.

`snakemake document`, `document_trials`, `document_example` and `pages` are never part of `all`. What they write is
tracked, and is no rule's output: Snakemake would remove it before the job.
"""

# What `all` does not measure, and no documentation is worth measuring again for: by absolute paths Snakemake takes these
# files as they are. It runs a rule without output again for inputs that are newer than the table of its time.
MEASURED_APART = [
    on_disk(Path(path).absolute())
    for path in ["results/peers/peers.json", *expand("results/{variant}/endurance.json", variant=NETWORKS)]
    if Path(path).exists()
]


def own_pages(wildcards):
    """The pages of the documentation, which are those of the checkout."""
    if Path.cwd() != ROOT.resolve():
        raise WorkflowError("the documentation belongs to the checkout: give this command in its folder")
    return sorted(map(str, [*Path().glob("README.md"), *Path("docs").glob("*.md")]))


rule document:
    """Everything, from the results of this run."""
    input:
        own_pages,
        summary="results/report/summary.json",
        cards=CARDS,
        measured_apart=MEASURED_APART,
    log:
        "logs/document.log",
    benchmark:
        "benchmarks/document.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("document"),
        variants=list(VARIANTS),
    script:
        "../scripts/document.py"


rule document_example:
    """The worked example, from the results of a run with its config; all else stays as it is.

    Its properties stay too where this run did not measure them, as `snakemake properties` does.
    """
    input:
        own_pages,
        expand("results/{variant}/{file}", variant=VARIANTS, file=["accuracy.json", "benchmark.json", "physics.json"]),
        drawn=branch(exists("results/properties/properties.svg"), then="results/properties/properties.svg"),
        cards=CARDS,
    log:
        "logs/document_example.log",
    benchmark:
        "benchmarks/document_example.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("document_example"),
        variants=list(VARIANTS),
        properties={"structure": config["properties"]["structure"], "teacher": config["teacher"]["name"]},
    script:
        "../scripts/document_example.py"


rule pages:
    """Tables and picture again, from docs/figures.json and the records of a GPU as they are."""
    input:
        "docs/figures.json",
        own_pages,
        sorted(Path("data/benchmarks/gpu").glob("*.json")),
    log:
        "logs/pages.log",
    benchmark:
        "benchmarks/pages.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("pages"),
    script:
        "../scripts/pages.py"


rule document_trials:
    """The tables and pictures of `snakemake ablate` and `snakemake compress`, and nothing else."""
    input:
        own_pages,
        ablation="results/ablation/ablation.json",
        compression=f"results/{config['compress']['variant']}/compression/compression.json",
        cards=CARDS,
    log:
        "logs/document_trials.log",
    benchmark:
        "benchmarks/document_trials.tsv"
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("document_trials"),
    script:
        "../scripts/document_trials.py"
