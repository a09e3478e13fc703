"""Builds instruction pairs from Python's standard library: what a function is to do, and the function.

Real code with what real data has: functions written twice for two systems, copied ones, docstrings that say nothing.
Files are read and parsed, never imported or executed.
"""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from curation import parquet
from pipelines.corpora.environment import environment_roots

SCHEMA = pa.schema([pa.field(name, pa.string(), nullable=False) for name in ("id", "instruction", "output", "module")])
ASKED = range(60, 400)
"""Bytes of an instruction."""
ANSWERED = range(120, 700)
"""Bytes of an answer: longer ones would cost the language model more than the demo's minutes."""
SHARDS = 4
SHARD = "functions-{:02d}.parquet"
LEFT_OUT = {"__pycache__", "dist-packages", "idle_test", "site-packages", "test", "tests"}
"""Folders: what is not the standard library, and tests, which say little about what they are for."""
GENERATED = re.compile(rb"(?i)generated\s+(by|from|with|using)|auto-?generated|automatically\s+generated")
HEAD = 1000
"""Bytes of a file in which it says that it was generated."""


class Pair(NamedTuple):
    """A function, and what is asked for."""

    id: str
    """File in the standard library, `#`, qualified name; `~2` and so on where a name is defined again."""
    instruction: str
    """Name and arguments, then the docstring's first paragraph on one line."""
    output: str
    """The source without the docstring, which would repeat the question."""
    module: str


@dataclass(frozen=True)
class Facts:
    """What the corpus holds, and what was read to make it."""

    pairs: int
    bytes: int
    """UTF-8 bytes of instructions and answers."""
    modules: int
    files_read: int
    files_skipped: int
    """Not valid UTF-8 or not valid Python."""
    functions: int
    """With a docstring, of any length."""


def build(folder: Path, root: Path | None = None) -> Facts:
    """Writes all pairs of the lengths above into `folder` as SHARDS Parquet files, and replaces those of an earlier
    build.

    The same library gives the same bytes. `root` is the running interpreter's standard library unless given. Raises
    OSError when it cannot write.
    """
    every_pair, read, skipped = _collect(root or environment_roots()["stdlib"])
    fit = [pair for pair in every_pair if _size(pair.instruction) in ASKED and _size(pair.output) in ANSWERED]
    unique = sorted({(pair.instruction, pair.output): pair for pair in reversed(fit)}.values())
    _write(unique, folder)
    return Facts(
        pairs=len(unique),
        bytes=sum(_size(pair.instruction) + _size(pair.output) for pair in unique),
        modules=len({pair.module for pair in unique}),
        files_read=read,
        files_skipped=skipped,
        functions=len(every_pair),
    )


def _size(text: str) -> int:
    return len(text.encode())


def _collect(root: Path) -> tuple[list[Pair], int, int]:
    collected: list[Pair] = []
    read = skipped = 0
    for path in _files(root):
        try:
            code = path.read_bytes()
            if GENERATED.search(code[:HEAD]):
                continue
            collected += list(pairs(code, path.relative_to(root).as_posix()))  # all of a file or nothing
            read += 1
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # UnicodeError is a ValueError
            skipped += 1
    return collected, read, skipped


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - LEFT_OUT)
        for name in sorted(names):
            if name.endswith(".py") and not name.startswith(("test_", "_sysconfigdata")):
                yield Path(folder, name)


def pairs(code: bytes, file: str) -> Iterator[Pair]:
    """The functions of one file that have a docstring and something to do beside, in order.

    Raises SyntaxError, and ValueError for what is not UTF-8.
    """
    text = code.decode().replace("\r\n", "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        tree = ast.parse(text)
    lines = text.split("\n")  # not splitlines(): to Python a form feed ends no line
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    seen: dict[str, int] = {}
    for names, function in _functions(tree, ()):
        name = ".".join(names)
        seen[name] = seen.get(name, 0) + 1  # a property and its setter, or two branches of an `if`, share a name
        source = _source(function, lines)
        paragraph = " ".join((ast.get_docstring(function) or "").partition("\n\n")[0].split())
        paragraph.encode()  # raises on a lone surrogate, which Parquet cannot hold
        if source and paragraph:
            unique = name if seen[name] == 1 else f"{name}~{seen[name]}"
            yield Pair(f"{file}#{unique}", f"{_request(names, function)}\n\n{paragraph}", source, module)


Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Function]]:
    if isinstance(node, ast.ClassDef | Function):
        names = (*names, node.name)
        if isinstance(node, Function):
            yield names, node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):  # expressions hold no definitions
            yield from _functions(child, names)


def _request(names: tuple[str, ...], function: Function) -> str:
    """The first line of an instruction."""
    keyword = "async def" if isinstance(function, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    place = f" in `{'.'.join(names[:-1])}`" if names[:-1] else ""
    return f"Write the Python function `{keyword} {names[-1]}({ast.unparse(function.args)}){returns}`{place}."


def _source(function: Function, lines: list[str]) -> str:
    """The function's lines with decorators and without docstring or indentation; "" where nothing else is in it."""
    docstring, *body = function.body
    before, after = lines[docstring.lineno - 1], docstring.end_lineno or docstring.lineno
    if not body or body[0].lineno <= after or before.lstrip()[:1] not in set("\"'rRuU"):
        return ""
    first = min([function.lineno, *(item.lineno for item in function.decorator_list)])
    rest = lines[after : function.end_lineno]
    while rest and not rest[0].strip():
        rest.pop(0)
    indentation = " " * function.col_offset
    own = [line.removeprefix(indentation) for line in (*lines[first - 1 : docstring.lineno - 1], *rest)]
    return "\n".join(own)


def _write(pairs: list[Pair], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([pair._asdict() for pair in pairs], schema=SCHEMA)
    for number in range(SHARDS):
        start, stop = (len(pairs) * place // SHARDS for place in (number, number + 1))
        temporary = folder / f".{SHARD.format(number)}.tmp"
        parquet.write(table.slice(start, stop - start), temporary)
        temporary.replace(folder / SHARD.format(number))
