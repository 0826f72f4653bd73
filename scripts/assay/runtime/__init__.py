"""Energy and forces of atoms from an exported student: numpy, ASE, vesin and the compiled engine, nothing else.

``open_student`` evaluates arrays, ``VerletList`` finds and keeps neighbors, and ``StudentCalculator`` is an ASE
calculator that uses both. ``OnnxStudent`` does without the engine, and needs ONNX Runtime.

In the project this is the room `runtime`; the wheel of a student carries it as `assay_<variant>` with the model inside.
Only what a user of the package runs enters here, and nothing of the project is imported.
"""

from typing import Any

from .calculator import StudentCalculator
from .engine import HERE
from .engine import LIBRARY as LIBRARY_NAME
from .engine import MODEL as MODEL_NAME
from .result import Result
from .student import EngineStudent, onnx_student, open_student
from .verlet import VerletList

# Where a wheel has the model file and the library, for programs in other languages.
MODEL, LIBRARY = HERE / MODEL_NAME, HERE / LIBRARY_NAME

__all__ = ["LIBRARY", "MODEL", "EngineStudent", "Result", "StudentCalculator", "VerletList", "open_student"]


def __getattr__(name: str) -> Any:
    """Import what needs ONNX Runtime only when it is asked for."""
    if name == "OnnxStudent":
        return onnx_student()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
