"""Writes the report as one HTML file that asks nothing of the network, and as Markdown for a pull request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader, Undefined, select_autoescape
from markupsafe import Markup

from assay.physics.verdict import MD_READY, REJECT, SCREENING_ONLY, label_of
from assay.report import speed, svg, wording
from assay.report.charts import apart, draw_learning, draw_throughput, draw_workflow, pareto_of
from assay.report.dag import workflow_command
from assay.report.evidence import Student
from assay.report.figures import embed, figures_of
from assay.report.forms import runtimes_in_words
from assay.report.labels import scopes_of, suspicious, units_of_splits
from assay.report.molecules import worst_scenes
from assay.report.targets import said_of
from assay.workflow.errors import listing
from assay.workflow.files import atomic_path
from assay.workflow.markdown import cell

TEMPLATES = Path(__file__).parent / "templates"
TONES = {
    **dict.fromkeys((MD_READY, "met", "pass", "verified"), "good"),
    **dict.fromkeys((REJECT, "unmet", "fail", "error", "not verified", "suspicious"), "bad"),
    SCREENING_ONLY: "fair",
}

FATES = {
    MD_READY: "ready for molecular dynamics",
    SCREENING_ONLY: "fit for screening only",
    REJECT: "rejected by physics",
}


def write_page(
    path: str | Path,
    summary: Mapping[str, Any],
    students: Sequence[Student],
    shared_figures: Sequence[Path],
) -> None:
    """Write ``report.html``.

    Args:
        path: the file to write.
        summary: what ``summary.summarize`` returned.
        students: the variants with their results.
        shared_figures: the files of figures about all variants.
    """
    scenes = {student.name: found for student in students if (found := worst_scenes(student))}
    content = (
        _environment()
        .get_template("page.html.j2")
        .render(
            summary=summary,
            students=students,
            headline=headline(summary),
            pareto=Markup(pareto_of(summary) or ""),
            apart=apart(summary),
            runtimes=runtimes_in_words(summary["forms"]),
            throughput=Markup(_throughput(students) or ""),
            learning=Markup(_learning(students) or ""),
            speed=speed,
            timeline=Markup(draw_workflow(summary["workflow"]) if (summary["workflow"] or {}).get("jobs") else ""),
            figures={student.name: figures_of(student.folder) for student in students},
            shared_figures=[embed(figure) for figure in shared_figures],
            scenes=scenes,
            scenes_json=Markup(_script_json(scenes)),
            style=Markup((TEMPLATES / "style.css").read_text()),
            viewer=Markup((TEMPLATES / "viewer.js").read_text()),
            command=workflow_command(),
        )
    )
    with atomic_path(path) as temporary:
        temporary.write_text(content)


def write_markdown(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Write ``report.md``: the first page of the report as tables."""
    environment = _environment().overlay(finalize=lambda value: cell(value) if isinstance(value, str) else value)
    content = environment.get_template("report.md.j2").render(summary=summary, headline=headline(summary))
    with atomic_path(path) as temporary:
        temporary.write_text(content)


def headline(summary: Mapping[str, Any]) -> str:
    """Say in a sentence what the report finds."""
    verdicts = [variant["verdict"] for variant in summary["variants"].values()]
    targets = [target["verdict"] for target in summary["targets"] if target["verdict"] != wording.NOT_APPLICABLE]
    ready, unknown = verdicts.count(MD_READY), targets.count("not measured")
    if not any(verdicts):
        physics = "Physics was not measured"
    elif len(verdicts) == 1:
        physics = f"The student is {FATES[verdicts[0]]}"
    else:
        physics = (
            f"{ready or 'None'} of {len(verdicts)} students {'is' if ready < 2 else 'are'} ready for molecular dynamics"
        )
    rest = f", {unknown} not measured" if unknown else ""
    doubted = [wording.words(split) for split in suspicious(summary.get("labels", {}))]
    doubt = f"; the labels of {listing(doubted)} are suspicious" if doubted else ""
    return f"{physics}; {targets.count('met')} of {len(targets)} targets met{rest}{doubt}"


def tone(verdict: str | None) -> str:
    """Choose how a verdict is shown: good, fair, bad or unknown."""
    return TONES.get(verdict or "", "unknown")


def _of_known(function: Callable[..., str]) -> Callable[..., str]:
    """Make a filter that takes what a template did not find for None, which is not measured."""
    return lambda value, *rest: function(None if isinstance(value, Undefined) else value, *rest)


def _differ(variants: Mapping[str, Mapping[str, Any]], key: str) -> bool:
    """Whether the values that variants of a summary have under a key differ; a missing one is none."""
    return len({variant[key] for variant in variants.values()} - {None}) > 1


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html.j2"]),
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {f.__name__: _of_known(f) for f in (*wording.FILTERS, label_of, tone)}
    environment.globals |= {"color_of": svg.color_of, "units_of_splits": units_of_splits, "scopes_of": scopes_of}
    environment.globals |= {"said_of": said_of, "differ": _differ}
    return environment


def _learning(students: Sequence[Student]) -> str | None:
    curves = {
        student.name: [(row["step"], 1.0 - row["force_accuracy"]) for row in student.get("training", "curve") or []]
        for student in students
    }
    return draw_learning(curves, list(curves))


def _throughput(students: Sequence[Student]) -> str | None:
    curves = {student.name: speed.throughput(student) for student in students}
    timed = ((student, speed.teacher_throughput(student)) for student in students)
    teacher = next(((s.get("benchmark", "teacher", "name"), rate) for s, rate in timed if rate), None)
    return draw_throughput(curves, list(curves), teacher)


def _script_json(content: Any) -> str:
    """Write JSON that cannot close the script element it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
