"""Digests of large files are kept, and never those of another file."""

import os

import pytest

from assay.workflow import contents
from assay.workflow.contents import content_sha256
from assay.workflow.files import sha256_file


@pytest.fixture(autouse=True)
def _every_file_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "LARGE_bytes", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_file_is_read_once_until_another_takes_its_place(tmp_path, monkeypatch):
    path, read = tmp_path / "labels.h5", []
    monkeypatch.setattr(contents, "sha256_file", lambda file: read.append(file) or sha256_file(file))
    path.write_text("first")
    assert content_sha256(path) == content_sha256(str(path)) == sha256_file(path)
    assert len(read) == 1
    dates = path.stat()
    path.write_text("other")
    os.utime(path, ns=(dates.st_atime_ns, dates.st_mtime_ns))
    assert content_sha256(path) == sha256_file(path), "the size and the date are those of before"
    (tmp_path / "moved.h5").write_text("third")
    os.utime(tmp_path / "moved.h5", ns=(dates.st_atime_ns, dates.st_mtime_ns))
    (tmp_path / "moved.h5").rename(path)
    assert content_sha256(path) == sha256_file(path)
    assert len(read) == 3


@pytest.mark.parametrize("damage", ["{", "[1]", '{"about": 1}'])
def test_a_damaged_cache_and_one_that_cannot_be_written_are_passed_over(tmp_path, monkeypatch, damage):
    path = tmp_path / "labels.h5"
    path.write_text("first")
    assert content_sha256(path) == sha256_file(path)
    [kept] = (tmp_path / "cache/assay/contents").glob("*.json")
    kept.write_text(damage)
    assert content_sha256(path) == sha256_file(path)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert content_sha256(path) == sha256_file(path)
