"""Energy and forces of atoms from an exported student: numpy and ONNX Runtime, nothing else.

``OnnxStudent`` evaluates arrays; ``StudentCalculator`` is an ASE calculator with a neighbor list that it reuses.
"""

from .session import OnnxStudent, Result

__all__ = ["OnnxStudent", "Result"]
