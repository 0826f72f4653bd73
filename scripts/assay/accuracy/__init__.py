"""How far a student is from its teacher, and whether a structure is like the training data.

``evaluation`` predicts a split, and ``metrics`` has its errors; ``label_checks``, and what else begins with ``label_``,
says which of these are the labels' own. ``domain``, which ``fitting`` makes, knows what the training data are like, and
``overlap`` what of a split was among them.

Only comparisons with labels or with training data enter here, and the figures that show them.
"""
