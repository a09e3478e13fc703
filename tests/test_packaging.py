"""What is installed: the public names, the files of the wheel, what is declared; and that nothing takes our names."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import curation_engine
from curation_engine_start import PACKAGES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
GIVEN = PACKAGES[:4]
"""Names of ours that others may have."""


def python(*arguments: str, cwd: Path, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Python in a folder of somebody else's, with the engine installed in `path`."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)


# --- the public names ------------------------------------------------------------------------------------------------


def test_the_public_names_are_there_for_python_and_for_type_checkers() -> None:
    checked = {}
    for node in ast.walk(ast.parse(Path(curation_engine.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                assert isinstance(statement, ast.ImportFrom)
                checked.update({a.asname or a.name: f"{statement.module}:{a.name}" for a in statement.names})
    assert checked == curation_engine._HOMES
    assert sorted(checked) == sorted(curation_engine.__all__) == sorted(dir(curation_engine))
    for name in curation_engine.__all__:
        found = getattr(curation_engine, name)
        assert found is getattr(curation_engine, name)
    assert {
        "Workspace",
        "Scorer",
        "Transform",
        "Settings",
        "Context",
        "Contract",
        "Dedup",
        "Selection",
    } <= checked.keys()
    assert curation_engine.Workspace.__name__ == "Workspace"
    with pytest.raises(ImportError, match="cannot import name 'Wrokspace'"):
        exec("from curation_engine import Wrokspace")


def test_importing_the_public_names_imports_nothing_else(tmp_path: Path) -> None:
    code = "import sys; import curation_engine; print(*{name.partition('.')[0] for name in sys.modules})"
    done = python("-c", code, cwd=tmp_path)
    assert not {*GIVEN, "pyarrow", "numpy", "pydantic", "ray", "torch"} & set(done.stdout.split()), done.stderr


# --- whose packages they are -----------------------------------------------------------------------------------------


def hide(folder: Path, name: str, package: bool) -> Path:
    """Something of somebody else's by the name of a package of ours."""
    file = folder / name / "__init__.py" if package else folder / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("NAMES = []\n")
    (file.parent / "py.typed").write_text("")
    return file.parent if package else file


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        *((name, "from curation_engine import Workspace") for name in GIVEN),
        *((name, "import curation_engine") for name in GIVEN),
        *((name, "from pipelines import Workspace") for name in GIVEN[:3]),
        *((name, "import workers") for name in GIVEN[:2]),
        ("schemas", "from curation.scorers.base import Scorer"),
    ],
)
def test_a_name_that_another_has_taken_is_one_sentence(name: str, imported: str, tmp_path: Path) -> None:
    package = imported != "import curation_engine"
    other = hide(tmp_path, name, package)
    script = tmp_path / "script.py"
    script.write_text(f"{imported}\n")
    done = python(str(script), cwd=tmp_path.parent)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"curation_engine_start.HiddenError: C047: {other} hides ")
    assert f"package '{name}'" in last
    assert last.count(". ") == 0


def test_what_lies_beside_is_nobody_s_business_where_python_does_not_look(tmp_path: Path) -> None:
    for name in GIVEN:
        hide(tmp_path, name, package=True)
    script = tmp_path / "script.py"
    script.write_text("from curation_engine import Scorer, Workspace\n")
    done = python("-P", str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_one_that_was_imported_before_is_found_too(tmp_path: Path) -> None:
    hide(tmp_path, "schemas", package=True)
    code = "import sys, schemas; sys.path.remove(''); import curation_engine"
    done = python("-c", code, cwd=tmp_path)
    assert f"C047: {tmp_path / 'schemas'} hides" in done.stderr
    done = python(
        "-c",
        "import sys, types; sys.modules['schemas'] = types.ModuleType('schemas'); import curation_engine",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr  # nobody's file: it fails where something is missing


def test_the_command_says_it_without_a_traceback(tmp_path: Path) -> None:
    other = hide(tmp_path, "schemas", package=True)
    code = "import sys; from curation_engine_start import main; sys.argv = ['curate', '--help']; main()"
    paths = Path(f"{tmp_path}{os.pathsep}{ROOT}")
    done = python("-P", "-c", code, cwd=tmp_path, path=paths)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error[C047]: {other} hides ")
    shutil.rmtree(other)
    assert "Usage: " in python("-P", "-c", code, cwd=tmp_path, path=paths).stdout


# --- what is declared ------------------------------------------------------------------------------------------------


def imports() -> Iterator[tuple[str, Path]]:
    """Top-level names that the engine's files import, wherever in the file."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names = [node.module]
                yield from ((name.partition(".")[0], file) for name in names)


def test_whatever_is_imported_is_declared() -> None:
    texts = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["s3"]]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    with_s3 = {"aiobotocore", "botocore"}  # of s3fs's own, imported only where it is
    of_notebooks = {"IPython"}  # imported only where it is already
    owners = packages_distributions()
    missing = {
        (name, file.relative_to(ROOT).as_posix())
        for name, file in imports()
        if name not in sys.stdlib_module_names and name not in (*PACKAGES, *with_s3, *of_notebooks)
        if not declared & {canonicalize_name(owner) for owner in owners.get(name, [])}
    }
    assert not missing


def test_a_dependency_is_a_range_from_what_was_tested_to_the_next_major() -> None:
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["s3"]):
        bounds = {bound.operator: bound.version for bound in Requirement(text).specifier}
        assert set(bounds) == {">=", "<"}, text
    assert Requirement(PROJECT["dependencies"][0]).name == "torch"


# --- the wheel -------------------------------------------------------------------------------------------------------


def shipped() -> set[str]:
    """What the wheel has to hold of the packages' folders: code, tables, views, recipes, what marks them typed, and
    what the pages' sources are built into."""
    endings = (".py", ".sql", ".npz", ".tsv", ".yaml", ".jsonl", ".typed")
    every_file = [
        file for package in PACKAGES for file in (ROOT / package).rglob("*") if "node_modules" not in file.parts
    ]
    files = [file for file in every_file if file.suffix in endings or file.parent.name == "assets"]
    return {file.relative_to(ROOT).as_posix() for file in files} | {"schemas/errors.md"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built, with what is installed here, from a tree in which earlier builds and runs have left their things."""
    tree = tmp_path_factory.mktemp("tree")
    (tree / "docs").mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "docs/errors.md", *PACKAGES):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copyfile(source, tree / name)
    stale = (
        "build/lib/pipelines/stale.py",
        "build/lib/removed/__init__.py",
        "build/lib/schemas/views/stale.sql",
        "build/bdist.linux-x86_64/wheel/pipelines/stale.py",
        "curation_engine.egg-info/SOURCES.txt",
        "demo/workspace/workspace.json",
        "demo/__init__.py",
        "pipelines/__pycache__/stale.cpython-311.pyc",
        "pipelines/recipes/mine.yaml~",
        "curation/text/notes.txt",
        "tests/__init__.py",
    )
    for name in stale:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    (tree / "curation_engine.egg-info/SOURCES.txt").write_text(
        "curation/text/notes.txt\npipelines/recipes/mine.yaml~\n"
    )
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*command, "-w", "dist", "."], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [built] = (tree / "dist").iterdir()
    return built


def test_the_wheel_holds_what_belongs_to_it_and_nothing_that_lay_about(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        entry_points = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
        assert archive.read("schemas/errors.md") == (ROOT / "docs" / "errors.md").read_bytes()
    assert names == shipped()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert re.search(r"^curate = curation_engine_start:main$", entry_points, re.MULTILINE)


def test_beside_a_project_with_schemas_of_its_own_the_wheel_says_so(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    project = tmp_path / "project"
    other = hide(project, "schemas", package=True)
    script = project / "notebook.py"
    script.write_text("from curation_engine import Workspace\nprint(Workspace.__module__)\n")
    done = python(str(script), cwd=project, path=tmp_path / "site")
    assert done.stderr.splitlines()[-1].startswith(f"curation_engine_start.HiddenError: C047: {other} hides ")
    other.rename(project / "my_schemas")
    done = python(str(script), cwd=project, path=tmp_path / "site")
    assert done.stdout == "pipelines.workspace\n", done.stderr
