"""Bring a checkpoint of any accepted form into the one form that everything else works with.

Needs the checkpoint of a variant, and what lies beside it. Makes model.safetensors, which depends on the weights alone,
taught.json, which depends on what the student was taught and what is assumed of it alone, and the identity card
model.json, which also says where both came from.

`normalize` reads the checkpoint, or fails and touches nothing; `adopt` then puts the result in place. It is a
checkpoint of the workflow so that what follows is planned by the content of model.safetensors and of taught.json: equal
weights from another file rerun nothing, and elements or a scope told later rerun what carries them. The rules after it
take `model=model_of`, and where they read the card `card=CARD` and `taught=taught_of`.
"""


rule normalize:
    """Read, understand and check a checkpoint."""
    input:
        checkpoint=lambda wildcards: on_disk(checkpoint_of(wildcards)),
        sidecars=lambda wildcards: list(map(on_disk, sidecars(checkpoint_of(wildcards)))),
        scope=lambda wildcards: list(map(on_disk, told_beside(checkpoint_of(wildcards)))),
    output:
        model=temp("results/{variant}/incoming.safetensors"),
        card=temp("results/{variant}/incoming.json"),
        taught=temp("results/{variant}/incoming.taught.json"),
    log:
        "logs/normalize/{variant}.log",
    benchmark:
        "benchmarks/normalize/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=1000, minutes=5),
    params:
        code=code_of("normalize"),
        cutoff_A=lambda wildcards: VARIANTS[wildcards.variant].get("cutoff_A"),
        weights=lambda wildcards: VARIANTS[wildcards.variant].get("weights"),
        units=lambda wildcards: VARIANTS[wildcards.variant].get("units"),
        section=lambda wildcards: "students" if wildcards.variant in OWN else "variants",
    script:
        "../scripts/normalize.py"


checkpoint adopt:
    """Put a checkpoint that was read without complaint in the place of an earlier one."""
    input:
        checkpoint=lambda wildcards: on_disk(checkpoint_of(wildcards)),
        model=rules.normalize.output.model,
        card=rules.normalize.output.card,
        taught=rules.normalize.output.taught,
    output:
        model=update("results/{variant}/model.safetensors"),
        card=update("results/{variant}/model.json"),
        taught=update("results/{variant}/taught.json"),
    log:
        "logs/adopt/{variant}.log",
    benchmark:
        "benchmarks/adopt/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(NETWORKS),
    localrule: True
    conda:
        CONDA
    resources:
        **needs(mem_MB=500, minutes=5),
    params:
        code=code_of("adopt"),
        content=content_of_checkpoint,
    script:
        "../scripts/adopt.py"
