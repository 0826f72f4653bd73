"""Energy and forces of atoms from an exported student: numpy, ONNX Runtime and vesin, nothing else.

``OnnxStudent`` evaluates arrays, ``VerletList`` finds and keeps neighbors; ``student.calculator.StudentCalculator`` is
an ASE calculator that uses both.

In the project this is the room `runtime`; the package of a student carries it as `student`. Only what a user of the
package runs enters here, and nothing of the project is imported.
"""

from .result import Result
from .session import OnnxStudent
from .verlet import VerletList

__all__ = ["OnnxStudent", "Result", "VerletList"]
