"""The report: what all results together say, for people (HTML, Markdown) and for machines (JSON, CSV).

Only what reads results enters here: nothing is measured in this room.
"""
