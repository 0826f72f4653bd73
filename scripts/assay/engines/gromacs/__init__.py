"""GROMACS takes a student as the neural network potential of NNPot; GROMACS itself has run none of these files."""
