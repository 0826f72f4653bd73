"""What the trainings of an ablation say together: errors relative to the base, with intervals from the seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student_t

from assay.ablation.plan import BASE, ERRORS
from assay.workflow.errors import AssayError

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference seen"


def relative_to_base(values: Mapping[str, Sequence[float]], confidence: float) -> dict[str, dict[str, Any]]:
    """Compare a positive quantity of each setting with that of the base.

    Seeds are taken to scatter the logarithm of the quantity alike in all settings. So its variance is pooled,
    s^2 = sum_k sum_i (y_ki - mean_k)^2 / sum_k (n_k - 1), and the interval of a ratio is
    exp(mean_k - mean_0 +- t s sqrt(1 / n_k + 1 / n_0)), with Student's t for that many degrees of freedom.

    Args:
        values: one value for each seed, by setting, "base" among them.
        confidence: the mass of the intervals.

    Returns:
        For each setting ``mean``, ``ratio`` of the geometric means, and the ends ``low`` and ``high`` of its interval;
        and ``says``, "better" or "worse" where less is better and 1 lies outside the interval. The base has the ratio 1
        and no interval.

    Raises:
        AssayError: no setting has two seeds, so that nothing says how far they scatter.
    """
    logs = {name: np.log(np.asarray(of_seeds, dtype=np.float64)) for name, of_seeds in values.items()}
    freedom = sum(len(y) - 1 for y in logs.values())
    if not freedom:
        raise AssayError("one seed tells nothing of the scatter between seeds: give two or more as `ablate.seeds`")
    scatter = np.sqrt(sum(((y - y.mean()) ** 2).sum() for y in logs.values()) / freedom)
    base, quantile = logs[BASE], student_t.ppf(0.5 + confidence / 2, freedom)
    rows: dict[str, dict[str, Any]] = {}
    for name, y in logs.items():
        rows[name] = {"mean": float(np.exp(y).mean()), "ratio": 1.0, "low": None, "high": None, "says": None}
        if name == BASE:
            continue
        difference, half = y.mean() - base.mean(), quantile * scatter * np.sqrt(1 / len(y) + 1 / len(base))
        low, middle, high = (float(np.exp(difference + side * half)) for side in (-1, 0, 1))
        says = BETTER if high < 1 else WORSE if low > 1 else NO_DIFFERENCE
        rows[name] |= {"ratio": middle, "low": low, "high": high, "says": says}
    return rows


def summarize(trials: Sequence[Mapping[str, Any]], confidence: float) -> list[dict[str, Any]]:
    """One row for each setting, in the order of the trials: size, and errors beside the base, of stresses where they
    are labelled.

    Args:
        trials: results of ``run_trial``, each with the name of its ``setting``.
        confidence: the mass of the intervals.
    """
    by_setting: dict[str, list[Mapping[str, Any]]] = {}
    for trial in trials:
        by_setting.setdefault(trial["setting"], []).append(trial)
    compared = {
        key: relative_to_base({name: [t[key] for t in of] for name, of in by_setting.items()}, confidence)
        for key in ERRORS
        if all(key in trial for trial in trials)
    }
    return [
        {
            "setting": name,
            "seeds": [trial["seed"] for trial in of],
            "n_parameters": of[0]["n_parameters"],
            "n_structures": of[0]["n_structures"],
            "steps": of[0]["steps"],
            "hyperparameters": of[0]["hyperparameters"],
        }
        | {key: rows[name] for key, rows in compared.items()}
        for name, of in by_setting.items()
    ]
