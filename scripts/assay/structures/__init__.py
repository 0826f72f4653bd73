"""One structure, many of them as one batch, and the geometry of their atoms.

Only what is true of atoms without a model or labels enters here.
"""
