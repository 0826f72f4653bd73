"""Records of a GPU as ``scripts/gpu_hour.py`` leaves them, small and made up."""

from assay.workflow.files import write_json

HEAD = {"device_name": "a GPU", "versions": {"torch": "2.11"}, "created_utc": "2026-11-27T00:00", "dry": False}
NO_MACE = {"error": "not available: ModuleNotFoundError: No module named 'mace'"}


def timed(latency_ms, n_atoms):
    return {"latency_ms_median": latency_ms, "us_per_atom": 1e3 * latency_ms / n_atoms}


def speed_pieces():
    """Two students, the smaller one first: one molecule, a batch, and a box that the larger one had no memory for."""
    sizes = {"1 x 20 atoms": 20, "1024 x 20 atoms": 24_910, "1 x 20000 atoms in a box": 20_000}
    pieces = {"matrix peak": {"gflop_per_s": 50_900.0, "matrix_size": 8192, "dtype": "float32"}}
    for k, student in enumerate(("tiny", "original"), start=1):
        for size, n_atoms in sizes.items():
            latency_ms = 0.25 * k * n_atoms**0.5
            runtimes = {"mace": NO_MACE, "triton": timed(latency_ms, n_atoms), "eager": timed(8 * latency_ms, n_atoms)}
            if "box" in size:
                runtimes["triton, pairs kept"] = timed(0.5 * latency_ms, n_atoms)
            pieces[f"{student}, {size}"] = {"n_atoms": n_atoms, "runtimes": runtimes}
    pieces["original, 1 x 20000 atoms in a box"]["runtimes"]["triton"] = {"error": "OutOfMemoryError: too large."}
    return pieces


def write_record(path, pieces, **changes):
    write_json(path, HEAD | {"pieces": pieces} | changes)
    return path
