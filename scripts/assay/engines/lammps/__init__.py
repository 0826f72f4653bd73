"""LAMMPS moves atoms by the pair style ``assay``, or without a compiler by ``fix external`` and Python."""
