"""What a user of a student gets: one zip file that runs without this project."""
