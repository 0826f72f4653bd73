"""Finds how long each rule took, and what running jobs side by side saved.

Snakemake writes one table per job, at the moment the job ends. Its column ``s`` is the job's duration, so that a job
ran from (date of the table - s) to (date of the table). Copied tables have other dates, by which a model was examined
while it was made: then there is no wall time.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

IDLE_s = 60.0  # a longer pause between jobs separates two runs
FIRST = "normalize"  # the rule that makes what all others of a variant examine
LATE_s = 2.0  # by how much a date may be late: that of a table is rounded on some disks

SECRET = {"auth", "credential", "credentials", "key", "keys", "password", "secret", "token"}
LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
HIDDEN = "hidden"


@dataclass(frozen=True)
class JobTime:
    """One job: its rule, the variant (or what stands for several, such as ``all``), its start and duration in seconds,
    processor time in seconds, and memory.
    """

    rule: str
    variant: str
    started: float
    duration_s: float
    cpu_s: float | None
    memory_MB: float | None

    @property
    def ended(self) -> float:
        return self.started + self.duration_s


def read_jobs(folder: str | Path, tables: Iterable[str], timed: Iterable[str]) -> list[JobTime]:
    """Read the jobs from ``folder/<rule>/<table>.tsv``, and those of all variants at once from ``<rule>/all.tsv``.

    Args:
        folder: the folder of Snakemake's benchmark tables.
        tables: the names of the tables: those of the variants, also with the part of a scattered job behind a dot, such
            as tiny.1-of-2, and of what several variants share.
        timed: the rules that count: those that `all` runs before the report.

    Returns:
        the jobs, ordered by their start.
    """
    names, counted = {*tables, "all"}, set(timed)
    paths = [path for path in Path(folder).glob("*/*.tsv") if path.stem in names and path.parent.name in counted]
    jobs = [job for path in paths if (job := _read_job(path)) is not None]
    return sorted(jobs, key=lambda job: job.started)


def _read_job(path: Path) -> JobTime | None:
    with path.open(newline="") as handle:
        row = next(csv.DictReader(handle, delimiter="\t"), None)
    duration = _number(row, "s")
    if duration is None:
        return None
    started = path.stat().st_mtime - duration
    variant = path.stem.split(".")[0]
    return JobTime(path.parent.name, variant, started, duration, _number(row, "cpu_time"), _number(row, "max_rss"))


def _number(row: dict[str, str] | None, key: str) -> float | None:
    """Read the number in a column; None for the NA or - that Snakemake writes where it could not sample."""
    try:
        return float((row or {})[key])
    except (KeyError, ValueError):
        return None


def runs(jobs: Sequence[JobTime]) -> list[list[JobTime]]:
    """Group jobs, ordered by start, into runs of Snakemake: no idle time above ``IDLE_s`` lies inside a group."""
    groups: list[list[JobTime]] = []
    for job in jobs:
        if groups and job.started - max(other.ended for other in groups[-1]) <= IDLE_s:
            groups[-1].append(job)
        else:
            groups.append([job])
    return groups


def summarize(jobs: Sequence[JobTime]) -> dict[str, Any] | None:
    """Sum up the time of each rule and of all jobs, and the wall time in which they ran; None without jobs.

    Jobs that share processor cores slow each other, so that one job after another would take less than the sum. Where
    the tables were copied (see the module), what rests on their dates is None.
    """
    if not jobs:
        return None
    groups = runs(jobs)
    dated = all(_can_be(group) for group in groups)
    total = sum(job.duration_s for job in jobs)
    wall = sum(max(job.ended for job in group) - group[0].started for group in groups) if dated else None
    return {
        "n_jobs": len(jobs),
        "n_runs": len(groups),
        "sequential_sum_s": total,
        "wall_s": wall,
        "parallel_speedup": total / wall if wall else None,
        "cpu_s": sum(job.cpu_s or 0.0 for job in jobs),
        "rules": {
            rule: _of_rule([job for job in jobs if job.rule == rule]) for rule in dict.fromkeys(j.rule for j in jobs)
        },
        "jobs": None
        if not dated
        else [
            {
                "rule": job.rule,
                "variant": job.variant,
                "run": index,
                "started_s": job.started - group[0].started,
                "duration_s": job.duration_s,
            }
            for index, group in enumerate(groups)
            for job in group
        ],
    }


def _can_be(group: Sequence[JobTime]) -> bool:
    """Whether no job of a run examined a model while it was made."""
    makers = {job.variant: job for job in group if job.rule == FIRST}
    return not any(
        job.started < maker.ended - LATE_s and job.ended > maker.started
        for job in group
        if job.rule != FIRST and (maker := makers.get(job.variant))
    )


def _of_rule(jobs: Sequence[JobTime]) -> dict[str, Any]:
    memory = [job.memory_MB for job in jobs if job.memory_MB is not None]
    return {
        "n_jobs": len(jobs),
        "duration_s": sum(job.duration_s for job in jobs),
        "memory_MB_max": max(memory, default=None),
    }


def workflow_command() -> str | None:
    """Find the command that started the workflow of this process, without its secrets; None outside of one."""
    calls = [process.cmdline() for process in psutil.Process().parents()]
    called = [call for call in calls if any(Path(word).name == "snakemake" for word in call[:3])]
    if not called:
        return None
    return shlex.join(_without_secrets(Path(word).name if k < 2 else word for k, word in enumerate(called[-1])))


def _without_secrets(words: Iterable[str]) -> Iterator[str]:
    """The words of a command, without the values of options that are called after a secret, and logins in addresses.

    Of such an option all words up to the next one are values.
    """
    is_secret = False
    for word in words:
        name, given, _ = word.partition("=")
        if word.startswith("-"):
            is_secret = not SECRET.isdisjoint(name.split("-"))
            yield f"{name}={HIDDEN}" if is_secret and given else LOGIN.sub(HIDDEN, word)
        else:
            yield HIDDEN if is_secret else LOGIN.sub(HIDDEN, word)
