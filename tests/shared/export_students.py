"""Students with their exported files, and the cases that these are judged on."""

from pathlib import Path

import ase.build
import ase.collections
import torch

from assay.export import engine_file, onnx_graphs, torchscript
from assay.export.lowering import lower
from assay.export.metadata import export_metadata
from assay.models import ARCHITECTURES, build_model
from assay.predictors.interface import load_predictor
from assay.structures.structure import Structure
from assay.verification import parity
from assay.verification.cases import open_cases, periodic_cases
from assay.workflow.config import load_config
from assay.workflow.config_models.physics_yaml import Tolerance

STUDENTS = {
    "painn": {"hidden": 12, "n_blocks": 2, "n_rbf": 5, "head": [6], "repulsion": True, "floor": True},
    "seed-painn": {"hidden": 12, "n_blocks": 2, "n_rbf": 5},
}
_OF_SCHNETPACK = {"hidden": 12, "n_blocks": 2, "n_rbf": 5, "head": [6, 4], "head_activation": "tanh"}
STUDENTS["schnetpack-painn"] = _OF_SCHNETPACK | {"activation": "shifted_softplus", "shared_filters": True}
STUDENTS["schnetpack-schnet"] = _OF_SCHNETPACK | {
    "n_filters": 9,
    "cutoff_function": "mollifier",
    "cutoff_arguments": [1e-7],
}
STUDENTS["tensors"] = STUDENTS["painn"] | {"rank": 2}
STUDENTS["from contact"] = STUDENTS["tensors"] | {
    "radial_basis": "gaussian",
    "from_contact": True,
    "pair_elements": [1, 6, 8],
}
ELEMENTS = [1, 6, 7, 8]
CUTOFF = 5.0
ROOT = Path(__file__).parents[2]
TOLERANCE = Tolerance(**load_config(ROOT / "config")["export"]["tolerances"]["default"])


class Exported:
    """One student with all its files; the network itself in double precision."""

    def __init__(self, name, folder):
        torch.manual_seed(1)
        architecture = name if name in ARCHITECTURES else "painn"
        single = build_model(architecture, STUDENTS[name])
        if STUDENTS[name].get("pair_elements"):
            torch.nn.init.normal_(single.pair_energies.table, std=0.1)
        if architecture.startswith("schnetpack"):
            single.energy_scale.fill_(10.0)  # so that untrained forces are not too small to prove anything
        self.model = build_model(architecture, STUDENTS[name]).double()
        self.model.load_state_dict(single.state_dict())
        self.folder, self.network = folder, lower(single)
        self.card = {"variant": "test", "checkpoint_sha256": "0" * 64, "elements": ["H", "C", "N", "O"]}
        metadata = export_metadata(single, self.card)
        self.graphs = {
            "model.onnx": onnx_graphs.assemble(self.network, CUTOFF, metadata, search=True),
            "model.edges.onnx": onnx_graphs.assemble(self.network, CUTOFF, metadata, search=False),
        }
        for name, graph in self.graphs.items():
            onnx_graphs.save(graph, folder / name)
        torchscript.save(torchscript.to_torchscript(self.network, CUTOFF), folder / "model.ts.pt", metadata)
        engine_file.save(single, folder / "model.assay", metadata)

    def predictor(self, name):
        """One of the files as it is loaded by its runtime."""
        return load_predictor(self.folder / name, threads=1)


def make_cases():
    """Structures without a cell and periodic ones, each by the names of what they are."""
    molecules = []
    for atoms in map(ase.build.molecule, ase.collections.g2.names):
        if set(atoms.numbers) <= set(ELEMENTS):
            atoms.rattle(0.05, seed=0)  # the norm of a vector that vanishes by symmetry has no derivative
            molecules.append(Structure.from_ase(atoms))
    return open_cases(ELEMENTS, CUTOFF, molecules), periodic_cases(ELEMENTS, CUTOFF)


def references(model, cases):
    """What the network gives for each case."""
    return {name: parity.reference(model, batch) for name, batch in cases.items()}


def failed(rows):
    """The rows of a table of parity that did not pass."""
    return [row for row in rows if not row["passed"]]
