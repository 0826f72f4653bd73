"""The environments say the same thing in each of their forms."""

import importlib.metadata
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ENVS = Path("envs")
BUILD_TOOLS = {"setuptools", "wheel"}  # for compiling torch-cluster, which conda's environments leave out
NAMED_ELSEWHERE = {"tblite"}  # the teacher of config/config.yaml
IMPORTED_BY_OTHERS = {"onnxscript"}  # by torch.onnx


def pins(name):
    """Package -> version specifier of a requirements file and what it includes, without its constraints."""
    found = {}
    for line in (ENVS / name).read_text().splitlines():
        if line.startswith("-r "):
            found |= pins(line.removeprefix("-r "))
        elif line and line[0] not in "#-":
            package, specifier = re.fullmatch(r"([\w-]+)(==\S+)", line).groups()
            found[package.lower()] = specifier
    return found


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_conda_file_holds_the_same_pins(kind):
    environment = yaml.safe_load((ENVS / f"{kind}.yaml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    expected = {package + version for package, version in pins(f"{kind}.txt").items() if package not in BUILD_TOOLS}
    assert set(pip) == expected


@pytest.mark.parametrize("name", ["cpu.txt", "cuda.txt", "dev.txt"])
def test_lock_agrees_with_direct_pins(name):
    lock = pins("lock.txt")
    assert "torch" not in lock
    differing = {
        package
        for package, version in pins(name).items()
        if package != "torch" and lock.get(package, version) != version
    }
    assert differing == set()


def test_every_package_of_the_core_is_imported():
    """A pin that nothing uses costs its installation, and what it brings along may slow every process down."""
    files = [path for room in ("scripts", "rules", "workflow") for path in Path(room).rglob("*") if path.is_file()]
    code = "\n".join(path.read_text() for path in files if path.suffix in (".py", ".smk"))
    names = set(re.findall(r"^\s*(?:import|from) (\w+)", code, re.M))
    owners = importlib.metadata.packages_distributions()
    used = {owner.lower() for name in names for owner in owners.get(name, [])}
    assert set(pins("core.txt")) - used == BUILD_TOOLS | NAMED_ELSEWHERE | IMPORTED_BY_OTHERS


def test_both_environments_differ_in_torch_only():
    cpu, cuda = pins("cpu.txt"), pins("cuda.txt")
    assert {package for package in cpu | cuda if cpu.get(package) != cuda.get(package)} == {"torch"}
    assert cuda["torch"].split(",")[0] == cpu["torch"]


def test_make_refuses_a_path_with_a_space_before_it_installs_anything(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    shutil.copy("Makefile", folder)
    done = subprocess.run(["make", "run"], cwd=folder, capture_output=True, text=True)
    assert done.returncode != 0 and "holds a space" in done.stderr and "move this folder" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["Makefile"]
