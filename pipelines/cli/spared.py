"""Files that no result is written over: what a command reads, inputs of runs, recipes, a workspace's own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.nearest import MARKER, OWN, default_workspace
from schemas.errors import CurationError, Finding

asked: Mapping[str, Any] = {}
"""Arguments and options of the command that is to write, once all of them are read."""


def refuse_spared(output: Path, target: Path, option: str = "output") -> None:
    """Raise C004 where `target`, to which the option's `output` leads, is such a file. Names are compared after links
    and `..` are followed; another hard link of a file is another file, since what is written takes the name's place."""
    if any((folder / MARKER).is_file() and target.relative_to(folder).parts[0] in OWN for folder in target.parents):
        _refuse(option, output, "lies in a workspace", "name a file elsewhere: what lies there is the workspace's own")
    if target.suffix.lower() in (".yaml", ".yml"):
        _refuse(option, output, "is named as recipes are", "name another file")
    if not target.is_file():
        return
    given = {name: value for name, value in asked.items() if name != option}
    for path in _paths(given.values()):
        if _resolved(path) == target:
            _refuse(option, output, "is what this command reads", "name another file")
    named = given.get("workspace")
    for path in (*_inputs_of(given.get("recipe")), *_recorded(named if isinstance(named, str) else "")):
        if _resolved(path) == target:
            _refuse(option, output, f"is an input or a recipe of a run, {path}", "name another file")


def _refuse(option: str, output: Path, why: str, hint: str) -> None:
    raise CurationError(Finding("C004", f"--{option} {output}: {why}", hint))


def _resolved(path: str | Path) -> Path | None:
    try:
        return Path(os.path.expanduser(path)).resolve()
    except (OSError, ValueError, RuntimeError):
        return None


def _paths(values: Iterable[Any]) -> Iterator[str | Path]:
    for value in values:
        if isinstance(value, Path) or (isinstance(value, str) and len(value) < 1000):
            yield value
        elif isinstance(value, list | tuple):
            yield from _paths(value)


def _inputs_of(recipe: Any) -> Iterator[str]:
    """What a recipe that may not have been run reads."""
    if not isinstance(recipe, Path):
        return
    from curation.sources import find
    from curation.store import StoreError, is_url
    from pipelines.planning.inputs import sources_of
    from pipelines.recipe.load import load

    try:
        loaded = load(recipe)
        patterns = [pattern for pattern in sources_of(loaded.recipe.input)[0] if not is_url(pattern)]
        yield from find(patterns, loaded.base).files
    except (CurationError, StoreError, OSError):
        return  # a command that reads it says so


def _recorded(workspace: str) -> Iterator[str]:
    """Inputs and recipes of a workspace's runs."""
    from curation.manifest.parts import Manifest
    from pipelines.workspace import Workspace

    try:
        opened = Workspace(workspace or default_workspace())
        if not opened.exists:
            return
        manifest = Manifest(opened.store)
        seen = manifest.read("seen").column("path").to_pylist()
        runs = manifest.read("runs").column("recipe_path").to_pylist()
    except CurationError:
        return  # as above
    yield from (path for path in dict.fromkeys([*seen, *runs]) if path)
