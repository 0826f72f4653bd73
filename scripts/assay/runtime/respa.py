"""Dynamics of the teacher at a fraction of its cost: the student moves the atoms, and the teacher corrects it.

Reversible RESPA (M. Tuckerman, B. J. Berne, G. J. Martyna, J. Chem. Phys. 97, 1990, 1992) with the student's forces as
the fast ones and the difference of both forces as the slow one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.md import MolecularDynamics


class Respa(MolecularDynamics):
    """Multiple time steps: ``n`` short steps by the student's forces between two corrections by the teacher.

    A step of this integrator is ``n`` short steps, and begins and ends with an impulse of the difference of the
    teacher's and the student's forces. It is reversible in time and keeps volumes in phase space, so that the total
    energy with the *teacher's* potential energy does not drift, as long as ``n`` is not too large. With ``n`` of 1 and
    no friction it is velocity Verlet of the teacher.

    With ``temperature_K`` the short steps are those of Langevin dynamics (BAOAB; B. Leimkuhler, C. Matthews, Appl.
    Math. Res. Express 2013, 34), whose distribution is the teacher's.

    Args:
        atoms: what moves; its calculator is the teacher. Its cell stays as it is.
        timestep: the short step, in ASE's units of time (``0.5 * ase.units.fs``).
        student: a calculator of its own for the student.
        n: how many short steps a step has; the teacher is called once a step.
        temperature_K: the temperature of the heat bath; None keeps the energy.
        friction: the coupling to the bath, in inverse units of ASE's time (``0.01 / ase.units.fs``).
        rng: the source of the noise, ``numpy.random.default_rng(seed)`` or the seed alone; None draws anew.
        arguments: those of ASE's ``MolecularDynamics``, such as ``trajectory``; its intervals count steps of ``n``.

    Raises:
        ValueError: ``n`` is not whole, or less than 1; there are constraints, also such as come later; there is no
            teacher; the temperature comes without friction, or friction without a temperature; or one of them is
            negative or not finite.
    """

    def __init__(
        self,
        atoms: Atoms,
        timestep: float,
        student: Calculator,
        n: int,
        temperature_K: float | None = None,
        friction: float = 0.0,
        rng: np.random.Generator | int | None = None,
        **arguments: Any,
    ):
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n is {n}: the teacher corrects the student every so many steps, at least 1 and whole")
        if (temperature_K is None) != (friction == 0.0):
            raise ValueError("a heat bath has a temperature and a friction: give both, or neither")
        if not (0.0 <= (temperature_K or 0.0) < np.inf and 0.0 <= friction < np.inf):
            raise ValueError(
                f"a heat bath of {temperature_K} K and a friction of {friction} is none: give positive ones"
            )
        _refuse_constraints(atoms)
        if atoms.calc is None or atoms.calc is student:
            raise ValueError("the calculator of the atoms is the teacher, and not the student: set atoms.calc")
        super().__init__(atoms, n * timestep, **arguments)
        self.short, self.n = timestep, n
        self.moved = atoms.copy()  # the atoms as the student sees them
        self.moved.calc = student
        self.kept = float(np.exp(-friction * timestep))
        self.noise_eV = (1.0 - self.kept**2) * units.kB * (temperature_K or 0.0)
        self.rng = np.random.default_rng(rng) if rng is None or isinstance(rng, int | np.integer) else rng

    def step(self, forces: np.ndarray | None = None) -> np.ndarray:
        """Move the atoms by ``n`` short steps; return the teacher's forces, eV/angstrom (N, 3).

        Args:
            forces: the teacher's forces now, eV/angstrom (N, 3); None asks for them.

        Raises:
            ValueError: the atoms have got constraints.
        """
        _refuse_constraints(self.atoms)
        inverse_mass = 1.0 / self.atoms.get_masses()[:, None]
        atoms, inner, half = self.atoms, self.moved, 0.5 * self.short * inverse_mass
        noise = np.sqrt(self.noise_eV * inverse_mass)
        teacher = atoms.get_forces(md=True) if forces is None else forces
        inner.positions = atoms.positions
        inner.cell, inner.pbc = atoms.cell, atoms.pbc
        student = inner.get_forces(md=True)
        v = atoms.get_momenta() * inverse_mass + self.n * half * (teacher - student)
        for _ in range(self.n):
            v += half * student
            inner.positions += 0.5 * self.short * v
            if self.kept < 1.0:
                v = self.kept * v + noise * self.rng.standard_normal(v.shape)
            inner.positions += 0.5 * self.short * v
            student = inner.get_forces(md=True)
            v += half * student
        atoms.set_positions(inner.positions)
        teacher = atoms.get_forces(md=True)
        v += self.n * half * (teacher - student)
        atoms.set_momenta(v / inverse_mass)
        return teacher


def _refuse_constraints(atoms: Atoms) -> None:
    if atoms.constraints:
        raise ValueError("Respa moves all atoms freely: remove the constraints of the atoms")
