"""Networks of other packages, made as large as a student, to be timed beside it."""
