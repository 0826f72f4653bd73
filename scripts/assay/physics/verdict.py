"""Outcomes of the checks, from what was measured and what is allowed, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.physics.checks import CHECKS, DYNAMICS, ERROR, IN_MOTION, NOT_APPLICABLE, REFERENCE, SCOPE
from assay.workflow.errors import AssayError, listed

MD_READY, SCREENING_ONLY, REJECT = "md-ready", "screening-only", "reject"
VERDICTS = (REJECT, SCREENING_ONLY, MD_READY)  # the worst first

PASS, FAIL = "pass", "fail"
SCREENING = "screening"

_UNITS = {
    "_meV_per_atom_per_ps": "meV/atom/ps",
    "_kcal_per_mol": "kcal/mol",
    "_eV_per_A": "eV/Å",
    "_eV_per_A2": "eV/Å²",
    "_eV_per_atom": "eV/atom",
    "_per_cm": "1/cm",
    "_eV": "eV",
    "_A": "Å",
}


def unit_of(key: str) -> str:
    """The unit at the end of a key, in the form that people write; empty for a pure number."""
    return next((unit for suffix, unit in _UNITS.items() if key.endswith(suffix)), "")


def label_of(key: str) -> str:
    """A key as people read it: words, and the unit in parentheses."""
    suffix = next((suffix for suffix in _UNITS if key.endswith(suffix)), "")
    words = key.removesuffix(suffix).replace("_", " ")
    return f"{words} ({_UNITS[suffix]})" if suffix else words


def verdict_of(
    measurements: Mapping[str, Any], thresholds: Mapping[str, Any], gaps: Sequence[str] = ()
) -> dict[str, Any]:
    """Compare what was measured with what is allowed.

    Args:
        measurements: what ``assay.physics.checks.measure`` returned, by check.
        thresholds: the config's ``physics.thresholds``: for each check ``needed_for`` (screening or dynamics) and
            ``limits``, which say ``max`` or ``min`` and ``because`` for each value.
        gaps: what no check saw of the student's elements, of ``assay.physics.coverage.gaps``.

    Returns:
        ``verdict``; ``rests_on``, the numbers of the checks that were ``judged`` and of all; ``failed``,
        ``not_applicable``, ``without_reference`` (those of them that lack one of the student's own teacher) and
        ``left_out``, the names of such checks; ``capped``, why the verdict is at most screening-only for want of a
        reference, of dynamics or of elements, or None; and ``checks``: for each its question, ``outcome`` (pass, fail,
        not applicable, error), ``message``, ``criteria`` and raw numbers.

    Raises:
        AssayError: a check or a value without a threshold, or a threshold of what is no check.
    """
    unknown = [name for name in thresholds if name not in measurements and name not in CHECKS]
    if unknown:
        raise AssayError(
            f"physics.thresholds in the config limits {listed(unknown)}, which is no physics check: choose from "
            f"{', '.join(CHECKS)}"
        )
    checks = {}
    for name, measured in measurements.items():
        if name not in thresholds:
            raise AssayError(f"physics.thresholds in the config has no {name}: add it, with its reason")
        rules = thresholds[name]
        criteria = [_criterion(name, key, measured, limit) for key, limit in rules["limits"].items()]
        checks[name] = {
            "question": CHECKS[name].question if name in CHECKS else rules.get("question", name),
            "needed_for": rules["needed_for"],
            "outcome": _outcome(measured["status"], criteria),
            "message": measured["message"] or "; ".join(_sentence(c) for c in criteria if not c["passed"]),
            "lacks": measured.get("lacks"),
            "criteria": criteria,
            "raw": measured["raw"],
            "wall_s": measured["wall_s"],
            "cpu_s": measured["cpu_s"],
        }
    not_applicable = [name for name, check in checks.items() if check["outcome"] == NOT_APPLICABLE]
    without_reference = [name for name in not_applicable if checks[name]["lacks"] == REFERENCE]
    return {
        "verdict": verdict(checks, gaps),
        "rests_on": {"judged": len(checks) - len(not_applicable), "of": len(checks)},
        "capped": _cap(checks, gaps),
        "failed": [name for name, check in checks.items() if check["outcome"] in (FAIL, ERROR)],
        "not_applicable": not_applicable,
        "without_reference": without_reference,
        "left_out": [name for name in thresholds if name not in measurements],
        "checks": checks,
    }


def verdict(checks: Mapping[str, Mapping[str, Any]], gaps: Sequence[str] = ()) -> str:
    """``reject`` if a check that screening needs did not pass, ``screening-only`` if one that dynamics needs failed or
    one lacks a reference of the student's teacher, or dynamics, if none was judged, or if there are ``gaps``.

    What the structures do not have, such as torsions in a crystal, speaks neither for nor against a student. A check
    that needs no teacher must have been seen where screening needs it.
    """
    for check in checks.values():
        excused = check["outcome"] == NOT_APPLICABLE and check["lacks"] in (REFERENCE, SCOPE)
        if check["needed_for"] == SCREENING and check["outcome"] != PASS and not excused:
            return REJECT
    if _cap(checks, gaps) or any(check["outcome"] in (FAIL, ERROR) for check in checks.values()):
        return SCREENING_ONLY
    return MD_READY


def _is_bare(checks: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether no check was judged, so that nothing speaks for a student."""
    return all(check["outcome"] == NOT_APPLICABLE for check in checks.values())


def _unjudged(checks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Why checks were not judged that dynamics cannot do without.

    They lack a reference or time; or they move atoms, and no check did so, though the structures allow it.
    """
    moving = {name for name in IN_MOTION if name in checks and checks[name]["outcome"] == NOT_APPLICABLE}
    nothing_moved = moving == IN_MOTION & checks.keys()
    return [
        check["message"]
        for name, check in checks.items()
        if check["lacks"] in (REFERENCE, DYNAMICS) or (nothing_moved and name in moving and check["lacks"] is None)
    ]


def _cap(checks: Mapping[str, Mapping[str, Any]], gaps: Sequence[str]) -> str | None:
    """Why the verdict is at most screening-only for want of a reference, of dynamics, of elements or of any check; None
    if nothing is wanting.
    """
    reasons, unjudged = list(gaps), _unjudged(checks)
    if unjudged:
        checks_in_words = "1 check" if len(unjudged) == 1 else f"{len(unjudged)} checks"
        reasons.append(f"{checks_in_words} could not be judged: {'; '.join(dict.fromkeys(unjudged))}")
    elif _is_bare(checks):
        reasons.append("no check could be judged")
    return f"{SCREENING_ONLY} at most, because {'; '.join(reasons)}" if reasons else None


def _criterion(name: str, key: str, measured: Mapping[str, Any], limit: Mapping[str, Any]) -> dict[str, Any]:
    values = measured["values"]
    if values and key not in values:
        raise AssayError(f"physics.thresholds.{name} in the config limits {key}, which is not measured: {list(values)}")
    value, bound = values.get(key), limit.get("max", limit.get("min"))
    kind = "max" if "max" in limit else "min"
    passed = value is not None and (value <= bound if kind == "max" else value >= bound)
    return {
        "value_name": key,
        "value": value,
        "unit": unit_of(key),
        kind: bound,
        "passed": passed,
        "because": limit["because"],
    }


def _outcome(status: str, criteria: list[dict[str, Any]]) -> str:
    if status in (ERROR, NOT_APPLICABLE):
        return status
    return PASS if all(criterion["passed"] for criterion in criteria) else FAIL


def _sentence(criterion: Mapping[str, Any]) -> str:
    name = label_of(criterion["value_name"])
    if criterion["value"] is None:
        return f"{name} is not finite"
    kind = "max" if "max" in criterion else "min"
    relation = "above" if kind == "max" else "below"
    return f"{name} is {criterion['value']:.3g}, {relation} {criterion[kind]:g}"


def table(judged: Mapping[str, Any]) -> str:
    """Checks, values, thresholds and outcomes as lines of text, and the verdict with its ``scope``, if one is given."""
    rows = [("check", "value", "", "unit", "threshold", "outcome")]
    for name, check in judged["checks"].items():
        for criterion in check["criteria"] or [{"value_name": "", "value": None, "unit": ""}]:
            value = "-" if criterion["value"] is None else f"{criterion['value']:.3g}"
            bound = f"≤ {criterion['max']:g}" if "max" in criterion else f"≥ {criterion.get('min', 0):g}"
            passed = {True: PASS, False: FAIL}[bool(criterion.get("passed"))]
            outcome = check["outcome"] if check["outcome"] in (ERROR, NOT_APPLICABLE) else passed
            rows.append((name, criterion["value_name"], value, criterion["unit"], bound, outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    failed = f": {', '.join(judged['failed'])} did not pass" if judged["failed"] else ""
    messages: dict[str, list[str]] = {}
    for name, c in judged["checks"].items():
        if c["outcome"] in (ERROR, NOT_APPLICABLE):
            messages.setdefault(c["message"], []).append(name)
    notes = [f"{', '.join(names)}: {message}" for message, names in messages.items()]
    part = (
        f", by {len(judged['checks'])} checks and without {', '.join(judged['left_out'])}" if judged["left_out"] else ""
    )
    rests = f"rests on {judged['rests_on']['judged']} of {judged['rests_on']['of']} checks"
    capped = [f"{judged['capped']}"] if judged["capped"] else []
    scope = f"; it is for {judged['scope']}" if judged.get("scope") else ""
    return "\n".join([*lines, *notes, "", rests, *capped, f"{judged['verdict']}{failed}{part}{scope}"])
