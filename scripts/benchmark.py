"""Time a student's runtimes and its teacher on the same structures: benchmark.json and its chart."""

import time
from pathlib import Path

from assay.benchmark.figures import draw_benchmark
from assay.benchmark.run import Benchmark
from assay.benchmark.timing import OtherLoad, limit_threads, threads
from assay.data import read_examples
from assay.sampling.teacher import Teacher
from assay.structures.structure import knows
from assay.workflow.config_models import config_yaml
from assay.workflow.errors import exit_on_error
from assay.workflow.files import read_json, write_json
from assay.workflow.provenance import header

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("benchmark", variant="tiny")


def main() -> None:
    params, started, others = snakemake.params, time.perf_counter(), OtherLoad()
    settings, timed = config_yaml.Benchmark(**params.settings), dict(params.teacher or {"own": False})
    own = timed.pop("own")
    teacher = Teacher(**timed) if timed else None
    if teacher:
        teacher.make()
    n_threads = limit_threads(snakemake.threads)
    files = dict.fromkeys(params.model_runtimes, Path(snakemake.input.model))
    files |= dict(zip(params.file_runtimes, map(Path, snakemake.input.exported), strict=True))
    structures = read_examples(snakemake.params.splits.values())
    card = read_json(snakemake.input.card)
    known = [structure for structure in structures if knows(card["elements"], structure)]
    result = Benchmark(files, known, teacher, settings, params.device, n_threads).run()
    if structures and not known:
        result["not_applicable"] = "every structure of the splits holds elements that it does not know"
    result = header(card["variant"], card["checkpoint_sha256"], params.device) | {
        "threads": threads(),
        "load_of_other_processes": others.fraction(),
        "settings": settings.model_dump(),
        "wall_s": time.perf_counter() - started,
        **result,
    }
    result["teacher"]["own"] = own
    draw_benchmark(snakemake.output.chart, result)
    write_json(snakemake.output.json, result)


with exit_on_error(snakemake.log[0]):
    main()
