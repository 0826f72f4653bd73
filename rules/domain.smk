"""What is known of the data that each student was trained on, so that structures unlike them are flagged.

Needs what lies beside a checkpoint, and for a student without a description of its own the structures that speak for
it: those that are shipped where its record names a build that holds them all, or those that the user names under
`dataset: train`. Makes results/{shipped,named}.domain.npz where they are needed, and domain.npz of each student.
"""

from assay.workflow.records import description_for, read_shipped_part, training_description

# What is shipped of the training data. Its record is read here and is no rule's input: it is an output of `dataset`.
SHIPPED_TRAIN = shipped("data/dataset/train.h5")
SHIPPED_PART = read_shipped_part(shipped("data/dataset/dataset.json"))


def description_of(wildcards):
    """Which description of its training data a variant has."""
    return description_for(checkpoint_of(wildcards), SHIPPED_PART, named=given("dataset.train"))


def domain_inputs(wildcards):
    """What tells of a variant's training data, as far as it exists: a changed file describes the student anew."""
    own = checkpoint_of(wildcards)
    beside = [place(own) for place in (training_record, training_description) if own]
    files = {
        "own": beside[-1:],
        "shipped": ["results/shipped.domain.npz"],
        "named": ["results/named.domain.npz"],
        "none": [],
    }
    return {
        "told_by": [path for path in beside if path.is_file()],
        "description": files[description_of(wildcards)],
    }


def training_structures(wildcards):
    """The structures that speak for the training data, as the config names them."""
    return {"shipped": SHIPPED_TRAIN, "named": config["dataset"]["train"]}[wildcards.data]


rule describe:
    """What structures cover that serve as training data for all students without a description of their own."""
    input:
        train=lambda wildcards: file_of(training_structures(wildcards)),
        validation=file_of(config["dataset"]["validation"]),
    output:
        "results/{data}.domain.npz",
    log:
        "logs/describe/{data}.log",
    benchmark:
        "benchmarks/describe/{data}.tsv"
    wildcard_constraints:
        data="shipped|named",
    conda:
        CONDA
    params:
        code=code_of("describe"),
        train=training_structures,
        validation=config["dataset"]["validation"],
        settings=config["domain"],
    script:
        "../scripts/describe.py"


rule domain:
    """What is known of a student's training data, to flag what is unlike them."""
    input:
        unpack(domain_inputs),
        model=model_of,
        card=CARD,
    output:
        "results/{variant}/domain.npz",
    log:
        "logs/domain/{variant}.log",
    benchmark:
        "benchmarks/domain/{variant}.tsv"
    conda:
        CONDA
    params:
        code=code_of("domain"),
        checkpoint=checkpoint_of,
        description=description_of,
        shipped=SHIPPED_PART,
    script:
        "../scripts/domain.py"
