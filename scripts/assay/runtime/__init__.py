"""Energy and forces of atoms from an exported student: numpy, ASE, vesin and the compiled engine, nothing else.

``open_student`` evaluates arrays, ``VerletList`` finds and keeps neighbors, and ``StudentCalculator`` is an ASE
calculator that uses both. ``OnnxStudent`` does without the engine, and needs ONNX Runtime. Each is imported when it is
asked for, so that a module of this room costs what it imports itself.

In the project this is the room `runtime`; the wheel of a student carries it as `assay_<variant>` with the model inside.
Only what a user of the package runs enters here, and nothing of the project is imported: what other rooms share with
it, they take from here.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from .calculator import StudentCalculator as StudentCalculator
    from .result import Result as Result
    from .session import OnnxStudent as OnnxStudent
    from .student import EngineStudent as EngineStudent
    from .student import open_student as open_student
    from .verlet import VerletList as VerletList

    LIBRARY: Path
    MODEL: Path

# The module and the name in it of what the room offers.
_HOMES = {
    "LIBRARY": ("engine", "LIBRARY_PATH"),
    "MODEL": ("engine", "MODEL_PATH"),
    "EngineStudent": ("student", "EngineStudent"),
    "Result": ("result", "Result"),
    "StudentCalculator": ("calculator", "StudentCalculator"),
    "VerletList": ("verlet", "VerletList"),
    "open_student": ("student", "open_student"),
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import what the room offers from the module that it lives in, and ``OnnxStudent``, which needs ONNX Runtime."""
    if name == "OnnxStudent":
        return import_module(".student", __name__).onnx_student()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _HOMES[name]
    return getattr(import_module(f".{module}", __name__), own)


def __dir__() -> list[str]:
    """What the room offers, for whoever looks before it is imported."""
    return sorted({*globals(), *_HOMES, "OnnxStudent"})
