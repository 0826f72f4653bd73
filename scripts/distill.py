"""Put the trained students, with the records and the descriptions of their training, where they are shipped from."""

import shutil
from pathlib import Path

from assay.workflow.errors import exit_on_error
from assay.workflow.files import atomic_path, sha256_file, write_json

if "snakemake" not in globals():
    from assay.workflow.standalone import mock_snakemake

    snakemake = mock_snakemake("distill")

with exit_on_error(log=snakemake.log[0]):
    shipped = {}
    for source in map(Path, snakemake.input):
        with atomic_path(Path(snakemake.params.folder, source.name)) as path:
            shutil.copyfile(source, path)
        shipped[source.name] = sha256_file(source)
    write_json(snakemake.output[0], shipped)
