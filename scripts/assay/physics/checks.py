"""All physical checks of a force field, in order of weight: run one after the other and written down as plain types."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from typing import Any

import numpy as np

from assay.physics import (
    consistency,
    continuity,
    crystals,
    elements,
    landscape,
    lattice,
    lattice_dynamics,
    locality,
    motion,
    precision,
    pressure,
    repulsion,
    smoothness,
    symmetry,
)
from assay.physics.base import Check, Measurement, NoDynamics, NoReference, NotApplicable, OutOfScope, Subject
from assay.workflow.errors import AssayError
from assay.workflow.progress import progress

FAMILIES = (
    symmetry,
    elements,
    precision,
    consistency,
    continuity,
    smoothness,
    locality,
    crystals,
    repulsion,
    motion,
    pressure,
    landscape,
    lattice,
    lattice_dynamics,
)
CHECKS: dict[str, Check] = {check.name: check for family in FAMILIES for check in family.CHECKS}
IN_MOTION = {check.name for family in (motion, pressure) for check in family.CHECKS}

MEASURED, NOT_APPLICABLE, ERROR = "measured", "not applicable", "error"
REFERENCE, DYNAMICS, SCOPE = "reference", "dynamics", "scope"  # what a check lacks that is not applicable
_LACKING = {NoReference: REFERENCE, NoDynamics: DYNAMICS, OutOfScope: SCOPE}


def measure(subject: Subject, names: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Run checks, one after the other; none can stop the next.

    Args:
        subject: the model and the geometries it is judged on.
        names: the names of the checks to run; None for all.

    Returns:
        A row for each check: ``status`` (measured, not applicable, error), ``message`` (why not, or with what it
        crashed), ``lacks`` (a reference of the teacher, dynamics, something in the scope of the structures, or None),
        ``values``, ``raw``, ``wall_s`` and ``cpu_s``. All are plain types, with None for what is not finite.

    Raises:
        AssayError: a name that is no check.
    """
    unknown = set(names or ()) - set(CHECKS)
    if unknown:
        raise AssayError(
            f"there is no physics check {', '.join(sorted(unknown))} in the config: choose from {', '.join(CHECKS)}"
        )
    results = {}
    for name in progress(list(names or CHECKS), unit="checks", desc="checking"):
        started, cpu = time.perf_counter(), time.process_time()
        status, message, lacks, measurement = MEASURED, "", None, Measurement({})
        try:
            if CHECKS[name].against_teacher:
                subject.require_reference()
            measurement = CHECKS[name].measure(subject)
        except NotApplicable as reason:
            status, message, lacks = NOT_APPLICABLE, str(reason), _LACKING.get(type(reason))
        except Exception as error:
            status = ERROR
            message = f"{type(error).__name__}: {error} ({traceback.extract_tb(error.__traceback__)[-1].name})"
        results[name] = {
            "status": status,
            "message": message,
            "lacks": lacks,
            "values": plain(measurement.values),
            "raw": plain(measurement.raw),
            "wall_s": round(time.perf_counter() - started, 3),
            "cpu_s": round(time.process_time() - cpu, 3),
        }
    return results


def plain(value: Any) -> Any:
    """Arrays as lists, numbers of nine digits, and None for what is not finite: what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.9g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
