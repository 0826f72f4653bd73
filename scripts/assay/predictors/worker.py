"""The process in which an ASE calculator runs, started by file name in an environment that need not have this project.

It imports the standard library, numpy and ASE. Messages go over two pipes that are neither stdin nor stdout, so that
whatever a calculator prints disturbs nobody. A message is a JSON header and arrays as raw bytes, and nothing in it is a
pickle: the eight bytes of ``MAGIC``, the lengths of both parts as unsigned 64-bit integers, the header, and the arrays
one after the other. The header's ``arrays`` has name, dtype and shape of each.

The first request makes the calculator and is answered by what is known of it. Each further one holds structures, which
are answered one by one, so that the other side knows which of them a dead or hanging process was at.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import json
import os
import platform
import signal
import struct
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"assaycal"
LENGTHS = struct.Struct("<8sQQ")
DTYPES = ("<f8", "<i8", "|b1")
MAX_HEADER_bytes, MAX_ARRAYS_bytes = 2**26, 2**33
_INSTALLED = ("stdlib", "purelib", "platlib")  # where packages lie
PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when its parent dies

Arrays = Mapping[str, np.ndarray]


def encode(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """One message. Arrays are float64, int64 or bool."""
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    about = [[name, array.dtype.newbyteorder("<").str, list(array.shape)] for name, array in kept.items()]
    text = json.dumps({**header, "arrays": about}).encode()
    data = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in kept.values()]
    return b"".join([LENGTHS.pack(MAGIC, len(text), sum(map(len, data))), text, *data])


def decode(read: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read one message; nothing in it is trusted.

    Args:
        read: returns exactly so many bytes.

    Raises:
        ValueError: the bytes are no message.
    """
    magic, n_header, n_arrays = LENGTHS.unpack(read(LENGTHS.size))
    if magic != MAGIC or n_header > MAX_HEADER_bytes or n_arrays > MAX_ARRAYS_bytes:
        raise ValueError("no message begins like this")
    try:
        header = json.loads(read(n_header))
        about = [(str(name), str(dtype), [int(n) for n in shape]) for name, dtype, shape in header.pop("arrays")]
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no header of a message ({type(error).__name__})") from None
    data, arrays, start = read(n_arrays), {}, 0
    for name, dtype, shape in about:
        if dtype not in DTYPES or any(n < 0 for n in shape):
            raise ValueError(f"no array has the dtype {dtype!r} and the shape {shape}")
        count = int(np.prod(shape, dtype=object)) if shape else 1
        end = start + count * np.dtype(dtype).itemsize
        if end > len(data):
            raise ValueError("the arrays are longer than their bytes")
        arrays[name] = np.frombuffer(data[start:end], dtype).reshape(shape)
        start = end
    return header, arrays


def read_from(descriptor: int, wait: Callable[[], None] = lambda: None) -> Callable[[int], bytes]:
    """A function that reads exactly so many bytes from a pipe, and raises ``EOFError`` at its end.

    Args:
        descriptor: the pipe.
        wait: called before each part is read; whatever it raises ends the reading.
    """

    def exactly(count: int) -> bytes:
        """Read so many bytes."""
        parts = []
        while count:
            wait()
            part = os.read(descriptor, min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    return exactly


def write_to(descriptor: int, message: bytes) -> None:
    """Write a whole message into a pipe."""
    view = memoryview(message)
    while view:
        view = view[os.write(descriptor, view) :]


def make(request: Mapping[str, Any]) -> Any:
    """The calculator that a request names."""
    path, _, name = request["calculator"].rpartition(".")
    module = importlib.import_module(path)
    if not hasattr(module, name):
        raise AttributeError(f"the module {path} ({getattr(module, '__file__', 'built in')}) has no {name}")
    return getattr(module, name)(**request["arguments"])


def known_of(calculator: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """What a calculator and its environment tell: versions, parameters, precision, cutoff, elements, stress."""
    parameters = {id(p): p for module in _networks(calculator) for p in module.parameters()}
    dtypes = {str(p.dtype).rpartition(".")[2] for p in parameters.values() if p.is_floating_point()}
    return {
        "versions": _versions(request["calculator"].partition(".")[0], request["own_packages"]),
        "n_parameters": sum(p.numel() for p in parameters.values()) if parameters else None,
        "dtype": "float32" if "float32" in dtypes else "float64",
        "cutoff_A": _cutoff(calculator),
        "elements": _elements(calculator),
        "stress": "stress" in getattr(calculator, "implemented_properties", ()),
    }


def _networks(calculator: Any) -> Iterator[Any]:
    """The torch modules among the attributes of a calculator, and in lists of them."""
    torch: Any = sys.modules.get("torch")
    for value in vars(calculator).values() if torch is not None else ():
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, torch.nn.Module):
                yield item


def _cutoff(calculator: Any) -> float | None:
    """The cutoff in angstrom that a calculator has as an attribute, as MACE and SevenNet do."""
    for name in ("r_max", "cutoff"):
        with suppress(TypeError, ValueError):
            value = float(getattr(calculator, name, None))  # type: ignore[arg-type]
            if 0.0 < value < 1e3:
                return value
    return None


def _elements(calculator: Any) -> list[int] | None:
    """The atomic numbers that a calculator lists, as MACE and SevenNet do."""
    with suppress(AttributeError, TypeError, ValueError):
        return sorted(int(z) for z in calculator.z_table.zs)
    with suppress(AttributeError, TypeError, ValueError):
        return sorted(int(z) for z in calculator.type_map)
    return None


def _versions(module: str, own_packages: bool) -> dict[str, str]:
    """Python and packages: what every calculator rests on, what brings this one, and all that the environment adds."""
    found = {"python": platform.python_version()}
    names = ["torch", "numpy", "ase", *importlib.metadata.packages_distributions().get(module, ())]
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if own_packages:
        added = importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
        found |= {about.metadata["Name"]: about.version for about in added}
    return found


def structures_of(arrays: Arrays, about: list[dict[str, Any]]) -> Iterator[Any]:
    """The structures of a request as ``ase.Atoms``, with charge and spin as ASE calculators look for them.

    The total charge and the multiplicity stand in ``atoms.info`` as ``charge`` and ``spin``; initial charges and
    magnetic moments add up to the charge and to the number of unpaired electrons.
    """
    import ase

    ends = np.cumsum(arrays["sizes"])
    numbers, positions = (np.split(arrays[name], ends[:-1]) for name in ("numbers", "positions"))
    for index, known in enumerate(about):
        atoms = ase.Atoms(
            numbers[index], positions[index], cell=arrays["cells"][index], pbc=arrays["pbc"][index], info=dict(known)
        )
        first = np.arange(len(atoms)) == 0
        if known.get("charge") is not None:
            atoms.set_initial_charges(known["charge"] * first)
        if known.get("spin") is not None:
            atoms.set_initial_magnetic_moments(max(known["spin"] - 1, 0) * first)
        yield atoms


def energy_of_forces(atoms: Any) -> Any:
    """The energy in eV whose gradient the forces of ``ase.Atoms`` are, once these were asked for.

    Where electrons are smeared it is the ``free_energy``, while ``energy`` is what it would be without a temperature.
    """
    energy, results = atoms.get_potential_energy(), getattr(atoms.calc, "results", None)
    free = results.get("free_energy") if isinstance(results, Mapping) else None
    return energy if free is None else free


def evaluate(calculator: Any, atoms: Any, request: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The answer for one structure: energy in eV, forces in eV/angstrom, stress (3, 3) in eV/angstrom^3 where the
    calculator has one, and the seconds that it took.
    """
    from ase.calculators.calculator import PropertyNotImplementedError

    if request["afresh"] and hasattr(calculator, "reset"):
        calculator.reset()  # equal positions are computed again and not remembered
    atoms.calc = calculator
    started = time.perf_counter()
    found, lacks = {}, None
    for name, ask in (("forces", atoms.get_forces), ("energy", lambda: energy_of_forces(atoms))):
        try:
            found[name] = np.asarray(ask(), dtype=np.float64)
        except PropertyNotImplementedError:
            lacks = name
            break
    seconds = time.perf_counter() - started
    if request["stress"] and lacks is None and atoms.pbc.all():
        with suppress(PropertyNotImplementedError):
            found["stress"] = np.asarray(atoms.get_stress(voigt=False), dtype=np.float64)
    return {"seconds": seconds, "lacks": lacks}, found


def serve(requests: int, answers: int) -> None:
    """Answer requests until the other side closes its pipe."""
    read, calculator = read_from(requests), None
    while True:
        try:
            request, arrays = decode(read)
        except EOFError:
            return
        try:
            if request["kind"] == "make":
                calculator = make(request)
                write_to(answers, encode(known_of(calculator, request), {}))
                continue
            for atoms in structures_of(arrays, request["structures"]):
                write_to(answers, encode(*evaluate(calculator, atoms, request)))
        except BrokenPipeError:
            return
        except BaseException as error:  # whatever a calculator raises, SystemExit too, is an answer
            write_to(answers, encode({"error": what_was_raised(error)}, {}))


def what_was_raised(error: BaseException) -> str:
    """What was raised, and where: in the user's own code if that called what raised it, or else in a package."""
    passed = ("<", importlib.__file__, str(Path(__file__).parents[1]))
    installed = tuple({sysconfig.get_path(name) for name in _INSTALLED})
    lines = [line for line in traceback.extract_tb(error.__traceback__) if not line.filename.startswith(passed)]
    own = [line for line in lines if not line.filename.startswith(installed)]
    place = "".join(f", in line {line.lineno} of {Path(line.filename).name}" for line in (own or lines)[-1:])
    return f"{type(error).__name__}: {str(error)[:2000]}{place}"


def main() -> None:
    """Serve over the two pipes whose descriptors are the arguments."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    requests, answers = map(int, sys.argv[1:3])
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != here]  # its files are no packages
    sys.path.append(os.getcwd())  # where a user's own calculator may lie
    serve(requests, answers)


if __name__ == "__main__":
    main()
