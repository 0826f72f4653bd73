"""What a checkpoint says of how the energies of atoms make that of a structure, which has to be their sum."""

from __future__ import annotations

import re
import reprlib
from dataclasses import replace
from typing import Any

from assay.checkpoint.architecture import OF_SCHNETPACK, Network
from assay.checkpoint.container import Container
from assay.checkpoint.pickles import Name
from assay.checkpoint.sections import ARGUMENTS, OF_WHAT, TELLING, Section, describes_network, in_words, sections
from assay.workflow.errors import AssayError

_AGGREGATION = re.compile(
    r"(?:(?:graph|global|atoms?|atomwise|atomic|node|energy)_)*"
    r"(?:aggregation|aggregate|aggregator|aggr|readout|pool|pooling|reduce)(?:_(?:mode|method|type|fn|func|function|op))?"
)
# Words with which it is that of atoms wherever it stands; others may be of losses, processes and the like.
_OF_ATOMS = re.compile(r"(?:^|_)(?:graph|global|atoms?|atomwise|atomic|node|energy|readout)(?:_|$)")
_NO_SUM = re.compile(r"(?:^|_)(?:mean|avg|average|max|min)(?:_|$)")
_WHICH = {in_words(key) for key in TELLING} | {"mode", "method"}  # words of keys that say which of several ways it is
_PER_ATOM = {"extensive": False, "is_extensive": False, "intensive": True, "is_intensive": True}
_POSTPROCESSING = "do_postprocessing"  # of schnetpack
# Words of sections in which others than atoms are averaged, or another property than the energy.
_OF_OTHERS = re.compile(
    r"(?:^|_)(?:ensembles?|committees?|uncertaint(?:y|ies)|distributed|ddp)(?:_|$)"
    r"|^(?!.*energ)(?:.*_)?(?:dipoles?|quadrupoles?|polari[sz]abilit(?:y|ies)|charges?|spins?|magmoms?"
    r"|homo|lumo|(?:band_?)?gap)(?:_|$)"
)


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
        if _is_of_others(section):
            continue
        for key, value in section.entries.items():
            words = in_words(key) if isinstance(key, str) else ""
            if words in _PER_ATOM and (is_offset or not of_schnetpack):
                refused = value is _PER_ATOM[words]
            elif words == _POSTPROCESSING and of_schnetpack and is_changed:
                refused = value is False
            else:
                refused = _averages(section, words, value)
            if refused:
                raise AssayError(
                    f"{container.path} says {section.path_of(key)} = {reprlib.repr(value)}, and its energy would be "
                    "taken to be the sum over its atoms, with all scales and offsets of its weights: train with a sum, "
                    f"{'give its pickled model, ' if of_schnetpack else ''}or save the file without that where it is "
                    "about something else, such as a loss"
                )


def _is_of_others(section: Section) -> bool:
    """Whether a section is about something else than the energy of a structure, by its place or as part of a list."""
    listed = map(section.entries.get, OF_WHAT) if section.place.endswith("]") else ()
    names = [*section.place.split("."), *listed]
    return any(isinstance(name, str) and _OF_OTHERS.search(in_words(name)) for name in names)


def _averages(section: Section, words: str, value: Any) -> bool:
    """Whether an entry of a section says that what atoms have is aggregated, and not by a sum."""
    place = section.place
    if words in _WHICH:
        owner = replace(section, place=section.around) if section.name in ARGUMENTS else section
        place, words = owner.around, owner.name
    text = value.name if isinstance(value, Name) else value
    if not isinstance(text, str) or not _AGGREGATION.fullmatch(words):
        return False
    says_mean = bool(_NO_SUM.search(in_words(text.rpartition(".")[2])))
    return says_mean and (bool(_OF_ATOMS.search(in_words(f"{words}_{place}"))) or describes_network(place))
