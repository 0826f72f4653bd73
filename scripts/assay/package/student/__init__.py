"""Energy and forces of atoms from an exported student: numpy, ONNX Runtime and vesin, nothing else.

``OnnxStudent`` evaluates arrays, ``VerletList`` finds and keeps neighbors; ``student.calculator.StudentCalculator`` is
an ASE calculator that uses both.
"""

from .neighbors import VerletList
from .session import OnnxStudent, Result

__all__ = ["OnnxStudent", "Result", "VerletList"]
