"""How fast a student is: timing that survives a noisy machine, memory, points, ratios to a baseline.

Only measurements of time and memory enter here, and what is said of them.
"""
