"""metatomic carries a student into ASE, i-PI, eOn, LAMMPS and GROMACS, in one file that each of their builds reads."""
