"""What is given where another thing was meant: data for a recipe, a specification for a recipe, and back."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

from schemas.errors import Finding

_DATA = re.compile(r"(?i)\.(parquet|jsonl|ndjson|csv|tsv)(\.(gz|zst|zstd|bz2|xz))?")
"""Endings that no recipe has; one in JSON is YAML, too."""
USUAL = "recipe.yaml"


def data(path: Path, what: str) -> Finding | None:
    """C001 for data, or a folder, where `what`, a recipe or a specification, is meant."""
    folder = path.is_dir()
    if not folder and not _DATA.fullmatch("".join(path.suffixes[-2:])) and not _DATA.fullmatch(path.suffix):
        return None
    named = shlex.quote(str(path))
    if folder and (path / USUAL).is_file():
        return Finding("C001", f"{path} is a folder, no {what}", f"name the file in it: {path / USUAL}", str(path))
    if what != "recipe":
        hint = f"a {what} is a YAML file, whose input.path names data"
    else:
        hint = f"curate init {named} writes a recipe for it; curate auto {named} --into curated runs that one, too"
    return Finding("C001", f"{path} is {'a folder' if folder else 'data'}, no {what}", hint, str(path))


def specification(value: dict[str, Any], path: str | None) -> Finding | None:
    """C002 for a specification of weak-to-strong where a recipe is meant."""
    if "supervisors" not in value or "stages" in value:
        return None
    named = shlex.quote(path or "SPEC")
    message = "this is a specification of weak-to-strong, no recipe"
    return Finding("C002", message, f"curate weak-to-strong check {named}, or run in place of check", path)


def recipe(value: dict[str, Any], path: str | None) -> Finding | None:
    """C002 for a recipe where a specification is meant."""
    if "stages" not in value or "supervisors" in value:
        return None
    named = shlex.quote(path or "RECIPE")
    message = "this is a recipe, no specification of weak-to-strong"
    return Finding("C002", message, f"curate check {named}, or run in place of check", path)
