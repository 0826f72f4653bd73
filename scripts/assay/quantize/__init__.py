"""Smaller numbers for a student: schemes, what each costs and gains, and which one is worth shipping."""
