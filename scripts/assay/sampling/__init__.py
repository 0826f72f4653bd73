"""Making labelled data: molecules, geometries, the teacher and its labels, splits and what is shipped.

For `snakemake dataset`, ``molecules`` are collected and ``splits`` divides them; ``plan`` names the shards, ``recipes``
make their geometries, ``shards`` labels them, and ``shipping`` takes what is committed. For `snakemake distill`,
``own_labels`` has somebody's own structures labelled, or ``supercells`` of crystals, and ``own_data`` makes what is
labelled ready, with ``held_out`` and ``label_gradients``; ``exploration`` looks for more. All ask ``teacher``.

Only what makes or completes labelled data enters here; reading them belongs to data.
"""
