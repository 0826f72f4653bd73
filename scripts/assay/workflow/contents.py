"""Digests of the user's files, which may be large and are asked for at each planning."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from assay.workflow.errors import AssayError
from assay.workflow.files import cache_folder, read_json, sha256_file, write_json

LARGE_bytes = 20_000_000


def content_sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    That of a large file is kept in the folder of the user's caches, and holds while the file has the size, the dates
    and the place on the disk that it had: one that is put in its place changes these, whatever date it keeps.
    """
    found = Path(path).stat()
    if found.st_size < LARGE_bytes:
        return sha256_file(path)
    about = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]
    place = hashlib.sha256(str(Path(path).resolve()).encode()).hexdigest()[:16]
    with suppress(AssayError, OSError, KeyError, TypeError):
        known = read_json(cache_folder("contents") / f"{place}.json")
        if known["about"] == about:
            return str(known["sha256"])
    sha256 = sha256_file(path)
    with suppress(AssayError):
        write_json(cache_folder("contents") / f"{place}.json", {"about": about, "sha256": sha256})
    return sha256
