"""Students as inner forces of multiple time steps, which the teacher corrects every n steps.

Needs the normalized models, a labelled split for its molecules, and the teacher of the config, whose students are tried.
Makes results/multistep/: multistep.json, the figure multistep.svg, and the page multistep.md, which says which student
is the best inner force.

`snakemake multistep` is never part of `all`: the teacher's own dynamics, and those that it corrects, take an hour.
"""

INNER_FORCES = [name for name, teacher in TEACHERS.items() if same_teacher(teacher["name"], config["teacher"]["name"])]
MULTISTEP = {key: value for key, value in config["multistep"].items() if key not in ("drift_limit", "seconds")}


rule teacher_motion:
    """The dynamics of molecules by the teacher alone."""
    input:
        cards=CARDS,
        split=lambda wildcards: file_of(split_of("multistep")),
        parts=PARTS_OF_RUNS,
        teacher_files=TEACHER_FILES,
    output:
        "results/multistep/teacher.npz",
    log:
        "logs/teacher_motion.log",
    benchmark:
        "benchmarks/teacher_motion.tsv"
    conda:
        CONDA
    resources:
        **needs(mem_MB=1500, minutes=240),
    params:
        code=code_of("teacher_motion"),
        content=lambda wildcards: contents_of(split_of("multistep")),
        split=lambda wildcards: split_of("multistep"),
        settings=MULTISTEP,
        teacher=config["teacher"],
        inner_forces=INNER_FORCES,
    script:
        "../scripts/teacher_motion.py"


rule student_motion:
    """The same by a student alone, and by the student with its teacher at each n."""
    input:
        model=model_of,
        card=CARD,
        taught=taught_of,
        cards=CARDS,
        split=lambda wildcards: file_of(split_of("multistep")),
        parts=PARTS_OF_RUNS,
        teacher="results/multistep/teacher.npz",
        teacher_files=TEACHER_FILES,
    output:
        "results/{variant}/multistep.json",
    log:
        "logs/student_motion/{variant}.log",
    benchmark:
        "benchmarks/student_motion/{variant}.tsv"
    wildcard_constraints:
        variant=one_of(INNER_FORCES),
    conda:
        CONDA
    resources:
        **needs(mem_MB=2000, minutes=600),
    params:
        code=code_of("student_motion"),
        content=lambda wildcards: contents_of(split_of("multistep")),
        split=lambda wildcards: split_of("multistep"),
        settings=MULTISTEP,
        teacher=config["teacher"],
        inner_forces=INNER_FORCES,
    script:
        "../scripts/student_motion.py"


rule multistep:
    """Time the steps in turns, and say which student is the best inner force."""
    input:
        motions=expand("results/{variant}/multistep.json", variant=INNER_FORCES),
        models=[
            f"results/{name}/" + ("calculator.json" if name in CALCULATORS else "model.safetensors")
            for name in INNER_FORCES
        ],
        cards=CARDS,
        split=lambda wildcards: file_of(split_of("multistep")),
        parts=PARTS_OF_RUNS,
        teacher_files=TEACHER_FILES,
    output:
        json="results/multistep/multistep.json",
        figure="results/multistep/multistep.svg",
        page="results/multistep/multistep.md",
    log:
        "logs/multistep.log",
    benchmark:
        "benchmarks/multistep.tsv"
    conda:
        CONDA
    threads: CORES
    resources:
        **needs(mem_MB=3000, minutes=30, device_percent=100),
    params:
        code=code_of("multistep"),
        content=lambda wildcards: contents_of(split_of("multistep")),
        split=lambda wildcards: split_of("multistep"),
        settings=MULTISTEP,
        drift_limit=config["multistep"]["drift_limit"],
        seconds=config["multistep"]["seconds"],
        teacher=config["teacher"],
        inner_forces=INNER_FORCES,
        teachers={name: teacher["name"] for name, teacher in TEACHERS.items()},
    script:
        "../scripts/multistep.py"
