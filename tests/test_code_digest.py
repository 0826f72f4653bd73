"""Results of other code are stale: each rule carries a digest of the code that its script runs, and of nothing else."""

import ast
import re
import shutil

import pytest

from assay import runtime
from assay.workflow import code
from shared.workflow_copy import ROOT, STAND_IN, lay_out, snakemake

pytestmark = pytest.mark.slow

SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
READ = code._read  # before a fixture puts another in its place
ROOMS = sorted(path.parent.name for path in (ROOT / "scripts/assay").glob("*/__init__.py"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A copy of all scripts and the library."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(ROOT / "scripts", tmp_path_factory.mktemp("code") / "scripts", ignore=ignored)


@pytest.fixture(scope="module")
def before(library):
    """The digests of all scripts; files are read again when they changed, as a new process would."""
    known = {}

    def read(path, library):
        key = path, path.read_bytes()
        if key not in known:
            known[key] = code._Module(path, library)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code, "_read", read)
        for name in ("_run_by", "_line", "_other_lines"):
            patch.setattr(code, name, getattr(code, name).__wrapped__)
        yield digests(library)


def digests(library):
    return {name: code.code_digest(library / f"{name}.py", library) for name in SCRIPTS}


@pytest.fixture
def stale_after(library, before):
    """Tells the scripts whose digest changes by an edit of a file, which is taken back."""

    def edit(path, change):
        text = (library / path).read_text()
        (library / path).write_text(change(text))
        after = digests(library)
        (library / path).write_text(text)
        return {name for name in SCRIPTS if before[name] != after[name]}

    return edit


def added(text):
    return f"{text}\nNEW = 1\n"


def test_comments_docstrings_and_layout_do_not_count(stale_after):
    source = "assay/workflow/files.py"

    def reworded(text):
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.FunctionDef)) and ast.get_docstring(node):
                node.body[0].value.value = "Other words."
        return "# a comment\n" + ast.unparse(tree)

    assert stale_after(source, reworded) == set()
    assert stale_after("assay/engine/pairs.h", lambda text: "// a // comment\n/* and\n one */ " + text) == set()
    assert len(stale_after(source, added)) > 30


def test_an_edit_reaches_what_runs_it_and_nothing_else(stale_after):
    def reached(path):
        return stale_after(path, added)

    assert reached("assay/report/page.py") == {"report"}
    assert reached("assay/report/templates/style.css") >= {"report"}
    assert reached("adopt.py") == {"adopt"}
    by_accuracy = reached("assay/accuracy/evaluation.py")
    assert "validate" in by_accuracy and not by_accuracy & {
        "normalize",
        "adopt",
        "export",
        "compile",
        "probe",
        "verify",
    }
    by_engine = stale_after("assay/engine/network.h", lambda text: text.replace("+", "-", 1))
    assert {"validate", "benchmark"} <= by_engine and "adopt" not in by_engine
    assert "validate" in reached("assay/predictors/onnx.py")  # imported by a name that stands in a table
    assert "package" in reached("assay/runtime/verlet.py")
    assert "package" in reached("assay/package/files/example.py")  # which lies in no package of Python
    assert "run_engines" in reached("assay/runtime/ipi.py")  # imported by a program that stands in text


def test_imports_for_types_alone_do_not_count():
    text = "if TYPE_CHECKING:\n    import assay.a\nelse:\n    import assay.b\n    if True:\n        import assay.c"
    assert set(code.imports_of(ast.parse(text), ("x.py",))) == {"assay.b", "assay.c"}


def test_no_code_that_runs_imports_what_the_runtime_imports_when_asked():
    """Its digest would not hold the module where that lives."""
    library = ROOT / "scripts"
    found = {(path, name) for path in library.rglob("*.py") for name in code._read(path, library).imports}
    offered = {f"assay.runtime.{name}" for name in (*runtime.__all__, "OnnxStudent")}
    assert any(name.startswith("assay.runtime.") for _, name in found)
    assert {(path.name, name) for path, name in found if name in offered} == set()


def test_what_was_parsed_once_is_known_to_later_processes(library, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(code, "_read", READ)
    parsed = []

    def fresh_digest():
        """The digest of a script, as a new process finds it."""
        for cached in (code._read, code._kept, code._modules, code._run_by, code._line, code._other_lines):
            getattr(cached, "cache_clear", lambda: None)()
        parsed.clear()
        return code.code_digest(library / "adopt.py", library)

    parse = ast.parse
    monkeypatch.setattr(code.ast, "parse", lambda *given: parsed.append(given[1]) or parse(*given))
    first = fresh_digest()
    assert len(parsed) > 3
    assert fresh_digest() == first and parsed == []
    files = library / "assay/workflow/files.py"
    text = files.read_text()
    files.write_text(added(text))
    assert fresh_digest() != first and parsed == [str(files)]
    files.write_text(text)
    [kept] = tmp_path.rglob("*.json")
    kept.write_text("{damaged")
    assert fresh_digest() == first and len(parsed) > 3
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert fresh_digest() == first


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_is_run_by_some_script(room, stale_after):
    stale = stale_after(f"assay/{room}/__init__.py", added)
    assert stale
    if room in {"report", "peers", "package", "sampling", "training", "quantize"}:
        assert not stale & {"normalize", "export", "validate", "verify"}


def test_every_rule_carries_the_digest_of_its_own_script():
    rules = 0
    for file in (ROOT / "rules").glob("*.smk"):
        for body in re.split(r"(?m)^(?:rule|checkpoint) ", file.read_text())[1:]:
            script = re.search(r'"\.\./scripts/(\w+)\.py"', body)
            if script is not None:
                rules += 1
                assert f'code=code_of("{script[1]}"),' in body, f"{file.name}: {body[:40]}"
    assert rules > 30


@pytest.mark.slow
def test_only_what_runs_changed_code_runs_again(tmp_path):
    """Real plans of a finished tree whose scripts do nothing but import what the real ones import."""
    lay_out(tmp_path)
    for path in (tmp_path / "scripts").glob("*.py"):
        imports = [
            ast.unparse(node) for node in ast.parse(path.read_text()).body if "import" in type(node).__name__.lower()
        ]
        path.write_text(STAND_IN + "\nif False:\n" + "".join(f"    {line}\n" for line in [*imports, "pass"]))
    done = snakemake(tmp_path, "-j", "3", "all")
    assert done.returncode == 0, done.stdout

    def planned():
        plan = snakemake(tmp_path, "-n", "--quiet", "rules", "all").stdout
        return set(re.findall(r"^(\w+) +\d+$", plan, re.M)) - {"all", "total"}

    assert planned() == set()
    page = tmp_path / "scripts/assay/report/page.py"
    page.write_text("# a comment\n" + page.read_text())
    assert planned() == set()
    plugin = tmp_path / "scripts/assay/runtime/lammps_plugin.py"
    plugin.write_text(added(plugin.read_text()))
    assert planned() == {"package"}, "which holds it, and imports it nowhere"
    page.write_text(added(page.read_text()))
    assert planned() == {"package", "report"}
    evaluation = tmp_path / "scripts/assay/accuracy/evaluation.py"
    evaluation.write_text(added(evaluation.read_text()))
    assert planned() >= {"validate", "compare_accuracy", "report"}
    assert not planned() & {"normalize", "adopt", "export", "compile", "verify", "probe", "benchmark", "quantize"}
