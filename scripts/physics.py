"""Judge what was measured of a student: physics.json with the verdict, and the figures."""

from assay.physics.figures import FIGURES, draw_all
from assay.physics.verdict import VERDICTS, table, verdict_of
from assay.workflow.errors import exit_on_error
from assay.workflow.files import look_up, read_json, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("physics", variant="tiny")

with exit_on_error(snakemake.log[0]):
    thresholds = snakemake.params.thresholds
    measured = read_json(snakemake.input.probe)
    gaps = measured.pop("gaps")
    scope = look_up(read_json(snakemake.input.card), "scope", "sentence")
    judged = verdict_of(measured.pop("checks"), thresholds, gaps) | {"scope": scope}
    exports = {}
    for path in snakemake.input.exports:
        for name, file in read_json(path)["files"].items():
            own = verdict_of(file.pop("checks"), thresholds, gaps) | {"scope": scope}
            exports[name] = file | own | {"verdict": min(own["verdict"], judged["verdict"], key=VERDICTS.index)}
    draw_all(judged["checks"], {name: snakemake.output[name] for name in FIGURES})
    write_json(snakemake.output.physics, measured | judged | {"exports": exports})
    with open(snakemake.log[0], "a") as log:
        for name, result in {"model.safetensors": judged, **exports}.items():
            print(f"{name}\n{table(result)}\n", file=log)
