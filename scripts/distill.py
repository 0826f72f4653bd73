"""Put the trained students, with what tells of their training, where they are judged or shipped from."""

import os
import shutil
from pathlib import Path

from assay.workflow.errors import exit_on_error, terminal
from assay.workflow.files import atomic_path, read_json, sha256_file, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("distill")


def place(source, target):
    """Put a file into place: by another name for it on the same disk, or else as a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def keep(student, earlier):
    """Keep a student with the files that its training left beside it, before another one of its name replaces it."""
    folder = Path(earlier, sha256_file(student)[:8])
    for kind in (".pt", ".training.json", ".domain.npz", ".curve.svg"):
        if (file := student.with_suffix(kind)).is_file():
            with atomic_path(folder / file.name) as path:
                place(file, path)
    print(f"{student} is replaced by another one: the earlier student lies in {folder}", file=terminal())


with exit_on_error(log=snakemake.log[0]):
    placed = {}
    folder, earlier = Path(snakemake.params.folder), snakemake.params.earlier
    sources = [Path(path) for path in snakemake.input]
    for source in sources:
        there = folder / source.name
        if earlier and source.suffix == ".pt" and there.is_file() and sha256_file(there) != sha256_file(source):
            keep(there, earlier)
    for source in sources:
        with atomic_path(folder / source.name) as path:
            place(source, path)
        placed[source.name] = sha256_file(source)
        if source.name.endswith(".training.json"):
            record = read_json(source)
            force_mae = record["curve"][-1]["force_mae_eV_per_A"]
            told = f"{record['student']}: {1e3 * force_mae:.3g} meV/angstrom force MAE on held-out structures"
            print(f"{told}; {record['split']}" if "split" in record else told, file=terminal())
    write_json(snakemake.output[0], placed)
