"""Molecular dynamics of many molecules in one batch, short or of 100 ps.

Only integrators and runs that use them enter here; what a run says about a student is judged in physics.
"""
