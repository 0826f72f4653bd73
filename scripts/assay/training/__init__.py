"""Training of students on the energies and forces of a teacher.

Only what training needs enters here: batches, steps, optimizers, the loop and its record.
"""
