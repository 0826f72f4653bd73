"""What is known of the data that each student was trained on, so that structures unlike them are flagged.

Needs what lies beside a checkpoint, and for a student without a description of its own the structures that speak for
it: those that are shipped where its record names a build that holds them all, or those that the user names under
`dataset: train`. Makes results/{shipped,named}.domain.npz where they are needed, and domain.npz of each student.
"""


rule describe:
    """What structures cover that serve as training data for all students without a description of their own."""
    input:
        train=lambda wildcards: on_disk(named(file_of(training_structures(wildcards)), "dataset.train")(wildcards)),
        validation=lambda wildcards: files_of_splits([config["dataset"]["validation"]]),
        parts=PARTS_OF_RUNS,
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
    resources:
        **needs(mem_MB=2000, minutes=10),
    params:
        code=code_of("describe"),
        content=lambda wildcards: contents_of(training_structures(wildcards), config["dataset"]["validation"]),
        train=training_structures,
        validation=lambda wildcards: config["dataset"]["validation"],
        settings=config["domain"],
    script:
        "../scripts/describe.py"


rule domain:
    """What is known of a student's training data, to flag what is unlike them."""
    input:
        unpack(domain_inputs),
        model=model_of,
        card=CARD,
        taught=taught_of,
    output:
        "results/{variant}/domain.npz",
    log:
        "logs/domain/{variant}.log",
    benchmark:
        "benchmarks/domain/{variant}.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=10),
    params:
        code=code_of("domain"),
        checkpoint=checkpoint_of,
        description=description_of,
        shipped=SHIPPED_PART,
    script:
        "../scripts/domain.py"
