"""What each choice in a student and its training is worth: a small grid of trainings at one budget, and their table.

Only the plan of such a grid, one training of it, and what all of them say together enter here.
"""
