"""Smaller and faster forms of a trained student: how each is made, what it costs and gains, and which one pays.

Only changes of a network that its training data could mend enter here; numbers of fewer bits belong to quantize.
"""
