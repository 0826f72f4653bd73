"""Reads a checkpoint file into nested dicts of tensors, trusting nothing in it.

The file is read once. Checksums are verified and sizes counted first. ``torch.load`` is not used: ``pickles`` reads a
pickle as data, ``contents`` and ``tensors`` make dicts and tensors of it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from assay.checkpoint.contents import foreign_names, read_contents
from assay.checkpoint.exported import MAX_RECORDS, exported_by_others, kind_of_archive, onnx_by_others
from assay.checkpoint.pickles import Instance, Name, PickleError, read_pickle
from assay.checkpoint.programs import frozen_deepmd, model_of_another_program
from assay.checkpoint.tensors import storage_from_bytes, wanted_storages
from assay.workflow.errors import AssayError
from assay.workflow.files import read_json, sidecars

CHECKSUM = "content_sha256"  # key in the metadata of a normalized model
MAX_FILE_BYTES = 1 << 30
MAX_PICKLE_BYTES = 1 << 26
SAVE_AGAIN = "save model.state_dict() with torch.save"

_OF_TORCH = ".metadata"  # the index in the folder of a distributed checkpoint
_SHARD = re.compile(r"-\d{5}-of-(\d{5})\.(?:safetensors|bin)$")  # of Hugging Face, as the index
_INDEX = (".safetensors.index.json", ".bin.index.json")
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_LEGACY_VERSION = 1001
_ONNX = b"\x08"
_FROZEN_GRAPH = b"\n"  # the first byte of a graph of TensorFlow, as DeePMD freezes it
_OTHER_FILES = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
    (b"BZh", "is compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it first"),
    (b"\x89HDF", "is an HDF5 file: " + SAVE_AGAIN),
    (b"\x93NUMPY", "is a numpy array: " + SAVE_AGAIN),
    (b"version https://git-lfs", "is a Git LFS pointer and not the file itself: run `git lfs pull`"),
    (b"<", "is a web page or XML: download the checkpoint itself"),
    (_ONNX, "looks like an ONNX model: give the checkpoint that it was exported from"),
)


@dataclass(frozen=True)
class Container:
    """What a checkpoint file holds.

    Attributes:
        path: the file.
        content: nested dicts and lists, with tensors, plain values and records of foreign instances at the leaves.
        kind: "torch zip", "torch legacy" or "safetensors".
        checksummed: whether the container carries checksums of its content (and they held).
        sha256: the hash of the file.
        size_bytes: the size of the file.
        config: what stands beside the tensors of a safetensors file: its metadata, and its sidecars.
        not_run: classes and functions that a pickle names beyond those of plain data; none was imported or called.
    """

    path: Path
    content: dict[Any, Any]
    kind: str
    checksummed: bool
    sha256: str
    size_bytes: int
    config: dict[str, Any] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)


def read_container(path: str | Path) -> Container:
    """Read a checkpoint of any container form.

    Raises:
        AssayError: the file is missing, not a checkpoint, damaged or too large.
    """
    path = Path(path)
    data = _read_bytes(path)
    config: dict[str, Any] = {}
    names: list[str] = []
    if data.startswith(b"PK\x03\x04"):
        kind = "torch zip"
        content, names, checksummed = _read_archive(data, path)
    elif data.startswith(_LEGACY_MAGIC):
        kind, checksummed = "torch legacy", False
        content, names = _read_legacy(data, path)
    elif data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data):
        kind = "safetensors"
        content, config, checksummed = _read_safetensors(data, path)
    else:
        raise _not_a_checkpoint(data, path)
    if not isinstance(content, dict):
        what = content.name if isinstance(content, Instance | Name) else type(content).__name__
        what = "list or tuple" if isinstance(content, list) else what
        raise model_of_another_program(path, names, []) or AssayError(
            f"{path} holds a {what} and no weights by name: {SAVE_AGAIN}"
        )
    sha256 = hashlib.sha256(data).hexdigest()
    config |= _read_sidecars(path, sha256)
    return Container(path, content, kind, checksummed, sha256, len(data), config, names)


def _read_sidecars(path: Path, sha256: str) -> dict[str, Any]:
    """Content of each sidecar by its name; a model.json of another model.safetensors does not count."""
    found: dict[str, Any] = {}
    for file in sidecars(path):
        try:
            content = read_json(file)
        except RecursionError:
            raise AssayError(f"{file} is nested too deeply: repair or remove it") from None
        if file.name == "config.json" or (isinstance(content, dict) and content.get("tensors_sha256") == sha256):
            found[file.name] = content
    return found


def _read_bytes(path: Path) -> bytes:
    try:
        status = path.stat()
        _require_one_file(path)
        if stat.S_ISDIR(status.st_mode):
            raise AssayError(f"{path} is a folder: name the checkpoint file in it")
        if not stat.S_ISREG(status.st_mode):
            raise AssayError(f"{path} is not a regular file: name a checkpoint file")
        if status.st_size == 0:
            raise AssayError(f"{path} is empty: copy or save the checkpoint again")
        if status.st_size > MAX_FILE_BYTES:
            size, limit = status.st_size >> 20, MAX_FILE_BYTES >> 20
            raise AssayError(f"{path} has {size} MiB, more than any student ({limit} MiB): {SAVE_AGAIN} alone")
        return path.read_bytes()
    except FileNotFoundError:
        raise AssayError(f"there is no checkpoint {path}: check the path") from None
    except (OSError, ValueError) as error:
        raise AssayError(f"{path} cannot be read ({error}): check its path and permissions") from None


def _require_one_file(path: Path) -> None:
    """Refuse checkpoints in several files: those that torch distributes, whose index is a pickle that torch would run,
    and the shards of Hugging Face.
    """
    is_part = path.name == _OF_TORCH or path.suffix == ".distcp"
    if is_part or (path / _OF_TORCH).is_file():
        raise AssayError(
            f"{path} is {'a part of a' if is_part else 'a'} distributed checkpoint of torch: make one file of "
            f"{'its folder' if is_part else 'it'} with torch.distributed.checkpoint.format_utils.dcp_to_torch_save"
        )
    shard = _SHARD.search(path.name)
    listed = (path.parent.glob(f"*{index}") for index in _INDEX)
    is_shard = shard is not None and int(shard[1]) > 1 and any(map(any, listed))
    if is_shard or path.name.endswith(_INDEX):
        raise AssayError(
            f"{path} {'is one of several' if shard else 'lists the'} shards of a checkpoint: save it as one file, as "
            "by model.save_pretrained(folder, max_shard_size='1GB')"
        )


def _read_archive(data: bytes, path: Path) -> tuple[Any, list[str], bool]:
    """The contents of a zip archive of torch, foreign names in it, and whether it has checksums (and they held)."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            kind = kind_of_archive(entry.filename for entry in entries)
            if kind is not None:
                raise exported_by_others(path, data) or AssayError(
                    f"{path} is a {kind} that Assay exported: give the checkpoint that it was exported from"
                )
            _check_entries(entries, len(data), path)
            checksummed = any(entry.CRC for entry in entries)
            if not checksummed:  # torch.serialization.set_crc32_options(False)
                for entry in entries:
                    entry.CRC = None  # type: ignore[assignment]
            records = {entry.filename: archive.read(entry) for entry in entries}
        [root] = [name.removesuffix("data.pkl") for name in records if re.fullmatch(r"[^/]+/data\.pkl", name)]
        stream = io.BytesIO(records[f"{root}data.pkl"])
        pickle = read_pickle(stream)
        big_endian = records.get(f"{root}byteorder", b"little") == b"big"
        storages = {
            key: storage_from_bytes(_record(records, f"{root}data/{key}"), dtype, count, big_endian)
            for key, (dtype, count) in wanted_storages(pickle.persistent).items()
        }
        return read_contents(pickle, storages), foreign_names(pickle.names), checksummed
    except AssayError:
        raise
    except Exception as error:
        raise _damaged(path, error) from None


def _record(records: dict[str, bytes], name: str) -> bytes:
    if name not in records:
        raise PickleError("a storage that is not there")
    return records[name]


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Refuse archives that torch.save did not write, and those that claim more than they hold."""
    names = [entry.filename for entry in entries]
    if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
        raise AssayError(f"{path} is a TorchScript archive, which is code: {SAVE_AGAIN}")
    if sum(bool(re.fullmatch(r"[^/]+/data\.pkl", name)) for name in names) != 1:
        raise AssayError(f"{path} is a zip archive but not a checkpoint: {SAVE_AGAIN}")
    if len(names) > MAX_RECORDS or len(set(names)) != len(names):
        raise AssayError(f"{path} lists a record twice, or too many of them: {SAVE_AGAIN}")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise AssayError(f"{path} holds compressed records, which torch.save never writes: {SAVE_AGAIN}")
    if sum(entry.file_size for entry in entries) > size:
        raise AssayError(f"{path} claims to hold more bytes than the file has: {SAVE_AGAIN}")
    if any(entry.file_size > MAX_PICKLE_BYTES for entry in entries if entry.filename.endswith("/data.pkl")):
        raise AssayError(f"{path} holds a pickle of more than {MAX_PICKLE_BYTES >> 20} MiB: {SAVE_AGAIN}")


def _read_legacy(data: bytes, path: Path) -> tuple[Any, list[str]]:
    """The contents of a file as torch wrote it before 1.6, and the foreign names in it.

    Five pickles (a magic number, a version, the machine, the content, the keys of the storages) and then the storages,
    each behind its number of elements.
    """
    stream = io.BytesIO(data)
    try:
        read_pickle(stream)
        if read_pickle(stream).root != _LEGACY_VERSION:
            raise PickleError("another version of the format")
        if dict(read_pickle(stream).root.entries).get("little_endian") is not True:
            raise PickleError("bytes in big-endian order")
        pickle, keys = read_pickle(stream), read_pickle(stream).root
        wanted = wanted_storages(pickle.persistent)
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(wanted):
            raise PickleError("other storages than its tensors have")
        storages = {}
        for key in keys:
            dtype, count = wanted[key]
            if int.from_bytes(stream.read(8), "little") != count:
                raise PickleError("a storage of another length")
            storages[key] = storage_from_bytes(stream.read(count * dtype.itemsize), dtype, count)
        if stream.tell() != len(data):
            raise PickleError("bytes are left over at its end")
        return read_contents(pickle, storages), foreign_names(pickle.names)
    except Exception as error:
        raise _damaged(path, error) from None


def content_sha256(tensors: dict[str, torch.Tensor], config: dict[str, Any]) -> str:
    """Hexadecimal SHA-256 of names, dtypes, shapes and bytes, and of the config beside them.

    A normalized model carries it, because safetensors has no checksums of its own.
    """
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read_safetensors(data: bytes, path: Path) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Tensors by name, the file's metadata (values that are JSON read as such), and whether a checksum held.

    Of tensors that share their numbers ``safetensors.torch.save_model`` keeps one, and writes its name into the
    metadata under the name of each other: they are put back.
    """
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except Exception as error:
        raise _damaged(path, error) from None
    metadata: dict[str, Any] = {}
    kept = dict(tensors)
    for key, text in header.get("__metadata__", {}).items():
        if text in kept and key not in kept:
            tensors[key] = kept[text]
            continue
        try:
            metadata[key] = json.loads(text)
        except (ValueError, RecursionError):
            metadata[key] = text
    config = metadata.get("config")
    if not isinstance(config, dict) or CHECKSUM not in config:
        return tensors, metadata, False
    claimed = config.pop(CHECKSUM)
    if claimed != content_sha256(tensors, config):
        raise _damaged(path, ValueError("its checksum does not hold"))
    return tensors, metadata, True


def _damaged(path: Path, error: Exception) -> AssayError:
    reason = " ".join(str(error).partition("\n")[0].split())[:160] or type(error).__name__
    return AssayError(f"{path} is damaged or not a checkpoint ({reason}): copy or save it again")


def _not_a_checkpoint(data: bytes, path: Path) -> AssayError:
    known = onnx_by_others(path, data) if data.startswith(_ONNX) else None
    known = frozen_deepmd(path, data) if data.startswith(_FROZEN_GRAPH) else known
    if known is not None:
        return known
    for start, sentence in _OTHER_FILES:
        if data.startswith(start):
            return AssayError(f"{path} {sentence}")
    with suppress(PickleError):
        names = foreign_names(read_pickle(io.BytesIO(data)).names)
        known = model_of_another_program(path, names, [])
        if known is not None:
            return known
        named = f" (it names {names[0]})" if names else ""
        return AssayError(f"{path} is a bare pickle{named}, which torch.save did not write: {SAVE_AGAIN}")
    return AssayError(f"{path} is no checkpoint that torch.save or safetensors writes: {SAVE_AGAIN}")
