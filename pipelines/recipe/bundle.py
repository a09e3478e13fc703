"""What travels with a recipe to a cluster: files that its stages name, this engine, and scorers of the user's own."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from curation.registry import BUILTIN, GROUPS
from curation_engine_start import PACKAGES
from pipelines.recipe.companions import Companion, companions, is_hidden
from pipelines.recipe.document import read_text
from pipelines.recipe.load import Loaded, parse
from schemas.errors import CurationError, Finding

LIMIT = 100_000_000
"""Bytes of a bundle: it goes through the head's memory to every node."""
ENGINE_FILES = (".py", ".typed", ".sql", ".tsv", ".npz", ".yaml", ".jsonl")
CODE_FILES = (".py", ".so")
"""Of somebody's own package; other files only where its project declares them as its data."""
FILES = "recipe-files"
"""Folder of the recipe and its companions; not a module's name, so that it hides none."""


@dataclass(frozen=True)
class Sent:
    """One file of a bundle, or all of one of the engine's packages."""

    path: str
    """In the bundle."""
    bytes: int
    what: str
    """Why it is sent."""


@dataclass(frozen=True)
class Bundle:
    folder: Path
    recipe: str
    """The recipe's path in `folder`."""
    companions: tuple[str, ...]
    """Files and folders that stages name, as they are written in the recipe."""
    code: tuple[str, ...]
    """Top-level modules of the user's own."""
    files: tuple[Sent, ...]
    """All that is sent."""

    @property
    def modules(self) -> tuple[Path, ...]:
        """The engine's packages, apart from `folder`: they stay the same from one recipe to the next, and so does the
        place where nodes unpack them, which is part of the names under which kernels are cached."""
        return tuple(self.folder.parent / "engine" / name for name in PACKAGES)

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


def make(loaded: Loaded, into: Path, code: tuple[str, ...]) -> Bundle:
    """Put what a recipe's file and its stages need into the folder `into`; `code` is what `take_code` has put there.

    Raises C046 where it is too much to send, or cannot be read, and C062 for what is never sent.
    """
    assert loaded.path is not None
    try:
        return pack(loaded.path, loaded.base, companions(loaded), into, code)
    except OSError as failure:
        raise CurationError(Finding("C046", f"what the recipe names cannot be read: {failure}")) from failure


def pack(path: Path, base: Path, needed: Sequence[Companion], into: Path, code: tuple[str, ...]) -> Bundle:
    """A bundle of the file `path`, what it needs beside it, and the engine. Raises C046 for too much, and OSError."""
    folder = into / "bundle"
    recipe_files = [Sent(str(file.relative_to(folder)), _size(file), "--code") for file in _files(folder)]
    # folders above the recipe's travel as far as a companion lies there, so that `../lists/a.txt` stays where it is
    places = [base, *(Path(os.path.normpath(base / item.path.parent)) for item in needed)]
    root = Path(os.path.commonpath(places))
    beside = folder / FILES / base.relative_to(root)
    recipe = beside / path.name

    def sent(file: Path, size: int, what: str) -> Sent:
        return Sent(os.path.relpath(file, folder), size, what)

    stages = [sent(beside / item.path, item.bytes, item.what) for item in needed]
    recipe_files.append(sent(recipe, _size(path), "recipe"))
    engine = []
    for name in PACKAGES:
        package = Path(import_module(name).__path__[0])
        sources = [file for file in _files(package) if file.suffix in ENGINE_FILES]
        engine.append(Sent(f"{name}/", sum(map(_size, sources)), "the engine"))
        for file in sources:
            _copy(file, into / "engine" / name / file.relative_to(package))
    _check_size([*stages, *recipe_files, *engine])
    _copy(path, recipe)
    for item in needed:
        _copy(item.file, Path(os.path.normpath(beside / item.path)))
    named = tuple(dict.fromkeys(item.what.removeprefix("path:") for item in needed))
    return Bundle(folder, str(recipe.relative_to(folder)), named, code, (*recipe_files, *stages, *engine))


def _check_size(files: list[Sent]) -> None:
    sizes: dict[str, int] = {}
    for file in files:
        sizes[file.what] = sizes.get(file.what, 0) + file.bytes
    size, most = sum(sizes.values()), max(sizes.items(), key=lambda item: item[1])
    if size > LIMIT:
        message = f"{size / 1e6:,.0f} MB would have to be sent, and {LIMIT / 1e6:,.0f} MB may"
        raise CurationError(
            Finding(
                "C046",
                f"{message}: {most[0].removeprefix('path:')} alone has {most[1] / 1e6:,.0f} MB",
                "put it where all nodes see it and name it by its absolute path, or as package: or hub:",
            )
        )


def unpacked(recipe: Path, sent_from: Path) -> Loaded:
    """A recipe that travelled: its companions lie beside it, its inputs count from the folder that it was sent from."""
    return replace(parse(read_text(recipe, "recipe"), recipe.parent, sent_from), home=sent_from.parent)


# --- scorers of the user's own -----------------------------------------------------------------------------------


def take_code(path: Path, into: Path) -> tuple[str, ...]:
    """Copy modules into the bundle of `into`, with a `.dist-info` that names their entry points: Python looks for
    those in every folder of its path. Returns the modules' names.

    `path` is a project (with pyproject.toml, modules in it or in its src/), one package or module of such a project,
    or a folder of modules with a `.dist-info` of their own. Raises C046 where no entry point is found.
    """
    folder = into / "bundle"
    folder.mkdir(parents=True, exist_ok=True)
    path = path.resolve()
    if not path.exists():
        raise CurationError(Finding("C046", f"--code {path}: there is no such file or folder"))
    installed = sorted(path.glob("*.dist-info/entry_points.txt")) if path.is_dir() else []
    project = next((place for place in (path, *path.parents[:2]) if (place / "pyproject.toml").is_file()), None)
    if installed:
        points = _declared(installed)
        sources = [child for child in sorted(path.iterdir()) if _importable(child)]
        data = _recorded(installed)
        for file in installed:
            for name in ("METADATA", "entry_points.txt"):
                if (file.parent / name).is_file():
                    _copy(file.parent / name, folder / file.parent.name / name)
    elif project is not None:
        points, name, version, data = _project(project / "pyproject.toml")
        sources = [path]
        if project == path:
            root = path / "src" if (path / "src").is_dir() else path
            sources = [child for child in sorted(root.iterdir()) if _importable(child)]
        else:
            name = path.stem
            points = {group: {p: t for p, t in named.items() if _module(t) == name} for group, named in points.items()}
        _write_info(folder / f"{name}-{version}.dist-info", points)
    else:
        points, sources, data = {}, [], ()
    sources = [source for source in sources if source.resolve().is_relative_to(path)]
    if not any(points.values()):
        raise CurationError(
            Finding(
                "C046",
                f"--code {path} registers no stage",
                'name it in pyproject.toml: [project.entry-points."curation.scorers"] and below it '
                'my-scorer = "my_module:MyScorer"',
            )
        )
    modules = tuple(source.stem for source in sources)
    _refuse_hiding(path, modules, points)
    for source in sources:
        for file in _files(source):
            inside = Path(source.name) / file.relative_to(source) if source.is_dir() else Path(source.name)
            if file.suffix in CODE_FILES or any(inside.match(pattern) for pattern in data):
                _copy(file, folder / inside)
    for point, target in sorted((p, t) for named in points.values() for p, t in named.items()):
        if _module(target) not in modules:
            message = f"--code {path}: entry point {point} names the module '{_module(target)}', which is not there"
            raise CurationError(Finding("C046", message, f"modules there: {', '.join(modules) or 'none'}"))
    return modules


def _refuse_hiding(path: Path, modules: tuple[str, ...], points: dict[str, dict[str, str]]) -> None:
    """Raise C055 for what would stand before the engine, Python or an installed package: the bundle is first on the
    job's path, and on this process's while it checks the recipe."""
    findings = []
    for name in modules:
        owner = _owner(name)
        if owner is not None:
            message = f"--code {path}: the module '{name}' would hide {owner}"
            findings.append(Finding("C055", message, "give it another name, or put it into a package of its own"))
    for group, named in sorted(points.items()):
        family = next(family for family, own in GROUPS.items() if own == group)
        findings += [
            Finding("C055", f"--code {path}: the engine has a {family} '{point}' itself", "register it by another name")
            for point in sorted(named)
            if point in BUILTIN[family]
        ]
    if findings:
        raise CurationError(*findings)


def _owner(name: str) -> str | None:
    """Whose a top-level module's name is, where it is taken: the engine's, Python's, or a package's that it needs."""
    if name in (*PACKAGES, FILES):
        return "the engine's own"
    if name in sys.stdlib_module_names or name in ("sitecustomize", "usercustomize"):
        return "Python's own"
    needed = _needed()
    for owner in metadata.packages_distributions().get(name, ()):
        if re.sub(r"[-_.]+", "-", owner).lower() in needed:
            return f"that of {owner}, which the engine needs"
    return None


def _needed() -> set[str]:
    """Distributions that the engine needs, and those that they need, by the names that an index compares."""
    distributions: set[str] = set()
    waiting = ["curation-engine"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in distributions:
            continue
        distributions.add(name)
        with suppress(metadata.PackageNotFoundError):
            waiting += [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in metadata.requires(name) or ()]
    return distributions


def _module(target: str) -> str:
    """Top-level module of an entry point such as `package.module:Class`."""
    return re.split(r"[.:]", target)[0].strip()


def _importable(path: Path) -> bool:
    if path.is_dir():
        return (path / "__init__.py").is_file() and path.name != "tests"
    return path.suffix == ".py" and path.name not in ("setup.py", "conftest.py")


def _project(file: Path) -> tuple[dict[str, dict[str, str]], str, str, tuple[str, ...]]:
    """Of a pyproject.toml: entry points of our groups, the project's name as a `.dist-info` has it, version, and
    patterns of its data files, as setuptools' `package-data` has them."""
    with _readable(file):
        written = tomllib.loads(file.read_text(encoding="utf-8"))
        project = _table(written, "project")
        declared = _table(written, "tool", "setuptools", "package-data")
        if not all(isinstance(p, list) and all(isinstance(item, str) for item in p) for p in declared.values()):
            raise ValueError("tool.setuptools.package-data has what is no list of texts")
        points = {group: _table(project, "entry-points", group) for group in GROUPS.values()}
        if not all(isinstance(target, str) for named in points.values() for target in named.values()):
            raise ValueError("an entry point's target is no text")
    data = tuple(
        f"{package.replace('.', '/')}/{pattern}" if package else pattern
        for package, patterns in declared.items()
        for pattern in patterns
        if pattern
    )
    name = re.sub(r"[^A-Za-z0-9]+", "_", str(project.get("name", "code")))
    version = re.sub(r"[^\w.+!]+", "_", str(project.get("version", "0")))
    return {group: named for group, named in points.items() if named}, name, version, data


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Around the reading of what a project says of itself: C046 where it is not what it should be."""
    try:
        yield
    except (OSError, ValueError, ConfigError) as failure:
        message = " ".join(str(failure).split())
        raise CurationError(Finding("C046", f"{file} cannot be read: {message}")) from failure


def _table(written: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A table within another; empty where there is none. Raises ValueError for what is no table."""
    for depth, key in enumerate(keys):
        written = written.get(key, {})
        if not isinstance(written, dict):
            raise ValueError(f"{'.'.join(keys[: depth + 1])} is no table")
    return written


def _recorded(files: list[Path]) -> tuple[str, ...]:
    """What distributions say that they have installed."""
    lines: list[str] = []
    for record in (file.with_name("RECORD") for file in files):
        if record.is_file():
            with _readable(record):
                lines += record.read_text("utf-8").splitlines()
    return tuple(name for line in lines if (name := line.split(",")[0]))


def _declared(files: list[Path]) -> dict[str, dict[str, str]]:
    points: dict[str, dict[str, str]] = {}
    for file in files:
        parser = ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        with _readable(file):
            parser.read_string(file.read_text(encoding="utf-8"))
        for group in GROUPS.values():
            if parser.has_section(group):
                points.setdefault(group, {}).update(parser.items(group))
    return points


def _write_info(info: Path, points: dict[str, dict[str, str]]) -> None:
    info.mkdir(exist_ok=True)
    name, _, version = info.stem.rpartition("-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [
        line
        for group, named in points.items()
        for line in (f"[{group}]", *(f"{point} = {target}" for point, target in named.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _files(path: Path) -> list[Path]:
    """A file, or those of a folder, but for hidden ones, tests, and what a link leads to that lies elsewhere."""
    if path.is_file():
        return [path]
    root = path.resolve()
    return [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file()
        and not is_hidden(inside := file.relative_to(path))
        and not {"__pycache__", "tests"} & set(inside.parts)
        and file.resolve().is_relative_to(root)
    ]


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)


def _size(path: Path) -> int:
    return path.stat().st_size
