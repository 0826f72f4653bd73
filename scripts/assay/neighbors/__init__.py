"""Neighbor lists by every backend, each giving the same pairs.

Only the search for pairs within a cutoff, and inputs with what it finds, enter here; what is computed with them belongs
to models and engine.
"""
