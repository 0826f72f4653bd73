"""Labelled structures as they are read and checked.

Only formats and checks of labelled files enter here; making such files belongs to sampling.
"""

from assay.data.dataset import Dataset
from assay.data.formats import MANY, read_dataset, read_examples

__all__ = ["MANY", "Dataset", "read_dataset", "read_examples"]
