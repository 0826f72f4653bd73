"""Labelled structures: reading, checking, making."""

from assay.data.dataset import Dataset
from assay.data.formats import read_dataset

__all__ = ["Dataset", "read_dataset"]
