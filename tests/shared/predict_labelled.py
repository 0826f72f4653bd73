"""Predictions beside their labels, as rules make them in two steps."""

from assay.accuracy.evaluation import predict_all, with_labels
from assay.workflow.config_models.config_yaml import Accuracy

JUDGED = Accuracy(
    max_structures=None, resamples=20, confidence=0.9, size_bins=[10, 20, 30, 40, 60, 100], worst=10, seed=0
)


def predict_labelled(predictor, dataset, label=""):
    """Predict a data set, and set apart the structures that have no prediction."""
    return with_labels(predict_all(predictor, dataset, label), dataset, label)
