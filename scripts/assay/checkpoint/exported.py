"""Says what an exported model is that Assay did not export: TorchScript, ``.pt2``, a package of torch, ONNX.

Such a file is a program, so that loading one runs it. What is said here is read from the names of an archive's records,
its metadata, and the graph of an ONNX file; nothing is loaded.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx

from assay.checkpoint.programs import model_of_another_program, program_of_code, refusal_of
from assay.models import ARCHITECTURES
from assay.workflow.errors import AssayError, listed, printable, reason_of

# Where a file that Assay exported says what it is, as JSON: the extra file of TorchScript, the key of compiled code.
IDENTITY_FILE, IDENTITY_KEY = "identity.json", "identity"
OWN_ONNX_KEYS = {"cutoff_A", "max_z", "checkpoint_sha256"}
MAX_METADATA_BYTES = 1 << 20
MAX_ONNX_BYTES = 1 << 24  # a message of protobuf takes up to a hundred times its bytes when it is read
MAX_RECORDS = 20_000
MAX_SHOWN, MAX_NAME = 8, 60  # names that are shown, and characters of one
MAX_METADATA_FILES = 8

_KINDS = (
    (re.compile(r"^[^/]+/\.data/(?:extern_modules|python_version)$"), "package of torch"),
    (re.compile(r"^[^/]+/code/"), "TorchScript file"),
    (re.compile(r"(?:^|/)data/aotinductor/"), "compiled .pt2 file"),
    (
        re.compile(r"^[^/]+/(?:models/[^/]+\.json|archive_format)$|^serialized_exported_program\.json$"),
        "program of torch.export",
    ),
)
_METADATA = re.compile(r"(?:^|/)data/aotinductor/.*metadata\.json$")
_MODULE = re.compile(r"^[^/]+/(?:code/__torch__/)?([\w/]+)\.py$")


def exported_by_others(path: Path, data: bytes | None = None) -> AssayError | None:
    """Say of an archive of code that Assay did not export what it is; None for an archive of Assay or of weights.

    Args:
        path: the file.
        data: its content; None reads it.

    Raises:
        Exception: whatever ``zipfile`` raises of an archive that it cannot read.
    """
    with zipfile.ZipFile(path if data is None else io.BytesIO(data)) as archive:
        entries = archive.infolist()[:MAX_RECORDS]
        kind = kind_of_archive(entry.filename for entry in entries)
        return None if kind is None else _refusal(path, kind, archive, entries)


def check_exported_here(path: Path) -> None:
    """Refuse an archive of code that does not say that Assay exported it. To load it would be to run its code.

    Raises:
        AssayError: it is another program's, damaged, or cannot be read.
    """
    try:
        foreign = exported_by_others(path)
        with zipfile.ZipFile(path) as archive:
            if kind_of_archive(archive.namelist()) is None:
                raise ValueError("it holds no exported model")
            if (record := archive.testzip()) is not None:  # torch compares no checksums
                raise ValueError(f"the checksum of {record} does not hold")
    except Exception as error:  # zipfile passes on what its codecs raise
        reason = reason_of(error, 400)
        raise AssayError(
            printable(f"{path} is damaged, or Assay did not export it ({reason}): export it again")
        ) from None
    if foreign is not None:
        raise foreign


def kind_of_archive(names: Iterable[str]) -> str | None:
    """What an archive with records of these names is, where that holds code; else None."""
    listed = list(names)
    for pattern, kind in _KINDS:
        if any(pattern.search(name) for name in listed):
            return kind
    return None


def onnx_by_others(path: Path, data: bytes | None = None) -> AssayError | None:
    """Say of an ONNX file that Assay did not export what it is; None for one of Assay, or what is no ONNX file.

    Args:
        path: the file.
        data: its content; None reads it.
    """
    if (path.stat().st_size if data is None else len(data)) > MAX_ONNX_BYTES:
        return None
    try:
        model = onnx.load_model_from_string(path.read_bytes() if data is None else data)
    except Exception:  # the errors of protobuf share no base class with those of files
        return None
    if not model.graph.node or OWN_ONNX_KEYS <= {entry.key for entry in model.metadata_props}:
        return None
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = listed((it.name for it in model.graph.input if it.name not in weights), MAX_SHOWN, MAX_NAME)
    outputs = listed((it.name for it in model.graph.output), MAX_SHOWN, MAX_NAME)
    evidence = f"it takes {inputs or 'nothing'} and returns {outputs or 'nothing'}"
    return model_of_another_program(path, [], sorted(weights)) or _unknown(path, "an ONNX file", evidence)


def _refusal(path: Path, kind: str, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> AssayError | None:
    names = [entry.filename for entry in entries]
    records = {name.rpartition("/")[2] for name in names if "/extra/" in name}
    metadata = _metadata(archive, entries)
    if (kind == "TorchScript file" and IDENTITY_FILE in records) or IDENTITY_KEY in metadata:
        return None
    modules = [match[1].replace("/", ".") for match in map(_MODULE.match, names) if match]
    found = program_of_code(modules, records | metadata.keys())
    if found is not None:
        return refusal_of(path, *found, form=kind)
    own = [name for name in modules if name.partition(".")[0] not in ("torch", "collections")]
    names = own or sorted(metadata)
    code = f"it holds {listed(names, MAX_SHOWN, MAX_NAME)}" if names else "it names nothing"
    return _unknown(path, f"a {kind}", code)


def _unknown(path: Path, what: str, evidence: str) -> AssayError:
    return AssayError(
        printable(
            f"{path} is {what} that Assay did not export ({evidence}), so that Assay cannot tell what it computes: "
            f"give a checkpoint of {', '.join(ARCHITECTURES)}, or judge its ASE calculator (docs/calculators.md)"
        )
    )


def _metadata(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> dict[str, Any]:
    """What a compiled ``.pt2`` file says about itself."""
    found: dict[str, Any] = {}
    files = [entry for entry in entries if _METADATA.search(entry.filename) and entry.file_size <= MAX_METADATA_BYTES]
    for entry in files[:MAX_METADATA_FILES]:
        with suppress(ValueError, RecursionError):
            content = json.loads(archive.read(entry))
            found |= content if isinstance(content, dict) else {}
    return found
