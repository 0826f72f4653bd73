"""The machines that a compiled library runs on, read from the library itself."""

from __future__ import annotations

import platform
import re

# Libraries that every machine with a manylinux tag has (PEP 600).
EVERYWHERE = re.compile(r"^(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|ld-linux-[\w-]+)\.so(\.\d+)*$")
# The minor version of glibc 2 whose machines have a version of the C++ library, as auditwheel's policies say.
GLIBC_OF_GLIBCXX = {19: 17, 22: 24, 24: 27, 25: 28, 28: 31, 29: 34, 30: 35, 32: 38, 33: 39}
OLDEST_GLIBC = 17  # manylinux2014


def platform_tag(library: bytes) -> str:
    """The platform tag of a wheel that holds a shared library.

    It is ``manylinux_2_N`` with the N of the newest symbol that the library needs, or ``linux`` where it needs another
    library that not every machine has.

    Args:
        library: the content of the library.
    """
    machine, newest = platform.machine().lower(), OLDEST_GLIBC
    needed = re.findall(rb"\0((?:lib|ld-)[\w+.-]+\.so(?:\.\d+)*)(?=\0)", library)
    if not all(EVERYWHERE.match(name.decode()) for name in needed):
        return f"linux_{machine}"
    newest = max([newest, *(int(minor) for minor in re.findall(rb"\0GLIBC_2\.(\d+)(?:\.\d+)?(?=\0)", library))])
    for version in map(int, re.findall(rb"\0GLIBCXX_3\.4\.(\d+)(?=\0)", library)):
        glibc = next((glibc for known, glibc in GLIBC_OF_GLIBCXX.items() if version <= known), None)
        if glibc is None:
            return f"linux_{machine}"
        newest = max(newest, glibc)
    return f"manylinux_2_{newest}_{machine}"
