"""Predictions beside their labels, as rules make them in two steps."""

from assay.accuracy.evaluation import predict_all, with_labels


def predict_labelled(predictor, dataset, label=""):
    """Predict a data set, and set apart the structures that have no prediction."""
    return with_labels(predict_all(predictor, dataset, label), dataset, label)
