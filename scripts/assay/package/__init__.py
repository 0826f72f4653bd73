"""What a user of a student gets: one zip file that runs without this project.

Only the contents of that file enter here; the code that it runs is the room runtime, copied as it is.
"""
