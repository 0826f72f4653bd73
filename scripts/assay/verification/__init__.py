"""Proof that an exported file computes the network: parity, determinism, a standard graph, and dynamics.

Only comparisons of a file with the network it came from enter here, never with the teacher.
"""
