"""What a job takes where that depends on its variant: files, and the teacher."""

from assay.workflow.contents import content_sha256
from assay.workflow.records import (
    description_beside,
    description_for,
    read_content,
    read_shipped_part,
    told_beside,
    training_description,
)
from assay.workflow.teachers import records_of

# What is shipped of the training data. Its record is read here and is no rule's input: it is an output of `dataset`.
SHIPPED_TRAIN = shipped("data/dataset/train.h5")
SHIPPED_PART = read_shipped_part(shipped("data/dataset/dataset.json"))

# The students that are trained on data of the caller.
OWN = present(config["students"]) if config["data"] else {}


def adopted(variant, what):
    """The path or the SHA-256 of the checkpoint that the results of a variant are of; None before there are any."""
    return look_up(read_content(Path("results", variant, "model.json")), "source", what)


def checkpoint_of(wildcards):
    """The checkpoint file of a variant, as the user gave it; None for a calculator."""
    if wildcards.variant in OWN:
        said = said_of(OWN[wildcards.variant], OWN_DATA)
        in_words(check_trained, wildcards.variant, TEACHERS[wildcards.variant], said)
    path = VARIANTS[wildcards.variant].get("checkpoint")
    if path and adopted(wildcards.variant, "path") == path and not Path(path).is_dir():
        return path  # results of a checkpoint that was moved away can be reported
    return named(path, f"variants.{wildcards.variant}.checkpoint")(wildcards) or None


def files_beside(path):
    """The files beside a checkpoint that no rule makes which are read with it; none without a checkpoint."""
    return [on_disk(file) for file in (*sidecars(path), *told_beside(path))] if path else []


def content_of_checkpoint(wildcards):
    """The SHA-256 of the checkpoint of a variant, or of the one that its results are of where it was moved away.

    Snakemake looks at the content of a file only where its date is late; a replaced one may keep an earlier date.
    """
    path = Path(checkpoint_of(wildcards))
    return content_sha256(path) if path.is_file() else adopted(wildcards.variant, "sha256")


def contents_of(*given):
    """The SHA-256 of labelled files and structures that the user gave, each a path or a set of keys with one.

    They are a parameter of the rules that read these: Snakemake looks at the content of a file only where its date is
    late, and one that `cp -p` put there keeps an earlier date.
    """
    paths = [*map(Path, map(file_of, filter(None, given))), *map(Path, PARTS_OF_RUNS)]
    return [content_sha256(path) for path in paths if path.is_file() and not path.is_relative_to("data/build")]


def only_network(wildcards):
    """The name of a variant in a list, which is empty for a calculator."""
    return [name for name in NETWORKS if name == wildcards.variant]


def teacher_name(wildcards):
    """The name of a variant's teacher; None if it is unknown."""
    return TEACHERS[wildcards.variant]["name"]


# The teachers that can be asked about the user's own structures, by the names of their references.
ASKED = {}
STRUCTURES_KEY = "physics.structures" if given("physics.structures") else "data.structures"
if "structures" in config["physics"]:
    for asked in map(dict, ABLE_TEACHERS.values() or ([] if config["data"] else [config["teacher"]])):
        made = in_words(own_reference, config["physics"]["structures"], asked["name"], STRUCTURES_KEY)
        ASKED[made.name.removesuffix(".xyz.gz")] = {"shipped": str(made), "teacher": asked}


def references_of(wildcards):
    """The references that a student may be held against: those of the user's own structures by its teacher first."""
    files = in_words(reference_files, config["physics"], [teacher_name(wildcards)])
    return [on_disk(named(path, "physics.reference")(wildcards)) for path in files]


def files_of_splits(splits):
    """The files of labelled splits of the config, or of its validation data."""
    keys = {file_of(split): f"dataset.splits.{name}" for name, split in SPLITS.items()}
    return [on_disk(named(path, keys.get(path, "dataset.validation"))(None)) for path in map(file_of, splits)]


def split_files(wildcards):
    """The files of all labelled splits that students are judged on."""
    return files_of_splits(SPLITS.values())


def held_out_of(wildcards):
    """What was held out of the data of one's own student, whose geometries serve where no reference has its elements."""
    return [on_disk(VALIDATION)] if wildcards.variant in OWN else []


def model_of(wildcards):
    """The normalized model of a variant, or the description of its calculator.

    What follows a normalized model is planned by its content.
    """
    if wildcards.variant in CALCULATORS:
        return f"results/{wildcards.variant}/calculator.json"
    return checkpoints.adopt.get(variant=wildcards.variant).output.model


def taught_of(wildcards):
    """What the student of a variant was taught, which its results follow beside its weights; nothing of a calculator."""
    if wildcards.variant in CALCULATORS:
        return []
    return checkpoints.adopt.get(variant=wildcards.variant).output.taught


def files_of(wildcards):
    """The files that a calculator rests on: its environment, what its arguments name, and code of the user's own."""
    return files_behind(CALCULATORS[wildcards.variant])


def description_of(wildcards):
    """Which description of its training data a variant has."""
    return description_for(checkpoint_of(wildcards), SHIPPED_PART, named=given("dataset.train"))


def domain_inputs(wildcards):
    """What tells of a variant's training data, as far as it exists: a changed file describes the student anew."""
    own = checkpoint_of(wildcards)
    beside = [place(own) for place in (training_record, training_description) if own]
    files = {
        "own": list(map(on_disk, beside[-1:])),
        "shipped": ["results/shipped.domain.npz"],
        "named": ["results/named.domain.npz"],
        "none": [],
    }
    return {
        "told_by": [on_disk(path) for path in beside if path.is_file()],
        "description": files[description_of(wildcards)],
    }


def training_structures(wildcards):
    """The structures that speak for the training data, as the config names them."""
    return {"shipped": SHIPPED_TRAIN, "named": config["dataset"]["train"]}[wildcards.data]


def exported_files(wildcards):
    """The files that a network is exported to, as far as this machine can make them."""
    variant = wildcards.variant
    return [f"results/{variant}/{file}" for file in EXPORTED_FILES if file not in NOT_EXPORTED[variant]]


def files_timed(wildcards):
    """The exported files of a variant by their runtime: none of a calculator."""
    if wildcards.variant in CALCULATORS:
        return {}
    return {runtime: file for runtime, file in RUNTIMES.items() if file not in NOT_EXPORTED[wildcards.variant]}


def timed_teacher(wildcards):
    """The calculator that a student's speed is compared with: its teacher's, or where that is unknown the config's.

    None if there is no calculator of its teacher.
    """
    teacher = TEACHERS[wildcards.variant]
    if teacher["name"] is None:
        return config["teacher"] | {"own": None}
    return teacher | {"own": True} if teacher["calculator"] else None


def record_of(wildcards):
    """The record of a variant's training, where one lies beside its checkpoint."""
    record = training_record(checkpoint_of(wildcards))
    return [on_disk(record)] if record.is_file() else []


def before_replacing(path, key, files):
    """The files that a rule takes which replaces a path, named by a key of the config.

    It is refused in a checkout of others, and where the path is a folder.
    """
    if Path.cwd() != ROOT and Path(path).resolve().is_relative_to(ROOT / "data"):
        raise WorkflowError(
            f"{path} belongs to the checkout, which others use too: name a file of your own as `{key}` in the config, or "
            "run this command in the checkout"
        )
    if Path(path).is_dir():
        in_words(require_named, path, key)
    return files


def split_of(section):
    """The split that lends its molecules to a section of the config."""
    name = config[section]["split"]
    if name not in SPLITS:
        raise WorkflowError(f"`{section}.split` of the config is {name}: name one of {', '.join(SPLITS)}")
    files_of_splits([SPLITS[name]])
    return SPLITS[name]


def structure_of_properties(wildcards):
    """The file with the structure at which dynamics begin that measure properties."""
    if config["properties"]["structure"] is None:
        raise WorkflowError(
            "`properties: structure` of the config is null: name a file with the periodic structure at which dynamics begin"
        )
    return named(config["properties"]["structure"], "properties.structure")(wildcards)


def origin_of(wildcards):
    """The checkpoint that a student goes on from; None where it begins with new weights."""
    return origin_of_student(wildcards.student)


def origin_of_student(student):
    """The checkpoint that one of the user's students goes on from; None where it begins with new weights."""
    origin = OWN[student].get("from")
    if origin is None:
        return None
    if origin in OWN:  # as it is trained, not as it was placed by an earlier run
        return f"{OWN_BUILD}/{origin}.pt"
    if origin in VARIANTS:
        return named(VARIANTS[origin].get("checkpoint"), f"variants.{origin}.checkpoint")(None) or None
    return named(SHIPPED_STUDENTS.get(origin, origin), f"students.{student}.from")(None)


def of_each_student(pattern, **parts):
    """The files of all students, for what a model of another program has not."""

    def files(wildcards):
        if not NETWORKS:
            raise WorkflowError("no variant of the config is a student: name one with a `checkpoint`")
        return expand(pattern, variant=NETWORKS, **parts)

    return files


def records_of_own(wildcards):
    """The training records of all of the user's students."""
    if not OWN:
        raise WorkflowError(
            "`students` of the config names none: name some that begin with new weights and some with `from`, as "
            "config/examples/fine_tuning.yaml does"
        )
    return expand(f"{OWN_BUILD}/{{student}}.training.json", student=OWN)


def earlier_students():
    """The checkpoints of other runs that the user's students go on from."""
    of_this = {f"{OWN_BUILD}/{name}.pt" for name in OWN}
    return sorted({str(path) for path in map(origin_of_student, OWN) if path} - of_this)


def described(checkpoint):
    """The files that tell what a checkpoint learned from, and from whom: those that there are, or that rules make with it."""
    if checkpoint is None:
        return []
    if str(checkpoint).startswith("data/build/"):
        return [training_description(checkpoint)]
    folder = Path(checkpoint).parent
    made = folder / "domain.npz" if folder in [Path("results", name) for name in VARIANTS] else None
    description = made or description_beside(checkpoint)
    return [on_disk(path) for path in (description, *records_of(checkpoint)) if path]


def told_of_origin(wildcards):
    """The checkpoint that a student goes on from, and what its variant says of how to read it; None as origin_of."""
    path = origin_of(wildcards)
    origin = OWN[wildcards.student].get("from")
    said = {} if origin in OWN else VARIANTS.get(origin, {})
    return path and {"path": path} | {key: said[key] for key in ("cutoff_A", "weights", "units") if key in said}


def beside_origin(wildcards):
    """The files that are read with the checkpoint that a student goes on from; those of an own one are made with it."""
    is_own = OWN[wildcards.student].get("from") in OWN
    return [] if is_own else files_beside(origin_of(wildcards))


def labels_of_rounds(count):
    """The files with the labels of the first ``count`` rounds."""
    return expand(f"{OF_ROUND}/labels.{{part}}.h5", round=range(1, count + 1), part=LABEL_PARTS)


def labelled_files(labelled):
    """The files of the user's labels, and of those that the teacher gave."""
    return [named(file_of(labels), "data.train")(None) for labels in labelled]


def labelled_before(wildcards):
    """What is labelled before a round."""
    return FIRST_LABELS + labels_of_rounds(int(wildcards.round) - 1)


def member_before(wildcards):
    """The same student of the round before, from which its training goes on; None in the first round."""
    number = int(wildcards.round) - 1
    return f"{OWN_BUILD}/rounds/{number}/{wildcards.student}.pt" if number else None


def learned_from(section):
    """The files that a section trains and is judged on: those of the user's `data`, unless the section names its own."""
    own = {"train": "train", "validation": "validation", "test": "validation"} if config["data"] else {}
    return {
        part: f"data/build/own/{name}.h5"
        for part, name in own.items()
        if part in config[section] and not given(f"{section}.{part}")
    }


def compressed(wildcards):
    """What `compress` makes of the student that the config names.

    Raises:
        WorkflowError: there is no such checkpoint among the variants.
    """
    if config["compress"]["variant"] not in NETWORKS:
        raise WorkflowError(
            f"`compress.variant` of the config is {config['compress']['variant']}: name one of {', '.join(NETWORKS)}"
        )
    return f"results/{config['compress']['variant']}/compression/compression.json"


def tables_of(wildcards):
    """The names of the tables of time that count, without their ending."""
    parts = expand("{variant}.{part}", variant=VARIANTS, part=gather.validate("{scatteritem}"))
    return [*VARIANTS, *parts, "shipped", "named"]
