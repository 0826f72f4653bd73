"""The names of the smaller forms of a student, from the config. Rules read this, so that it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEARNS = ("labels", "forces", "hessians")


def forms(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The forms that are made as files, by name: ``kind`` and what it needs.

    Args:
        settings: the section `compress` of the config.
    """
    found: dict[str, dict[str, Any]] = {}
    for channels in settings["channels"]:
        found[f"pruned-{channels}"] = {"kind": "pruned", "channels": channels, "tuned": False}
        found[f"pruned-{channels}-tuned"] = {"kind": "pruned", "channels": channels, "tuned": True}
    for share in settings["rank_shares"]:
        found[f"low-rank-{share}"] = {"kind": "low_rank", "share": share}
    if settings["smaller"] is not None:
        found["smaller"] = {"kind": "smaller", "learns": None}
        for learns in LEARNS:
            found[f"smaller-{learns}"] = {"kind": "smaller", "learns": learns}
    return found
