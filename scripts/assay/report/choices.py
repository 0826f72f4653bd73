"""Recommends a student for each job, and says why: the answer that a reader came for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.physics.verdict import MD_READY, REJECT, SCREENING_ONLY
from assay.report.evidence import Student
from assay.report.forms import Form, compared_atoms, compared_machine, compared_split, plain_form
from assay.report.wording import file_size, percent, quantity, words
from assay.workflow.errors import listing


@dataclass(frozen=True)
class Choice:
    """The student for a job (None if no student will do), and the reason in words."""

    job: str
    variant: str | None
    reason: str


def recommend(students: Sequence[Student], forms: Mapping[str, Sequence[Form]]) -> list[Choice]:
    """Choose a student for each job: dynamics, screening, least error, smallest file."""
    return [_dynamics(students), _screening(students, forms), _accurate(students), _small(students, forms)]


def _dynamics(students: Sequence[Student]) -> Choice:
    job = "Dynamics"
    if refusal := _unjudged(students):
        return Choice(job, None, refusal)
    ready = [s for s in students if s.verdict() == MD_READY]
    best, notes = _most_accurate(ready)
    if best is None and ready:
        names = listing([s.name for s in ready])
        return Choice(job, None, f"no errors against the own teacher are known of what is {MD_READY}: {names}")
    if best is None:
        return Choice(job, None, _not_ready(students))
    accuracy = percent(best.headline("force_accuracy"))
    return Choice(job, best.name, f"most accurate of those that are {MD_READY} ({accuracy}){notes}")


def _not_ready(students: Sequence[Student]) -> str:
    """Say why no student is ready for dynamics."""
    if gaps := [s.name for s in students if s.get("physics", "verdict") == MD_READY]:
        leaves = "passes every check, but leaves" if len(gaps) == 1 else "pass every check, but leave"
        return f"{listing(gaps)} {leaves} structures without a prediction"
    capped = [s.name for s in students if s.get("physics", "capped") and not s.get("physics", "failed")]
    lack = f"; {listing(capped)} would, but for checks that could not be judged" if capped else ""
    return f"no student passes every physics check that dynamics needs{lack}"


def _screening(students: Sequence[Student], forms: Mapping[str, Sequence[Form]]) -> Choice:
    job = "Screening"
    if refusal := _unjudged(students):
        return Choice(job, None, refusal)
    usable = [s for s in students if s.verdict() in (MD_READY, SCREENING_ONLY)]
    if not usable:
        return Choice(job, None, "physics rejects every student")
    timed = {s.name: form for s in usable if (form := plain_form(forms[s.name])) and form.latency_ms is not None}
    machine = compared_machine(form.machine for form in timed.values())
    here = {name: form for name, form in timed.items() if form.machine == machine}
    n_atoms = compared_atoms(form.n_atoms for form in here.values())
    times = {name: form.latency_ms for name, form in here.items() if form.n_atoms == n_atoms}
    best = _best(usable, lambda s: None if (t := times.get(s.name)) is None else -t)
    if best is None:
        return Choice(job, None, "speed was not measured")
    others = {n: f"{form.n_atoms} atoms" if n in here else form.machine for n, form in timed.items() if n not in times}
    notes = "".join(f"; {name} is not compared: it was timed on {other}" for name, other in others.items())
    return Choice(job, best.name, f"fastest that physics does not reject ({quantity(times[best.name], 'ms')}){notes}")


def _accurate(students: Sequence[Student]) -> Choice:
    job = "Least error"
    best, notes = _most_accurate(students)
    if best is None:
        return Choice(job, None, "accuracy was not measured")
    caution = ", but physics rejects it" if best.verdict() == REJECT else ""
    accuracy = percent(best.headline("force_accuracy"))
    return Choice(job, best.name, f"highest force accuracy ({accuracy}){caution}{notes}")


def _small(students: Sequence[Student], forms: Mapping[str, Sequence[Form]]) -> Choice:
    job = "Smallest file"
    usable = [s for s in students if s.verdict() != REJECT]
    sizes = {s.name: _size(forms[s.name]) for s in usable}
    best = _best(usable, lambda s: None if (size := sizes[s.name]) is None else -size)
    if best is None:
        return Choice(job, None, "there is no file to deploy" if usable else "physics rejects every student")
    return Choice(job, best.name, f"{file_size(sizes[best.name])} as ONNX in fp32 ({_accuracy_of(best)})")


def _most_accurate(students: Sequence[Student]) -> tuple[Student | None, str]:
    """Return the student of the highest force accuracy, and in words who is not compared with it, and why.

    Students are compared on one split, and those that leave structures of it without a prediction only if all do. None
    if no student has errors.
    """
    judged = [s for s in students if s.headline("force_accuracy") is not None]
    whole = [s for s in judged if not s.gap(s.headline_split)] or judged
    split = compared_split(s.headline_split for s in whole)
    best = _best([s for s in whole if s.headline_split == split], lambda s: s.headline("force_accuracy"))
    notes = [f"of it {best.gap(split)}"] if best and best.gap(split) else []
    for other in judged:
        if other not in whole:
            notes.append(f"{other.name} is not compared: of it {other.gap(other.headline_split)}")
        elif other.headline_split != split:
            notes.append(f"{other.name} is not compared: it is judged on {words(other.headline_split or '')}")
    return best, "".join(f"; {note}" for note in notes)


def _best(students: Sequence[Student], score: Callable[[Student], float | None]) -> Student | None:
    """Return the student with the highest score; None if none has a score."""
    scored = [(value, student) for student in students if (value := score(student)) is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _unjudged(students: Sequence[Student]) -> str | None:
    """Say why no choice can rest on physics; None if one can."""
    return "physics was not measured" if all(student.verdict() is None for student in students) else None


def _size(forms: Sequence[Form]) -> int | None:
    plain = plain_form(forms)
    return plain.size_bytes if plain else None


def _accuracy_of(student: Student) -> str:
    value = student.headline("force_accuracy")
    return f"force accuracy {percent(value)}" if value is not None else "accuracy not measured"
