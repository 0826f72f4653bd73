"""Run the physics checks on any model and say what it is fit for: md-ready, screening-only or reject.

The model is a file, a variant of the config, or the ASE calculator of another program.

Exits with status 0 if the verdict is at least the one required, 1 if not, 2 if the model could not be judged.
"""

import argparse
import sys
import traceback
from pathlib import Path

from assay.physics.base import Subject
from assay.physics.checks import measure
from assay.physics.coverage import gaps
from assay.physics.reference import reference_of
from assay.physics.verdict import VERDICTS, table, verdict_of
from assay.predictors.named import add_arguments, named_model
from assay.workflow.config import load_config
from assay.workflow.errors import AssayError, require_utf8
from assay.workflow.files import require_own_files, write_json
from assay.workflow.provenance import header
from assay.workflow.teachers import reference_files

ROOT = Path(__file__).parents[1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--require", choices=VERDICTS, default="md-ready", help="lowest verdict that exits with 0")
    parser.add_argument("--checks", nargs="+", metavar="CHECK", help="only these checks; default: all of the config")
    parser.add_argument("--teacher", metavar="NAME", help="teacher of the model; default: by its training record")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="number of processor threads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write values, outcomes and raw numbers")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    require_utf8()
    if options.threads < 1:
        raise AssayError(f"--threads is {options.threads}: give 1 or more")
    overrides = [options.config] if options.config else []
    settings = load_config(ROOT / "config", *overrides)["physics"]
    model = named_model(options)
    require_own_files({"--json": options.json}, [model.path, options.config])
    exact, moving = model.load(options.device, options.threads, ("float64", "float32"))
    teacher = options.teacher or model.teacher
    reference = reference_of(reference_files(settings, [teacher]), teacher)
    subject = Subject(exact, moving, reference, settings["dynamics"], settings["seed"], teacher)
    lacking = gaps(reference, reference, exact.elements, teacher)
    judged = verdict_of(measure(subject, options.checks), settings["thresholds"], lacking)
    if judged["rests_on"]["judged"] == 0:
        reasons = "; ".join(f"{name}: {check['message']}" for name, check in judged["checks"].items())
        raise AssayError(f"none of these checks could be judged ({reasons}): name others by --checks")
    judged["scope"] = exact.scope.sentence if exact.scope else None
    print(table(judged))
    if options.json:
        about = model.record(moving) | {"teacher": teacher, "reference_teacher": reference.teacher}
        write_json(options.json, header(None, None, options.device) | about | judged)
    return 0 if VERDICTS.index(judged["verdict"]) >= VERDICTS.index(options.require) else 1


if __name__ == "__main__":
    try:
        status = main()
    except AssayError as error:
        print(f"Error: {error}", file=sys.stderr)
        status = 2
    except Exception:  # a bug is no verdict either
        traceback.print_exc()
        status = 2
    sys.exit(status)
