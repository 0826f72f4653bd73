"""Programs of molecular dynamics that run a student: what each needs, and whether and how fast it moves atoms.

Sources of plugins and drivers enter the folder of their program; what asks all programs the same, and judges what they
answer, lies beside these folders.
"""
