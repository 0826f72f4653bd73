"""What the rules share: the checked config, the variants, the names of files, the device, the environment.

Needs config/*.yaml beside the Snakefile, and what the caller overrides of them; makes nothing. All other rule files need
this one alone to be included before them.

Every job has a log in logs/<rule>/ and a benchmark in benchmarks/<rule>/, and runs in CONDA under
--software-deployment-method conda, and says what it `needs` of a node. One that times something takes `threads: CORES`
and the whole device. What takes less than 15 seconds and 0.5 GB is a `localrule`, which no cluster gets.
"""

import os
import re
import sys
from pathlib import Path
from typing import get_args

from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError

# Also where another workflow uses this one as a module, and the same by whatever links it is reached: inputs lie in it.
ROOT = Path(workflow.current_basedir).parent.resolve()

sys.path.insert(0, str(ROOT / "scripts"))

from assay.engine.toolchain import missing_files
from assay.workflow.calculator_files import calculator_files
from assay.workflow.code import code_digest, require_only_library
from assay.workflow.config import (
    calculator_of,
    complete_config,
    file_of,
    is_given,
    require_single_keys,
    resolve_device,
    shipped_path,
    why_no_gpu,
)
from assay.workflow.config_layers import merged
from assay.workflow.config_models.types import FileOfExport
from assay.workflow.errors import AssayError, require_utf8
from assay.workflow.files import look_up, require_named, sha256_file, sidecars, training_record
from assay.workflow.own_students import EARLIER, REGISTERED, SUPERCELLS, VALIDATION, check_trained, present, said_of
from assay.workflow.runs import parts_of_runs
from assay.workflow.teachers import own_reference, recorded_labels, reference_files, same_teacher, teacher_of

if " " in sys.executable:
    raise WorkflowError(
        f"Python lies in {sys.executable}, and Snakemake cannot run scripts by a path with a space: make the environment "
        "in another folder"
    )


def in_words(function, *arguments):
    """What a function returns; its complaint to a user becomes that of Snakemake."""
    try:
        return function(*arguments)
    except AssayError as error:
        raise WorkflowError(str(error)) from None


in_words(require_utf8)
in_words(require_only_library, ROOT / "scripts")


def on_disk(path):
    """A file that no rule makes. It lies on the disk also where results live in object storage."""
    stored = workflow.storage_settings.default_storage_provider is not None
    made = str(path).startswith(("results/", "data/build/"))
    return local(str(path)) if stored and not made else path


def named(path, key, *advice):
    """A file that a key of the config names, as the input of a rule, which is refused where it is missing or a folder.

    Snakemake by itself takes what such a rule made of another file for the result. It asks only the rules behind the
    command. Nothing is said of files that rules make and that are not there yet, nor of those that a prefix moves.
    """

    def _found(wildcards):
        is_made = str(path).startswith(("results/", "data/build/"))
        if path and not is_moved(path) and (Path(path).is_dir() or not is_made):
            in_words(require_named, path, key, *advice)
        return path or []

    return _found


PATH_MODIFIER = workflow.modifier.path_modifier  # while jobs are planned the workflow has another one


def is_moved(path):
    """Whether a module puts its prefix before a path of these rules."""
    return PATH_MODIFIER.replace_prefix(path) != path


def files_behind(calculator):
    """The files that an ASE calculator rests on, a variant's or a teacher's; none of a teacher without a calculator.

    They are found from the current folder, also where a module has a prefix.
    """
    found = in_words(calculator_files, calculator)
    return [local(path) if is_moved(path) else on_disk(path) for path in found]


for configfile_given in workflow.config_settings.configfiles:
    in_words(require_single_keys, configfile_given)

# What the caller set: by `config:` of a module, by a workflow around these rules, or by --configfile and --config. Of these
# Snakemake merges the parts as if each told of the same students and teachers.
GIVEN = config
if workflow.modifier.is_main_snakefile() and config == workflow.config_settings.overwrite_config:
    GIVEN = merged([*map(load_configfile, workflow.config_settings.configfiles), workflow.config_settings.config])

config = in_words(complete_config, GIVEN, ROOT / "config")

# Students and references of one's own are put where later runs look for them, which no prefix moves.
for key, is_used in (("data", config["data"]), ("physics.structures", "structures" in config["physics"])):
    if is_used and is_moved("students/") | is_moved("data/build/"):
        raise WorkflowError(
            f"the config of the module names `{key}`, and its files cannot be made under a `prefix`: leave the prefix out, "
            "or make them by a run of its own, and name the checkpoints and references by absolute paths"
        )

VARIANTS = present(config["variants"])
SHIPPED_STUDENTS = {name: shipped_path(f"data/checkpoints/{name}.pt", ROOT) for name in config["distill"]["students"]}
# Labelled splits by name, each a path or a set of keys with one; and their files.
SPLITS = present(config["dataset"]["splits"])
SPLIT_FILES = [on_disk(file_of(split)) for split in SPLITS.values()]
# What is recorded of them: a parameter of the rules that ask whose labels a file holds.
RECORDED = [recorded_labels(file_of(split)) for split in SPLITS.values()]
# What lies beside labelled files and structures and is read with them.
PARTS_OF_RUNS = [on_disk(path) for path in parts_of_runs(config)]
UNSEEN = SPLITS.get("unseen_molecules", next(iter(SPLITS.values())))

# The variants that are checkpoints, which can be exported; and those that are ASE calculators, which cannot.
NETWORKS = {name: variant for name, variant in VARIANTS.items() if "checkpoint" in variant}
CALCULATORS = {name: variant for name, variant in VARIANTS.items() if "calculator" in variant}

# The files behind the teacher of the config; the teacher of each variant, as far as it is known; and those of which a
# calculator is known, by name. A rule that asks a teacher takes the files behind it, so that its results follow them.
TEACHER_FILES = files_behind(config["teacher"])
TEACHERS = {name: teacher_of(variant, config["teacher"]) for name, variant in VARIANTS.items()}
ABLE_TEACHERS = {teacher["name"]: teacher for teacher in TEACHERS.values() if teacher["calculator"]}

DEVICE = resolve_device(config["device"])

# All cores: those that Snakemake may use, and without --cores, on a cluster, those of the node that plans.
CORES = workflow.resource_settings.cores or os.cpu_count()

CONDA = ROOT / "envs" / f"{DEVICE}.yaml"

# The files that a student is exported to; those that this machine cannot make, with the reason, by variant, unless they
# were made before: a compiler that is gone makes nothing stale.
EXPORTED_FILES = list(get_args(FileOfExport))
NOT_EXPORTED = {
    variant: {file: why for file, why in missing_files().items() if not Path("results", variant, file).is_file()}
    for variant in NETWORKS
}

# What runs a student: the normalized model, operation by operation in PyTorch, in the engine and in the kernels for GPUs
# ("triton"), and the files. "package" is what a user of package.zip gets: the compiled engine, called by the code of the
# package.
MODEL_RUNTIMES = ["eager", "engine", "triton"]
RUNTIMES = {
    "package": "model.assay",
    "aotinductor": "model.pt2",
    "torchscript": "model.ts.pt",
    "onnx": "model.onnx",
    "onnx_edges": "model.edges.onnx",
    "onnx_fp16": "model.fp16.onnx",
    "onnx_int8": "model.int8.onnx",
}


# One job at a time owns the device, unless the caller says otherwise: in any profile, and in any workflow.
if "device_percent" not in workflow.global_resources:
    workflow.register_resource("device_percent", 100)


# Before a job deletes an earlier result. On a cluster the node that plans need not have a GPU, and others may have one.
onstart:
    if config["device"] == "cuda" and workflow.local_exec and why_no_gpu():
        raise WorkflowError(f"the config asks for `device: cuda`, but {why_no_gpu()}")
    if config["device"] == "auto" and not workflow.local_exec:
        raise WorkflowError(
            "each node would choose a device of its own, because `device` of the config is auto: say `device=cpu` or "
            "`device=cuda` in --config, which takes the place of the whole `config` of a profile"
        )


wildcard_constraints:
    variant="|".join(map(re.escape, VARIANTS)),


# The identity card of a variant, and the cards of all variants. Another origin of equal weights changes them and reruns
# nothing; what the student was taught, which they hold too, stands in taught.json, by which results are planned.
# All that follows `adopt` takes its model or these, whether it reads them or not: Snakemake plans anew what depends on
# a checkpoint directly, and would rerun the rest.
CARD = ancient("results/{variant}/model.json")
CARDS = ancient(expand("results/{variant}/model.json", variant=VARIANTS))


def given(key):
    """Whether the caller set a key, such as "dataset.train"; what config/*.yaml say by themselves is not set."""
    return is_given(GIVEN, key)


def one_of(names):
    """A pattern that fits each of these names, and nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def shipped(path):
    """A file beside the Snakefile, from whatever folder the workflow runs."""
    return shipped_path(path, ROOT)


def needs(mem_MB, minutes, device_percent=1):
    """What a job needs: memory and time, of which it gets more at each attempt, and its share of the device.

    One that takes the whole device runs alone, whatever -j or -c says.
    """
    return {
        "mem_mb": lambda wildcards, attempt: mem_MB * attempt,
        "runtime": lambda wildcards, attempt: minutes * attempt,
        "device_percent": device_percent,
    }


def code_of(script):
    """A digest of what a script runs; as a parameter of its rule it makes results of other code stale."""
    return code_digest(ROOT / "scripts" / f"{script}.py", ROOT / "scripts")


# What the user's own students learn from (students.smk, rounds.smk), and where it is put together.
OWN_DATA = config["data"] or {}
OWN_TEACHER_FILES = files_behind(OWN_DATA.get("teacher"))
TRAINING = config["training"]
OWN_BUILD = "data/build/own"
LABEL_PARTS = range(TRAINING["labelling_jobs"])
FIRST_LABELS = [OWN_DATA["train"]] if "train" in OWN_DATA else []
if "structures" in OWN_DATA:
    FIRST_LABELS = expand(f"{OWN_BUILD}/labels.{{part}}.h5", part=LABEL_PARTS)
# Rounds of active learning add labels to these (rounds.smk), found by two students that differ in their first weights.
ROUNDS = config["rounds"]
OF_ROUND = f"{OWN_BUILD}/rounds/{{round}}"
MEMBERS = {f"member{k}": ROUNDS["committee"] | {"seed": TRAINING["seed"] + k} for k in (0, 1)}


def labelling(folder):
    """What the rules have in common that let the teacher label structures; labels are kept in a folder of OWN_BUILD."""
    return {
        "teacher": OWN_DATA.get("teacher"),
        "parts": len(LABEL_PARTS),
        "folder": f"{OWN_BUILD}/{folder}",
        "tried": lambda wildcards: {"path": OWN_DATA.get("structures"), "labelled": OWN_DATA.get("train")},
    }


include: "inputs.smk"
