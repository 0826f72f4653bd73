"""Assay: normalize, judge, export and package machine-learned force fields."""
