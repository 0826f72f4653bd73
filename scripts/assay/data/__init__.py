"""Labelled structures as they are read and checked.

``formats`` reads a file with what knows its kind: ``extxyz``, ``ase_files``, ``mol_files``, ``npz``, ``hdf5``,
``hdf5_groups``, ``deepmd_files``, ``mlip_files`` or ``runner_files``, each of which gives ``frames`` under the names
and in the units of the file. ``labels``, with ``label_names`` and ``label_units``, says which names are labels and what
their units are. ``spellings``, ``stated_units``, ``xyz_comments`` and ``of_atoms`` know in which forms files tell such
things; ``passed_over``, ``atom_names`` and the files of PDB, Gaussian and LAMMPS, what ASE's readers pass over or
guess.

``checks`` refuses what nobody can compute with. ``dataset`` holds the rest in memory, ``store`` in a file, and
``scope`` says what a student learns from it.

Only formats and checks of labelled files enter here; making such files belongs to sampling.
"""

from assay.data.dataset import Dataset
from assay.data.formats import MANY, read_dataset, read_examples

__all__ = ["MANY", "Dataset", "read_dataset", "read_examples"]
