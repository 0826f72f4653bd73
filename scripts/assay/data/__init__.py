"""Labelled structures as they are read and checked.

Only formats and checks of labelled files enter here; making such files belongs to sampling.
"""

from assay.data.dataset import Dataset
from assay.data.formats import read_dataset

__all__ = ["Dataset", "read_dataset"]
