"""Time the students beside networks of other packages: peers.json and its tables."""

from pathlib import Path

from assay.benchmark.memory import share_session_memory
from assay.benchmark.points import choose_points
from assay.benchmark.timing import OtherLoad, clock, limit_threads, threads
from assay.data import read_examples
from assay.peers.compare import beside_themselves, fastest, time_beside_peers
from assay.peers.network import Size, in_engine, load_peers
from assay.peers.table import write_csv, write_markdown
from assay.predictors.interface import load_runtime
from assay.sampling.elements import ELEMENTS
from assay.workflow.config_models.config_yaml import Benchmark
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("peers")


def student(variant: str, points, settings: dict) -> dict:
    """Everything about one student and its peers."""
    folder, params = Path("results", variant), snakemake.params
    card = read_json(folder / "model.json")
    own = {}
    for runtime, file in params.runtimes.items():
        try:
            own[runtime] = load_runtime(runtime, folder / file, device=params.device, threads=settings["threads"])
        except AssayError as error:
            print(f"{variant} is timed without {runtime}: {error}")
    shape = card["hyperparameters"]
    size = Size(card["n_parameters"], shape["n_blocks"], shape["n_rbf"], shape["cutoff_A"], tuple(ELEMENTS))
    folders = dict(zip(params.packages, map(Path, snakemake.input.packages), strict=True))
    peers, about = load_peers(folders, size, params.device)
    same, reasons = in_engine(peers) if params.device == "cpu" else ({}, {})
    for package, reason in reasons.items():
        about[package]["not_in_engine"] = reason
    rows = time_beside_peers(
        own, peers, points, settings["seconds"], settings["min_rounds"], clock(params.device), same
    )
    return {
        "checkpoint_sha256": card["checkpoint_sha256"],
        "n_parameters": card["n_parameters"],
        "peers": about,
        "fastest": fastest(rows),
        "in_engine": beside_themselves(rows),
        "rows": rows,
    }


def main() -> None:
    params, others = snakemake.params, OtherLoad()
    share_session_memory()
    n_threads = limit_threads(snakemake.threads)
    structures = read_examples(snakemake.params.splits.values())
    points = choose_points(structures, Benchmark(**params.settings))
    settings = {**params.settings, "threads": n_threads}
    students = {variant: student(variant, points, settings) for variant in params.variants}
    result = header(None, device=params.device) | {
        "threads": threads(),
        "load_of_other_processes": others.fraction(),
        "settings": params.settings,
        "targets": params.targets,
        "students": students,
    }
    write_json(snakemake.output.json, result)
    write_csv(snakemake.output.table, result)
    write_markdown(snakemake.output.page, result)


with exit_on_error(snakemake.log[0]):
    main()
