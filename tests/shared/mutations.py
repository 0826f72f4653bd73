"""Ways to damage the bytes of a file, each a function of the bytes and a ``random.Random``."""

from __future__ import annotations


def flip_bits(good, rng):
    bad = bytearray(good)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        bad[place(good, rng)] ^= 1 << rng.randrange(8)
    return bad


def set_bytes(good, rng):
    bad = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 8))):
        bad[place(good, rng)] = rng.randrange(256)
    return bad


def truncate(good, rng):
    return good[: place(good, rng)]


def extend(good, rng):
    return good + rng.randbytes(rng.randrange(1, 64))


def cut(good, rng):
    start = place(good, rng)
    return good[:start] + good[start + rng.randrange(1, 64) :]


def insert(good, rng):
    start = place(good, rng)
    return good[:start] + rng.randbytes(rng.randrange(1, 64)) + good[start:]


def overwrite(good, rng):
    """Zeros, or a copy of another stretch of the file."""
    length, start, source = rng.randrange(1, 64), place(good, rng), place(good, rng)
    stretch = good[source : source + length] if rng.random() < 0.5 else bytes(length)
    return (good[:start] + stretch + good[start + len(stretch) :])[: len(good)]


def place(good, rng):
    """A position in the file; every other one near an end, where headers and directories are."""
    if rng.random() < 0.5:
        return rng.randrange(len(good))
    near = rng.randrange(min(len(good), 2000))
    return near if rng.random() < 0.5 else len(good) - 1 - near


MUTATIONS = (flip_bits, flip_bits, flip_bits, set_bytes, truncate, extend, cut, insert, overwrite)
