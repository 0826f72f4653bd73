"""What a checkpoint keeps of the labels of its training: statistics by which energies would have to be corrected."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from assay.checkpoint.container import Container
from assay.checkpoint.elements import atomic_number
from assay.checkpoint.pickles import Instance
from assay.checkpoint.sections import (
    OF_GRADIENT_SCALER,
    Section,
    as_dict,
    in_words,
    is_elsewhere,
    is_of_results,
    sections,
)
from assay.workflow.errors import AssayError

MAX_STATISTICS = 10_000  # numbers of one of them
MAX_DEPTH = 5
MAX_LISTED, MAX_TEXT = 100, 1000  # normalizers in a list, characters of a name
MAX_NUMBERS_TEXT = 10_000  # characters of a text of numbers
_TABLES = {"reference_energy", "atomref"}  # tensors of energies by atomic number
_OF_TABLES = {"weight", "bias", "values"}  # names of the tensor in a module that is such a table

_LABELS = r"(?:energy|energies|targets?|labels?|y|outputs?|property|per_atom|atom|atomic|atomwise|dataset|total)"
_SPREADS = r"(?:stds?|stddev|std_dev|stdev|standard_deviation|deviation|scales?|scaling|scaler|scale_factor)"
_MIDDLES = r"(?:means?|average|avg|shifts?|offsets?)"
_SPREAD = re.compile(rf"(?:^|_)(?:{_SPREADS}|var|variance|rms|sigma)(?:_|$)|rescale(?:_factor)?$")
_KINDS_OF_ATOMS = r"(?:atoms?|atomic|elem|elements?|elemental|species|types?)"
# Names that say alone that they are of labels, and names that say so at the top of a file or in a config.
_OF_LABELS = re.compile(
    rf"(?:{_LABELS}_)+(?:{_SPREADS}|{_MIDDLES})(?:_(?:factor|values?|per_atom))*"
    rf"|(?:{_SPREADS}|{_MIDDLES})(?:_of)?_(?:energy|energies|targets?|labels?|y|e)(?:_per_atom)?"
    rf"|(?:e|out|train|data|rescale|global_rescale)_(?:means?|stds?|shifts?)|(?:e|out)_scales?|(?:global_)?rescale"
    r"|(?:scale|shift)_by"
    r"|(?:global_)?rescale_(?:scale|factor)|(?:e|energy|energies|y|targets?|labels?)_(?:mu|sigma|rms|bias)"
    r"|(?:(?:dataset|train)_)?forces?_(?:rms|stds?)|rms_forces?|(?:avg|average)_energy(?:_per_atom)?"
    rf"|per_{_KINDS_OF_ATOMS}_(?:energy_)?{_SPREADS}"
)
_PAIR = {"mu", "sigma"}
_BARE = re.compile(r"stds?|stddev|std_dev|stdev|standard_deviation|scales?|means?|shifts?|offsets?")
_IN_NORMALIZER = re.compile(rf"(?:{_LABELS}_)*(?:{_SPREADS}|{_MIDDLES}|loc|var|variance)")
_NORMALIZER = re.compile(
    rf"(?:(?:{_LABELS}|data|train|training|forces?)_)*(?:normali[sz]ers?|scalers?|standardi[sz]ers?|scale_shift"
    r"|shift_scale)(?:_state(?:_dict)?|_params)?|normali[sz]ation"
    rf"|(?:{_LABELS}_)+(?:stats|statistics|normali[sz]ation|transforms?)"
)
# Names of what may be a normalizer, and is one where it holds a pair of a mean and a deviation.
_PERHAPS_NORMALIZER = re.compile(
    r"(?:(?:data|train|training)_)*(?:stats|statistics)|(?:data_)?(?:transforms?|preprocess(?:ing|ors?)?)"
)
_TARGET = re.compile(rf"(?:{_LABELS}|forces?|stress|e)")
_NOISE = re.compile(r"noise|jitter|augment|perturb|random|rattle", re.IGNORECASE)
_REFERENCES = re.compile(
    r"(?:initial_)?atom_?refs?(?:_values)?|atom_references|e0s?(?:_dict)?"
    r"|(?:atom|atomic|isolated_atom|self|reference)_energ(?:y|ies)"
    r"|atomic_ref(?:s|erences?|erence_energ(?:y|ies))|energy_references?|energies_of_atoms"
    rf"|(?:(?:per|free|single|isolated|self|ref|reference|dressed|linear|lin|{_KINDS_OF_ATOMS})_)+"
    r"(?:energ(?:y|ies)|ener|(?:energy_)?(?:shifts?|bias(?:es)?|offsets?|baselines?)|refs?|references?|e0s?)"
    r"(?:_dict|_values)?"
    rf"|(?:energy|energies|energy_(?:shifts?|offsets?))_per_{_KINDS_OF_ATOMS}|energy_baselines?|composition_weights"
    r"|sae|linref|e_?refs?|e_atoms?|bias_atom_e|dressed_atoms|isolated_atoms|atomization_references"
)
# Words of what has a number for each element, or a mean, and is no energy.
_OF_OTHERS = re.compile(
    r"(?:^|_)(?:colou?rs?|counts?|n|num|numbers?|histogram|fractions?|composition|abundances?|mass|masses|weights?"
    r"|radius|radii|size|sizes|cutoffs?|rcut|r_cut|r_max|r_min|neighbou?rs?|charges?|spins?|magmoms?|moments?"
    r"|electronegativit(?:y|ies)|hardness|polari[sz]abilit(?:y|ies)|hubbard|valences?|zbl|index|indices|map|mapping"
    r"|mae|rmse|mse|r2|errors?|c6|distances?|lengths?|sigmas?|epsilons?"
    r"|natoms|nodes?|edges?|degrees?|times?|seconds|speeds?|volumes?"
    r"|density|densities|positions?|cells?|dipoles?|lr|grads?|gradients?|loss(?:es)?"
    r"|vdw|cov|covalent|epochs?|steps?|milestones)(?:_|$)"
)
# One of the numbers of a text, with or without its name: "-13.6", "H:-13.6", "'H':np.float64(-13.6)".
_IN_TEXT = re.compile(r"(?:['\"]?(\w{1,20})['\"]?:)?(?:np\.float\d+\()?([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\)?")


def check_statistics(container: Container, tensors: Mapping[str, Tensor]) -> None:
    """Refuse statistics of labels that are kept beside the weights, and not applied by the network.

    A mean of 0, a standard deviation of 1 and atomic references of 0 change nothing; those that are buffers of the
    network are applied.

    Args:
        container: the file.
        tensors: the network's, by its own names and by those of schnetpack.

    Raises:
        AssayError: there are some.
    """
    for place, value, neutral in _statistics(container):
        record = _record_of_numbers(value)
        if record is not None:
            raise AssayError(
                f"{container.path} keeps {place} beside its weights in a form whose numbers cannot be read "
                f"({record.name}): save them as plain numbers, or remove it where it only records the data"
            )
        numbers = _numbers(value)
        if numbers == [] or _is_applied(place, value, tensors):
            continue
        if numbers is None or any(number != neutral for number in numbers):
            shown = reprlib.repr(numbers[0]) if numbers is not None and len(numbers) == 1 else "several numbers"
            raise AssayError(
                f"{container.path} keeps {place} = {shown} beside its weights, which nothing in its network applies: "
                "save a network that does, or remove it where it only records the data"
            )


def is_neutral_buffer(name: str, tensor: Tensor) -> bool:
    """Whether a tensor of a state dict is a statistic of labels that changes nothing, such as a mean of 0."""
    *path, last = (in_words(part) for part in name.split("."))
    table = path[-1] if path and last in _OF_TABLES else last
    of_labels = _OF_LABELS.fullmatch(last) or (_BARE.fullmatch(last) and tensor.numel() == 1)
    if not of_labels and _IN_NORMALIZER.fullmatch(last):
        of_labels = any(map(_NORMALIZER.fullmatch, path))
    references = _REFERENCES.fullmatch(table)
    if not of_labels and not references:
        return False
    neutral = 0.0 if references else _neutral(last)
    return set(_numbers(tensor) or (None,)) == {neutral}


def _statistics(container: Container) -> Iterator[tuple[str, Any, float]]:
    """(place, value, the number that changes nothing) of all that is called a statistic of labels.

    Sections of data or of a run may record their data: there a mean alone is none, but a mean with a deviation is.
    In a record of results neither is, but a normalizer is one everywhere.
    """
    for section in sections(container, with_data=True):
        record = section.of_run or section.of_data
        results = is_of_results(section.place)
        words_of = {key: in_words(key) for key in section.entries if isinstance(key, str)}
        bare = [
            key
            for key, words in words_of.items()
            if not results and not isinstance(section.entries[key], dict)
            if _BARE.fullmatch(words) or (key in _PAIR and _PAIR <= section.entries.keys())
        ]
        labelled = [words for words in words_of.values() if _OF_LABELS.fullmatch(words)]
        counted = labelled if not results and (not record or _is_pair(labelled)) else []
        holds_weights = section.holds_weights
        for key, words in words_of.items():
            value, place = section.entries[key], section.path_of(key)
            if holds_weights and isinstance(value, Tensor):
                continue
            if _REFERENCES.fullmatch(words):
                yield place, value, 0.0
            elif words in counted or (not (record or results) and _is_of_elements(words, value)):
                yield place, value, _neutral(words)
            elif _NORMALIZER.fullmatch(words):
                yield from _of_normalizer(place, value)
            elif _PERHAPS_NORMALIZER.fullmatch(words):
                yield from _of_normalizer(place, value, in_pairs=True)
            elif key in bare and (_is_pair(bare) if record else _is_of_labels(section, value, len(bare))):
                yield place, value, _neutral(words)


def _is_pair(names: Collection[str]) -> bool:
    """Whether there is a deviation or a scale among names of statistics, and a mean or a shift."""
    return len({_neutral(name) for name in names}) == 2


def _is_of_elements(words: str, value: Any) -> bool:
    """Whether ``value`` may be energies, or scales of them, by elements, whatever it is called.

    Whole numbers that are not negative count or index elements. Numbers may be keys of anything, such as the epochs of
    a schedule, so that a dict of them counts only where one of its values is negative, as energies of atoms are, and
    its keys do not count.
    """
    elsewhere = _OF_OTHERS.search(words) or is_of_results(words) or is_elsewhere(words)
    if not isinstance(value, dict) or not value or elsewhere or _is_counted(value):
        return False
    if not all(atomic_number(key) > 0 for key in value):
        return False
    numbers = _numbers(value)
    if not numbers or len(numbers) != len(value):
        return False
    if any(number < 0.0 for number in numbers):
        return True
    by_symbol = all(isinstance(key, str) and not key.isdecimal() for key in value)
    return by_symbol and not all(number.is_integer() for number in numbers)


def _is_counted(value: dict[Any, Any]) -> bool:
    """Whether keys are 1, 2, ..., or further multiples of the first, as those of epochs and steps are."""
    keys = [int(key) if isinstance(key, str) and key.isdecimal() else key for key in value]
    first, n = keys[0], len(keys)
    if type(first) is not int or n < 2 + (first > 1):
        return False
    return keys == list(range(first, first * (n + 1), first or 1))


def _is_of_labels(section: Section, value: Any, n_bare: int) -> bool:
    """Whether what is called "mean" or "scale" and no more is of labels: one number, or a pair, in a config."""
    numbers = _numbers(value)
    return section.known and (n_bare > 1 or (numbers is not None and len(numbers) == 1))


def _of_normalizer(place: str, value: Any, in_pairs: bool = False, depth: int = 0) -> Iterator[tuple[str, Any, float]]:
    """The statistics in what is called a normalizer. The scale of gradients is none of labels.

    Args:
        place: its dotted path.
        value: a dict, or a list of them; a list or a tensor of a mean and a deviation.
        in_pairs: whether a name such as "mean" counts only beside one such as "std", and neither where both are of
            noise or of something that is no label.
        depth: how many dicts and lists lie around it.
    """
    entries = _entries(value)
    if isinstance(value, Instance) and not in_pairs:
        yield place, value, 0.0
    elif entries is None and not in_pairs and _is_of_numbers(value):
        yield f"{place}[0]", value[0], 0.0
        yield f"{place}[1]", value[1], 1.0
    elif entries is None and isinstance(value, list) and depth < MAX_DEPTH:
        for index, item in enumerate(value[:MAX_LISTED]):
            yield from _of_normalizer(f"{place}[{index}]", item, in_pairs, depth + 1)
    if entries is None or OF_GRADIENT_SCALER in entries or depth == MAX_DEPTH:
        return
    words_of = {key: in_words(key) for key in entries if isinstance(key, str)}
    named = [words for words in words_of.values() if _IN_NORMALIZER.fullmatch(words)]
    counts = not in_pairs or (_is_pair(named) and not _is_of_noise(entries))
    for key, words in words_of.items():
        inner, where = entries[key], f"{place}.{key}"
        if _REFERENCES.fullmatch(words):
            yield where, inner, 0.0
        elif _OF_LABELS.fullmatch(words) or (counts and _IN_NORMALIZER.fullmatch(words)):
            yield where, inner, _neutral(words)
        elif _TARGET.fullmatch(words) or (isinstance(inner, dict) and not (in_pairs and _OF_OTHERS.search(words))):
            yield from _of_normalizer(where, inner, in_pairs, depth + 1)


def _is_of_numbers(value: Any) -> bool:
    """Whether ``value`` is a list or a tensor of two numbers."""
    if isinstance(value, Tensor):
        return value.ndim == 1 and len(value) == 2
    return (
        isinstance(value, list) and len(value) == 2 and all(_numbers(it) and not isinstance(it, dict) for it in value)
    )


def _is_of_noise(entries: Mapping[Any, Any]) -> bool:
    """Whether a transform adds noise, by its name or the names of its settings."""
    texts = (text for pair in entries.items() for text in pair if isinstance(text, str))
    return any(_NOISE.search(text[:MAX_TEXT]) for text in texts)


def _neutral(words: str) -> float:
    return 1.0 if _SPREAD.search(words) else 0.0


def _entries(value: Any) -> dict[Any, Any] | None:
    """``value`` as a dict, if it is one or the text of one."""
    entries = as_dict(value)
    listed = _in_text(value) if entries is None and isinstance(value, str) else None
    return listed if isinstance(listed, dict) else entries


def _in_text(text: str) -> dict[str, float] | list[float] | None:
    """The numbers of a text such as "-13.6", "[0.0, -13.6]", "{1: -13.6}" or "H:-13.6,C:-1029."; None of another."""
    if len(text) > MAX_NUMBERS_TEXT:
        return None
    words = re.sub(" ?[:=] ?", ":", " ".join(text.strip().strip("{}[]()").split()))
    matches = [_IN_TEXT.fullmatch(word) for word in re.split("[,; ]+", words.strip(",; "))]
    found = [(match[1], float(match[2])) for match in matches if match]
    names = {name for name, _ in found if name is not None}
    if len(found) < len(matches) or len(names) not in (0, len(found)):
        return None
    return dict(found) if names else [number for _, number in found]


def _record_of_numbers(value: Any) -> Instance | None:
    """The first instance in ``value`` that holds numbers at places which only its class knows."""
    if isinstance(value, Instance):
        return value if _holds_numbers(value) else None
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((item for item in inner if isinstance(item, Instance) and _holds_numbers(item)), None)


def _holds_numbers(value: Any, depth: int = 0) -> bool:
    if isinstance(value, Instance):
        value = [value.args, value.keywords, value.state, value.members, value.entries]
    if isinstance(value, list | tuple):
        return depth > MAX_DEPTH or any(_holds_numbers(item, depth + 1) for item in value)
    if isinstance(value, str):
        return bool(_numbers(value))
    return isinstance(value, int | float | bytes | bytearray) and not isinstance(value, bool)


def _numbers(value: Any, depth: int = 0) -> list[float] | None:
    """All numbers in ``value`` and in texts of numbers, apart from flags; None where there are too many."""
    if isinstance(value, str):
        value = as_dict(value) or _in_text(value)
    if isinstance(value, Tensor):
        plain = value.layout is torch.strided and not value.is_quantized and not value.is_nested
        if not plain or value.device.type != "cpu" or value.numel() > MAX_STATISTICS:
            return None
        return [] if value.dtype == torch.bool or value.is_complex() else value.double().flatten().tolist()
    if isinstance(value, dict | list):
        found: list[float] = []
        for item in value.values() if isinstance(value, dict) else value:
            inner = _numbers(item, depth + 1) if depth < MAX_DEPTH else None
            if inner is None or len(found) + len(inner) > MAX_STATISTICS:
                return None
            found += inner
        return found
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []


def _is_applied(place: str, value: Any, tensors: Mapping[str, Tensor]) -> bool:
    """Whether a buffer of the network has the same numbers: the scale of its energies, or the energies of atoms."""
    words, numbers = in_words(place.rpartition(".")[2]), _numbers(value)
    own = (tensor for name, tensor in tensors.items() if name.startswith("postprocessors."))
    if any(_numbers(tensor) == numbers for tensor in own):
        return True
    if _REFERENCES.fullmatch(words) or _is_of_elements(words, value):
        tables = [tensor for name, tensor in tensors.items() if name.rpartition(".")[2] in _TABLES]
        entries = _entries(value)
        pairs = list(enumerate(numbers or ()) if entries is None else entries.items())
        if any(
            all(_is_close(table.flatten(), atomic_number(key), number) for key, number in pairs) for table in tables
        ):
            return True
    if _SPREAD.search(words) and "energy_scale" in tensors:
        return numbers is not None and all(_is_close(tensors["energy_scale"].reshape(1), 0, it) for it in numbers)
    return False


def _is_close(known: Tensor, index: int, number: Any) -> bool:
    """Whether ``number`` is the entry of ``known`` at ``index``, to single precision."""
    numbers = _numbers(number)
    if not 0 <= index < len(known) or numbers is None or len(numbers) != 1:
        return False
    wanted = torch.tensor(numbers[0], dtype=torch.float64)
    return bool(torch.isclose(known[index].double(), wanted, rtol=1e-6, atol=1e-9))
