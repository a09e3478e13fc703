"""Documents that a Python environment already holds. Files are read and parsed, never imported or executed.

Only the standard library is imported here: every worker process loads this module before it can start.
"""

from __future__ import annotations

import ast
import gc
import hashlib
import multiprocessing
import os
import re
import sysconfig
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

Kind = Literal["docstring", "readme", "licence", "docs"]

CHUNK_FILES = 32
"""Files that a worker process parses at a time: some 0.2 s of work, so that stopping early wastes little."""
LICENCE = re.compile(r"(licen[cs]e|copying|notice)", re.IGNORECASE)
WRAPPED = 60
"""Characters from which a line counts as broken by its author's editor, not by meaning."""
BLOCK = re.compile(r"[-*+•|=~^#>.:@\\]|\d+[.)]")
"""How a line begins that starts something of its own: a list item, a table, a heading's rule, a directive, a prompt."""
METADATA = re.compile(r"(?P<package>.+?)-[^-]+\.dist-info/METADATA")


class Document(NamedTuple):
    """One text and where it came from."""

    id: str
    """Unique and stable for one environment: the source, for a docstring with `#` and the qualified name."""
    text: str
    """As written, but without indentation that all lines share, and a paragraph on one line. May be empty."""
    source: str
    """Path of its file, `/`-separated, beginning with the name of its root."""
    package: str
    kind: Kind


class Harvest(NamedTuple):
    """What some files gave."""

    documents: list[Document]
    read: int
    skipped: int
    """Files that are not valid UTF-8 or not valid Python."""


class _File(NamedTuple):
    path: Path
    source: str
    kind: Kind


def environment_roots() -> dict[str, Path]:
    """The running interpreter's library folders, by the name that sources begin with."""
    paths = sysconfig.get_paths()
    return {"site-packages": Path(paths["purelib"]), "stdlib": Path(paths["stdlib"])}


def harvest(roots: Mapping[str, Path]) -> Iterator[Harvest]:
    """Yields what is found, texts that are whole files first, then docstrings, both in the order of a hash.

    The order is the same whenever the environment is, so whoever stops early has a fair and repeatable sample.
    """
    files = [file for name, root in roots.items() for file in _files(name, root)]
    files.sort(key=lambda file: hashlib.blake2b(file.source.encode(), digest_size=8).digest())
    for file in files:
        if file.kind != "docstring":
            yield _read(file)
    yield from _parse_all([file for file in files if file.kind == "docstring"])


def _files(name: str, root: Path) -> Iterator[_File]:
    for folder, folders, names in os.walk(root):
        # A standard library's folder holds its interpreter's site-packages, which is a root of its own or nobody's.
        folders[:] = [each for each in folders if each not in ("__pycache__", "site-packages")]
        for each in names:
            path = Path(folder, each)
            relative = path.relative_to(root).as_posix()
            kind = _kind(relative)
            if kind is not None and _encodable(relative):
                yield _File(path, f"{name}/{relative}", kind)


def _kind(relative: str) -> Kind | None:
    base = relative.rpartition("/")[2]
    suffix = base.rpartition(".")[2].lower() if "." in base else ""
    if suffix == "py":
        return "docstring"
    if METADATA.fullmatch(relative):
        return "readme"
    if LICENCE.match(base) and suffix not in ("pyi", "pyc", "json"):
        return "licence"
    return "docs" if suffix in ("md", "rst") else None


def _read(file: _File) -> Harvest:
    """A file that is one document as it stands. A package's description is what follows METADATA's headers."""
    try:
        text = file.path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return Harvest([], 0, 1)
    if file.kind == "readme":
        text = text.replace("\r\n", "\n").partition("\n\n")[2]
        if not text:
            return Harvest([], 1, 0)
    return Harvest([Document(file.source, unwrap(text), file.source, _package(file.source), file.kind)], 1, 0)


def _parse_all(files: list[_File]) -> Iterator[Harvest]:
    """Parses in processes, few chunks ahead of the reader, and yields in the order given."""
    chunks = [files[start : start + CHUNK_FILES] for start in range(0, len(files), CHUNK_FILES)]
    workers = min(4, os.cpu_count() or 1, len(chunks))
    if workers == 0:
        return
    # Spawned, because the caller may have threads (torch, Arrow), and a fork in the middle of their locks can hang.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=gc.freeze) as pool:
        ahead: deque[Future[Harvest]] = deque()
        try:
            for chunk in chunks:
                ahead.append(pool.submit(_parse, chunk))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _parse(files: list[_File]) -> Harvest:
    documents: list[Document] = []
    skipped = 0
    for file in files:
        try:
            documents += _docstrings(file)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # UnicodeError is a ValueError
            skipped += 1
    return Harvest(documents, len(files) - skipped, skipped)


def _docstrings(file: _File) -> list[Document]:
    """All docstrings of one Python file, an empty one too if somebody wrote it."""
    code = file.path.read_bytes()
    gc.disable()  # a tree is hundreds of thousands of objects, none of them garbage until it goes: a third of the time
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's strings
            tree = ast.parse(code)
        docstrings = list(_walk(tree, ""))
    finally:
        gc.enable()
    package = _package(file.source)
    seen: dict[str, int] = {}
    documents = []
    for name, text in docstrings:
        text.encode()  # raises on a lone surrogate, which Parquet cannot hold
        seen[name] = seen.get(name, 0) + 1  # a property and its setter, or two branches of an `if`, share a name
        unique = name if seen[name] == 1 else f"{name}~{seen[name]}"
        documents.append(Document(f"{file.source}#{unique}", unwrap(text), file.source, package, "docstring"))
    return documents


def _walk(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        if not isinstance(node, ast.Module):
            name = f"{name}.{node.name}" if name else node.name
        text = ast.get_docstring(node)
        if text is not None:
            yield name, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):  # expressions hold no definitions
            yield from _walk(child, name)


def unwrap(text: str) -> str:
    """Joins the lines of hard-wrapped paragraphs.

    Quality rules were made for web pages, where a line is a paragraph: on source code's 79 columns, a rule such as
    "drop lines that do not end in a full stop" would leave the last line of each paragraph.
    """
    lines: list[str] = []
    previous = ""
    for line in text.splitlines():
        stripped = line.lstrip()
        indentation = len(line) - len(stripped)
        continues = (
            len(previous) >= WRAPPED
            and stripped != ""
            and indentation == len(previous) - len(previous.lstrip())
            and not BLOCK.match(stripped)
        )
        if continues:
            lines[-1] = f"{lines[-1].rstrip()} {stripped}"
        else:
            lines.append(line)
        previous = line
    return "\n".join(lines)


def _package(source: str) -> str:
    """The distribution of a METADATA folder, else the top-level package; `python` for the standard library."""
    root, _, relative = source.partition("/")
    if root == "stdlib":
        return "python"
    top = relative.partition("/")[0]
    if top.endswith(".dist-info"):
        top = top.removesuffix(".dist-info").rpartition("-")[0]
    return top.removesuffix(".py").lower()


def _encodable(name: str) -> bool:
    """Whether a path is valid UTF-8: a file system may hold names that are not."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
