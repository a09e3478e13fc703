"""What the layout promises and import-linter cannot see: sentences in packages, no private paths, documented codes,
commands that can be pasted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from curation_engine_start import PACKAGES
from schemas.errors import CODES

ROOT = Path(__file__).resolve().parents[1]
TEXT_SUFFIXES = {"", ".cfg", ".ini", ".json", ".jsonl", ".md", ".py", ".sql", ".toml", ".txt", ".yaml", ".yml"}
OVER_A_WORKSPACE = re.compile(
    r"(?<!by `)(?<!that `)curate "
    r"(run|retry|status|sql|show|explain|what-if|diff|funnel|stats|verify|gc|export|audit"
    r"|models(?! pull| list --available))\b"
)
"""A command to be given, not one that made something."""
# Spelt in two parts, so that this file does not find itself.
PRIVATE = re.compile("/" + r"(work/(main|shared|\.library)|home/(?!curation\b)\w+|Users/\w+|root/\.)")


MADE = {"__pycache__", "node_modules"}
"""Folders that tools fill."""


def project_files() -> list[Path]:
    folders = (*PACKAGES, "tests", "benchmarks", "examples", "docker", "docs", ".ci", ".github")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if MADE.isdisjoint(path.parts)]
    files += [path for path in ROOT.iterdir() if not path.name.startswith(".git")]
    return [path for path in files if path.is_file() and path.suffix in TEXT_SUFFIXES]


def packages() -> list[Path]:
    return sorted({path.parent for layer in PACKAGES for path in (ROOT / layer).rglob("*.py")})


@pytest.mark.parametrize("package", packages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_package_says_what_lives_there(package: Path) -> None:
    init = package / "__init__.py"
    assert init.is_file(), "without it the folder is not installed"
    assert ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))


def test_no_file_names_a_path_of_somebody_s_machine() -> None:
    found = []
    for path in project_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if PRIVATE.search(line):
                found.append(f"{path.relative_to(ROOT).as_posix()}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


def test_every_error_code_is_explained() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    headings = dict(re.findall(r"^### ([CR]\d{3}) (.+)$", text, flags=re.MULTILINE))
    assert headings == CODES


def test_a_command_in_a_message_names_its_workspace() -> None:
    """As it is printed it can be pasted: `schemas.errors.command` makes it."""
    found = []
    for path in (path for layer in PACKAGES for path in (ROOT / layer).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
        helps = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in ("epilog", "help")]
        passed_over = {id(node) for some in (*docs, *helps) for node in ast.walk(some)}
        for node in ast.walk(tree):
            if id(node) in passed_over or not isinstance(node, ast.Constant) or not isinstance(node.value, str):
                continue
            if OVER_A_WORKSPACE.search(node.value):
                found.append(f"{path.relative_to(ROOT).as_posix()}:{node.lineno}: {node.value[:100]}")
    assert not found, "\n".join(found)
