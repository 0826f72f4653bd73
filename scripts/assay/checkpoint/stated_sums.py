"""What a checkpoint says of how the energies of atoms make that of a structure, which has to be their sum."""

from __future__ import annotations

import re
import reprlib
from typing import Any

from assay.checkpoint.architecture import OF_SCHNETPACK, Network
from assay.checkpoint.container import Container
from assay.checkpoint.pickles import Name
from assay.checkpoint.sections import NETWORK_WORDS, NETWORKS, PLACES, Section, in_words, is_of_results, sections
from assay.workflow.errors import AssayError

_AGGREGATION = re.compile(
    r"(?:(?:graph|global|atoms?|atomwise|atomic|node|energy)_)*"
    r"(?:aggregation|aggregate|aggregator|aggr|readout|pool|pooling|reduce)(?:_(?:mode|method|type|fn|func|function|op))?"
)
_NO_SUM = re.compile(r"(?:^|_)(?:mean|avg|average|max|min)(?:_|$)")
_WHICH = {"target", "class_path", "name", "type", "mode"}  # words of keys that say which of several ways it is
_PER_ATOM = {"extensive": False, "is_extensive": False, "intensive": True, "is_intensive": True}
_POSTPROCESSING = "do_postprocessing"  # of schnetpack
# Words of sections in which others than atoms are averaged, and of what is no sum over them.
_OF_OTHERS = re.compile(
    r"(?:^|_)(?:ensembles?|committees?|uncertaint(?:y|ies)|distributed|ddp|selection|dipoles?|charges?|gaps?|homo|lumo"
    r"|polari[sz]abilit(?:y|ies)|spins?|magmoms?)(?:_|$)"
)
_OF = ("output_key", "property", "quantity", "target", "name")  # keys of what a section gives
# Words of sections of what a network gives.
_OUTPUTS = {
    "head", "heads", "output", "outputs", "readout", "readouts", "target", "targets", "properties", "postprocessors",
}  # fmt: skip


def check_sum(container: Container, network: Network) -> None:
    """Refuse a file that says that energies of atoms are averaged, or that the offsets in its weights are not added.

    Args:
        container: the file.
        network: one of which no pickled module tells this.

    Raises:
        AssayError: it says so.
    """
    of_schnetpack = network.architecture in OF_SCHNETPACK
    scale, offsets = (network.tensors.get(name) for name in ("energy_scale", "reference_energy"))
    is_offset = offsets is not None and bool(offsets.any())
    is_changed = is_offset or (scale is not None and bool((scale != 1.0).any()))
    for section in sections(container, with_lists=True):
        given = [it for it in map(section.entries.get, _OF) if isinstance(it, str)]
        if is_of_results(section.place) or any(_OF_OTHERS.search(in_words(it)) for it in [*_parts(section), *given]):
            continue
        for key, value in section.entries.items():
            words = in_words(key) if isinstance(key, str) else ""
            if words in _PER_ATOM and (is_offset or not of_schnetpack):
                refused = value is _PER_ATOM[words] and _is_of_network(_parts(section))
            elif words == _POSTPROCESSING and of_schnetpack and is_changed:
                refused = value is False
            else:
                refused = _averages(section, words, value)
            if refused:
                raise AssayError(
                    f"{container.path} says {section.path_of(key)} = {reprlib.repr(value)}, and its energy would be "
                    "taken to be the sum over its atoms, with all scales and offsets of its weights: train with a sum, "
                    f"{'give its pickled model, ' if of_schnetpack else ''}or remove that where it says something else"
                )


def _averages(section: Section, words: str, value: Any) -> bool:
    """Whether an entry of a section says that what atoms have is aggregated, and not by a sum."""
    parts = _parts(section)
    owner = in_words(parts[-1]) if words in _WHICH and parts else ""
    text = value.name if isinstance(value, Name) else value
    said = next((word for word in (words, owner) if _AGGREGATION.fullmatch(word)), "")
    if not isinstance(text, str) or not said or not _NO_SUM.search(in_words(text.rpartition(".")[2])):
        return False
    return _is_of_network(parts[:-1] if said == owner else parts, named=said.startswith("reduce"))


def _parts(section: Section) -> list[str]:
    """The keys under which a section stands."""
    return [re.sub(r"\[\d+\]$", "", part) for part in section.place.split(".") if part]


def _is_of_network(parts: list[str], named: bool = False) -> bool:
    """Whether a section is one of a network or its outputs; not only where configs are, if it has to be ``named``."""
    is_named = any(not (NETWORK_WORDS | _OUTPUTS).isdisjoint(in_words(part).split("_")) for part in parts)
    return is_named or (not named and all(part in PLACES | NETWORKS for part in parts))
