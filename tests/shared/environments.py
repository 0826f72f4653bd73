"""Environments of their own, for packages that the tests themselves do not need."""

import subprocess
import sys
import sysconfig


def own_interpreter(folder, pins):
    """A Python interpreter with the packages that a file names, and no others they need, beside those of the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [own] = folder.glob("lib/python*/site-packages")
    (own / "shared.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin/python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "-r", pins], check=True)
    return python
