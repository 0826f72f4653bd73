"""Programs of molecular dynamics that run a student: what each needs, and whether and how fast it moves atoms.

What a user of a program takes, sources of plugins and drivers, lies in the folder of the program. All else measures.
"""
