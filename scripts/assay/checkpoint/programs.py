"""Programs whose models Assay does not rebuild: how their files are told, and what can be done with them.

Nothing of a file is run or imported to find out. What tells a program are names: of the classes in a pickle, of the
tensors in a state dict, of the modules whose code an archive holds, of the records beside that code.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from assay.workflow.errors import AssayError, printable

# A tensor of each student. A file that has one holds a student, whatever else it names.
_STUDENT = re.compile(
    r"(?:^|\.)(?:interactions\.0\.message\.rbf_to_scalar\.0|blocks\.0\.filter)\.weight$", re.MULTILINE
)


@dataclass(frozen=True)
class Program:
    """A program that trains or runs models of its own.

    Attributes:
        name: what its authors call it.
        packages: the Python packages of its code.
        classes: a pattern of the full names of its model classes.
        keys: patterns, each of which the name of some tensor matches.
        calculator: its ASE calculator, as module.Class.
        arguments: what the calculator takes, in YAML; None for one that takes what YAML cannot hold.
        records: names of the extra files or metadata in its exported models.
    """

    name: str
    packages: tuple[str, ...]
    classes: str
    keys: tuple[str, ...]
    calculator: str
    arguments: str | None
    records: tuple[str, ...] = ()


PROGRAMS = (
    Program(
        "MACE",
        ("mace",),
        r"mace\.modules\.models\.\w+|mace\.calculators\.\w+\.\w+",
        (r"atomic_energies_fn\.atomic_energies$", r"interactions\.\d+\.linear_up\."),
        "mace.calculators.MACECalculator",
        "model_paths: my.model, device: cpu",
    ),
    Program(
        "Allegro",
        ("allegro",),
        r"allegro\.(model|nn)\.[\w.]+",
        (r"allegro\w*\.(?:latents|env_embed|tps|allegro)",),
        "nequip.ase.NequIPCalculator",
        None,
    ),
    Program(
        "NequIP",
        ("nequip",),
        r"nequip\.(model|train|nn\._?graph_\w+)\.[\w.]+",
        (r"layer\d+_convnet\.",),
        "nequip.ase.NequIPCalculator",
        None,
        ("nequip_version", "nequip_aoti_inputs"),
    ),
    Program(
        "TorchMD-Net",
        ("torchmdnet",),
        r"torchmdnet\.(models\.model|module)\.\w+",
        (r"representation_model\.", r"output_model\."),
        "torchmdnet.calculators.TMDNETCalculator",
        "model_file: my.ckpt",
    ),
    Program(
        "SevenNet",
        ("sevenn",),
        r"sevenn\.nn\.[\w.]+",
        (r"(?:edge_embedding|EdgeEmbedding)\.basis_function\.coeffs$", r"\d+[ _](?:self_interaction|convolution)"),
        "sevenn.calculator.SevenNetCalculator",
        "model: my.pth",
        ("chemical_symbols_to_index",),
    ),
    Program(
        "DeePMD",
        ("deepmd",),
        r"deepmd\.(pt|pd|jax|dpmodel)\.[\w.]+",
        (r"atomic_model\.(?:descriptor|fitting_net)\.",),
        "deepmd.calculator.DP",
        "model: frozen_model.pth",
    ),
    Program(
        "AIMNet2",
        ("aimnet", "aimnet2"),
        r"aimnet2?\.(models|modules)\.[\w.]+",
        (r"afv\.weight$", r"conv_a\."),
        "aimnet.calculators.AIMNet2ASE",
        "base_calc: my.pt",
    ),
    Program(
        "ANI",
        ("torchani",),
        r"torchani\.(models|arch|nn|aev|potentials)\.[\w.]+",
        (r"aev_computer\.", r"(?:energy_shifter|neural_networks)\."),
        "torchani.ase.Calculator",
        None,
    ),
    Program(
        "CHGNet",
        ("chgnet",),
        r"chgnet\.model\.[\w.]+",
        (r"bond_basis_expansion\.", r"atom_conv_layers\.\d+\."),
        "chgnet.model.dynamics.CHGNetCalculator",
        None,
    ),
    Program(
        "schnetpack",
        ("schnetpack",),
        r"schnetpack\.(model|atomistic|representation)\.[\w.]+",
        (r"representation\.interactions\.\d+\.", r"output_modules\.\d+\."),
        "schnetpack.interfaces.SpkCalculator",
        None,
    ),
)


def refusal_of(path: str | Path, program: Program, evidence: str, form: str = "model") -> AssayError:
    """What a file of ``program`` is, how that is known, and what can be done with it.

    Args:
        path: the file.
        program: the program that wrote it.
        evidence: what in the file tells the program, e.g. "it names mace.modules.models.MACE".
        form: what the file is, e.g. "TorchScript file".
    """
    arguments = f"arguments: {{{program.arguments}}}" if program.arguments else "arguments: {...}"
    calculator = f"calculator: {program.calculator}" if program.arguments else "calculator: my_module.my_function"
    how = "" if program.arguments else f", whose function makes a {program.calculator}"
    return AssayError(
        printable(
            f"{path} is a {form} of {program.name} ({evidence}), which Assay does not rebuild: judge it as a "
            f"calculator, variants: {{mine: {{{calculator}, {arguments}, environment: FILE}}}}{how} "
            "(docs/calculators.md)"
        )
    )


def model_of_another_program(path: Path, classes: Iterable[str], keys: Iterable[str]) -> AssayError | None:
    """The refusal of a model that some program of ``PROGRAMS`` wrote; None if none did, or a student is there.

    Args:
        path: the file.
        classes: full names of the classes in it.
        keys: names of its tensors.
    """
    listed = "\n".join(keys)
    if _STUDENT.search(listed):
        return None
    for program in PROGRAMS:
        found = [re.search(rf"(?:^|\.){pattern}", listed, re.MULTILINE) for pattern in program.keys]
        names = [_line(listed, match) for match in found if match]
        if len(names) == len(found):
            return refusal_of(path, program, f"its weights are called {' and '.join(dict.fromkeys(names))}")
    for program in PROGRAMS:
        for name in classes:
            if re.fullmatch(program.classes, name):
                return refusal_of(path, program, f"it names the class {name[:80]}")
    return None


def program_of_code(modules: Iterable[str], records: Iterable[str]) -> tuple[Program, str] | None:
    """The program whose code or records an exported model holds, and what tells so; None if it is of no known one.

    Args:
        modules: dotted names of the modules whose code is in it.
        records: names of its extra files and the keys of its metadata.
    """
    modules, records = list(modules), set(records)
    for program in PROGRAMS:
        for module in modules:
            if module.partition(".")[0] in program.packages:
                return program, f"it holds code of {module[:80]}"
        for name in program.records:
            if name in records:
                return program, f"it says {name}"
    return None


def frozen_deepmd(path: Path, data: bytes) -> AssayError | None:
    """The refusal of a graph of TensorFlow that DeePMD froze; None if ``data`` is not one."""
    [program] = [program for program in PROGRAMS if program.name == "DeePMD"]
    for name in (b"descrpt_attr/", b"model_attr/"):
        if name in data:
            return refusal_of(path, program, f"it has nodes of {name.decode()}", "frozen graph")
    return None


def _line(text: str, match: re.Match[str]) -> str:
    """The line of ``text`` that holds the start of ``match``, shortened."""
    start = text.rfind("\n", 0, match.start() + 1) + 1
    return text[start:].partition("\n")[0][:80]
