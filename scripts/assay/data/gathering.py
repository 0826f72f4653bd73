"""Labelled structures of many files in one, as of calculations that have a folder each."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.data.formats import read_dataset
from assay.data.store import StoreWriter
from assay.workflow.errors import AssayError

_UNNAMED = re.compile(r"structure-(\d+)")


def matching(patterns: Sequence[str]) -> list[Path]:
    """The files that paths and patterns name, such as ``runs/*/OUTCAR`` or ``runs/**/*.log``, each once and in order.

    Raises:
        AssayError: one of them names none.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        paths = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise AssayError(f"there is no file {pattern}: check the path")
        found.update(dict.fromkeys(map(Path, paths)))
    return list(found)


def gather(
    paths: Sequence[Path], keys: Mapping[str, Any], output: Path, leaves_out: bool
) -> Iterator[tuple[Path, int, str]]:
    """Write the structures of all files to one, in eV and angstrom, which is complete or absent.

    A structure without a name of its own is named by its file.

    Args:
        paths: the files, in any format of ``read_dataset``.
        keys: the fields of ``LabelKeys``, where the files do not tell their labels and units by themselves.
        output: a file with the layout of ``store``.
        leaves_out: whether a file that cannot be read costs no other.

    Yields:
        each file, the number of its structures, and why it was left out, or "".

    Raises:
        AssayError: a file cannot be read, or all are left out.
    """
    n_structures = 0
    with StoreWriter(output) as store:
        for path in paths:
            try:
                part = read_dataset({**keys, "path": path})
            except AssayError as error:
                if not leaves_out:
                    raise
                yield path, 0, str(error)
                continue
            names = [_UNNAMED.sub(rf"{path}, structure \1", name) for name in part.names]
            store.add(replace(part, names=np.array(names, dtype=object)))
            n_structures += len(part)
            yield path, len(part), ""
        if not n_structures:
            raise AssayError(f"none of the {len(paths)} files has structures that can be read: {output} is not written")
