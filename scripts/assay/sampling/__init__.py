"""Making labelled data: molecules, geometries, the teacher and its labels, splits and what is shipped.

Only `snakemake dataset`, the teacher and what both need enter here; reading labelled data belongs to data.
"""
