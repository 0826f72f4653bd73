"""The tables of the page that follows one student from its checkpoint to its verdict."""

from __future__ import annotations

from collections.abc import Callable

from assay.physics.verdict import label_of
from assay.report.markdown import code
from assay.report.tables import Figures, bound, files, runtimes, splits
from assay.report.wording import count, number, words
from assay.workflow.errors import listing
from assay.workflow.markdown import table

FOLLOWED = "tiny"  # the student of the page


def _followed(figures: Figures) -> Figures:
    """The figures of the one student that the walk-through follows."""
    name = FOLLOWED if FOLLOWED in figures["students"] else next(iter(figures["students"]))
    return {**figures} | {part: {name: figures[part][name]} for part in ("variants", "students")}


def walk_card(figures: Figures) -> str:
    """What was read from the checkpoint of the student that is followed."""
    [(name, variant)] = _followed(figures)["variants"].items()
    hyperparameters = figures["students"][name]["hyperparameters"]
    rows = [["architecture", code(variant["architecture"])], ["parameters", count(variant["n_parameters"])]]
    rows += [[label_of(key), code(str(value))] for key, value in hyperparameters.items()]
    return table(
        ["what", "value"], [*rows, ["sha256 of the weights", code(variant["checkpoint_sha256"][:16] + "…")]], 2
    )


def walk_errors(figures: Figures) -> str:
    """The errors of the student that is followed."""
    return splits(_followed(figures))


def walk_files(figures: Figures) -> str:
    """The exported files of the student that is followed."""
    return files(_followed(figures))


def walk_runtimes(figures: Figures) -> str:
    """The runtimes of the student that is followed."""
    return runtimes(_followed(figures))


def walk_checks(figures: Figures) -> str:
    """Every physics check of the student that is followed, with the first of its numbers."""
    [student] = _followed(figures)["students"].values()
    rows = []
    for check, about in student["checks"].items():
        shown = next((row for row in about["criteria"] if not row["passed"]), next(iter(about["criteria"]), None))
        numbers = [label_of(shown["value_name"]), number(shown["value"]), bound(shown)] if shown else ["–"] * 3
        rows.append([words(check), *numbers, about["needed_for"], about["outcome"]])
    return table(["check", "number", "value", "limit", "needed for", "outcome"], rows, left=6)


def walk_verdict(figures: Figures) -> str:
    """The verdict of the student that is followed, in a sentence."""
    [(name, variant)] = _followed(figures)["variants"].items()
    if variant["verdict"] is None:
        return f"The physics of `{name}` was not measured in this run."
    failed = variant["failed_checks"]
    why = f"These checks fail: {listing(list(map(words, failed)))}." if failed else "No check fails."
    scope = f" for {variant['scope']}" if variant.get("scope") else ""
    return f"The verdict on `{name}` is **{variant['verdict']}**{scope}. {why}"


WALKTHROUGH: dict[str, Callable[[Figures], str]] = {
    render.__name__.replace("_", "-"): render
    for render in (walk_card, walk_errors, walk_files, walk_runtimes, walk_checks, walk_verdict)
}
