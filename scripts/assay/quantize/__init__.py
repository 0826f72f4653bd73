"""Smaller numbers for a student: schemes, what each costs and gains, and which one is worth shipping.

Only what changes the precision of an exported file, or measures that, enters here.
"""
