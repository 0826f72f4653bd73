"""What is committed: every test split, and as much training data as fits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from assay.data.checks import check, lacks_hydrogens
from assay.data.dataset import Dataset
from assay.data.hdf5 import read_hdf5, write_hdf5
from assay.data.kinds import kind_of, on_disk
from assay.workflow.files import sha256_file, write_json
from assay.workflow.provenance import header


def ship(
    parts: Mapping[str, str | Path], folder: Path, max_bytes: int, teacher: dict[str, Any], record: str | Path
) -> None:
    """Check all parts, write them to ``folder``, and say in the JSON ``record`` what they hold and which build of the
    training structures the shipped ones are a part of.

    Training structures are left out at random, evenly, where all of them would take ``folder`` beyond ``max_bytes``,
    but one of each molecule of ``seen_molecules`` stays. Those stretched so far that they look like structures without
    hydrogens are left out too.

    Raises:
        AssayError: if a part is not sound.
    """
    datasets = {part: read_hdf5(path) for part, path in parts.items()}
    for part, dataset in datasets.items():
        check(dataset, parts[part])
    others = sum(Path(path).stat().st_size for part, path in parts.items() if part != "train")
    share = min(1.0, 0.98 * (max_bytes - others) / Path(parts["train"]).stat().st_size)
    train = datasets["train"]
    whole = [index for index in range(len(train)) if not lacks_hydrogens(train[index])]
    kept = set(random.Random(0).sample(whole, int(share * len(whole))))
    first = {train.molecules[index]: index for index in reversed(whole)}
    kept |= {first[molecule] for molecule in set(datasets["seen_molecules"].molecules)}
    datasets["train"] = train.subset(np.array(sorted(kept)))
    for part, dataset in datasets.items():
        write_hdf5(folder / f"{part}.h5", dataset)
    entries = {
        part: describe(dataset) | {"file_sha256": sha256_file(folder / f"{part}.h5")}
        for part, dataset in datasets.items()
    }
    part_of = [{"n_structures": len(train), "sha256": train.content_sha256()}]
    write_json(record, header(None) | {"teacher": teacher, "part_of": part_of, "parts": entries})


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts and sizes of a dataset, for people."""
    elements = Counter(dataset.atomic_numbers.tolist())
    kinds = Counter(on_disk(kind) for kind in map(kind_of, dataset.names) if kind)
    return {
        "n_structures": len(dataset),
        "n_molecules": len(set(dataset.molecules)),
        "n_atoms": len(dataset.atomic_numbers),
        "atoms_per_structure_mean": float(dataset.sizes.mean()),
        "atoms_per_structure_max": int(dataset.sizes.max()),
        "force_rms_eV_per_A": float(np.sqrt((dataset.forces**2).mean())),
        "elements": {chemical_symbols[number]: count for number, count in sorted(elements.items())},
        "kinds": dict(sorted(kinds.items())),
        "content_sha256": dataset.content_sha256(),
    }
