"""A name says what a value is: what CONTRIBUTING.md asks of names, by the syntax trees of all packages."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("schemas", "curation", "workers", "pipelines", "curation_engine")
SAY_NOTHING = {"place", "at", "found", "known", "said", "own", "some", "there", "here", "made", "mine"}
"""Words for whatever a line has at hand."""
LINES = 3
"""For so many lines one may carry such a name: a comprehension, a value that the next line uses up."""


def empty(name: str) -> bool:
    return name.strip("_") in SAY_NOTHING


def names_that_say_nothing(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of locals and arguments that live too long, and of all attributes, functions and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and empty(node.name.lower()):
            yield node.lineno, node.name
        if isinstance(node, ast.ClassDef):
            fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
            yield from ((item.lineno, item.id) for item in fields if isinstance(item, ast.Name) and empty(item.id))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and empty(node.attr):
            yield node.lineno, node.attr
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines: defaultdict[str, list[int]] = defaultdict(list)
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name | ast.arg):
                    lines[inner.id if isinstance(inner, ast.Name) else inner.arg].append(inner.lineno)
            for name, numbers in lines.items():
                if empty(name) and max(numbers) - min(numbers) >= LINES:
                    yield min(numbers), name


def test_a_name_says_what_a_value_is() -> None:
    faults = []
    for path in sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        file = path.relative_to(ROOT).as_posix()
        faults += [f"{file}:{line}: {name}" for line, name in sorted(set(names_that_say_nothing(tree)))]
    assert not faults, "names that do not say what a value is:\n" + "\n".join(faults)


def test_names_are_judged_by_how_long_they_live() -> None:
    short = "def f(rows):\n    found = g(rows)\n    return found\n"
    long = "def f(rows):\n    found = g(rows)\n    a = 1\n    b = 2\n    return found + a + b\n"
    stored = "class A:\n    place: int\n\n    def _known(self):\n        self.said = 1\n"
    assert list(names_that_say_nothing(ast.parse(short))) == []
    assert list(names_that_say_nothing(ast.parse(long))) == [(2, "found")]
    assert [name for _, name in names_that_say_nothing(ast.parse(stored))] == ["place", "_known", "said"]
