"""Make what runs a model of any other program: its ASE calculator, in a process and an environment of its own.

Needs the environment that a variant names, a requirements file or a Python interpreter, and the files that its
arguments name. Makes calculator.json, from which the calculator is made wherever it is needed, and the identity card
model.json, which also says why some branches are not applicable. The environment of a requirements file lies in the
cache of the user, and is made once for equal content.
"""


rule calculator:
    """Make a calculator once, and write down what it tells of itself and of its environment."""
    input:
        files=files_of,
    output:
        model="results/{variant}/calculator.json",
        card="results/{variant}/model.json",
    log:
        "logs/calculator/{variant}.log",
    benchmark:
        "benchmarks/calculator/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(CALCULATORS),
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=60),
    params:
        code=code_of("calculator"),
        calculator=lambda wildcards: calculator_of(CALCULATORS[wildcards.variant]),
        device=DEVICE,
    script:
        "../scripts/calculator.py"
