"""Physical checks of a force field: what is measured, and what it says about the use of a student.

Only checks that any model must pass enter here, each with a number, and the teacher's reference that they need.
"""
