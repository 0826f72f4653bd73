"""How far a student is from its teacher, and whether a structure is like the training data.

Only comparisons with labels enter here, and the figures that show them.
"""
