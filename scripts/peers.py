"""Time the students beside networks of other packages: peers.json and its tables."""

from pathlib import Path

from assay.benchmark.memory import share_session_memory
from assay.benchmark.timing import OtherLoad, limit_threads, threads
from assay.data import read_examples
from assay.peers.student import beside_peers
from assay.peers.table import write_csv, write_markdown
from assay.predictors.interface import load_runtime
from assay.workflow.config_models.config_yaml import Benchmark
from assay.workflow.errors import AssayError, exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("peers")


def runtimes_of(variant: str, n_threads: int) -> dict:
    """The runtimes of a student that load, by name."""
    found = {}
    for runtime, file in snakemake.params.runtimes.items():
        path, device = Path("results", variant, file), snakemake.params.device
        try:
            found[runtime] = load_runtime(runtime, path, device=device, threads=n_threads)
        except AssayError as error:
            print(f"{variant} is timed without {runtime}: {error}")
    return found


def main() -> None:
    params, others = snakemake.params, OtherLoad()
    share_session_memory()
    n_threads = limit_threads(snakemake.threads)
    structures = read_examples(snakemake.params.splits.values())
    settings = Benchmark(**params.settings)
    folders = dict(zip(params.packages, map(Path, snakemake.input.packages), strict=True))
    students = {}
    for variant in params.variants:
        card, own = read_json(Path("results", variant, "model.json")), runtimes_of(variant, n_threads)
        students[variant] = beside_peers(card, own, folders, structures, settings, params.device)
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
