"""The report: what all results together say, for people (HTML, Markdown) and for machines (JSON, CSV)."""
