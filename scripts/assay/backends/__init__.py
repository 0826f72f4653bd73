"""Predictors of exported models, one module for each kind of file."""
