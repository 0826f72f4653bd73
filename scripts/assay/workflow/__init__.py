"""What every job shares: the checked config, errors written for people, files that are complete or absent, progress,
provenance and the style of figures.

Nothing of chemistry enters here, and no other room is imported.
"""
