"""Training of students on a teacher's energies and forces."""
