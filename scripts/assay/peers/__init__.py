"""Networks of other packages, made as large as a student, to be timed beside it.

Only adapters to other packages and the table of their times enter here.
"""
