"""What both demos do in front of the user: lay out their files, run a recipe, say how the command is called here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.render import tell_text

if TYPE_CHECKING:
    from pipelines.running.result import Result
    from pipelines.workspace import Workspace


def say(text: str) -> None:
    """A line of talk, which stdout is not for."""
    tell_text(text)


def lay_out(package: str, names: list[str], folder: Path, changes: Mapping[str, str] | None = None) -> None:
    """Copy files of an installed package, so that users may change them; `changes` are texts for texts."""
    for name in names:
        text = (files(package) / name).read_text(encoding="utf-8")
        for old, new in (changes or {}).items():
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")


def run(workspace: Workspace, recipe: Path) -> Result:
    """Run a recipe on all cores, with progress and the usual last lines."""
    from pipelines.cli.ending import summary
    from pipelines.cli.progress import Progress

    progress = Progress()
    try:
        result = workspace.run(recipe, executor="local", workers=os.cpu_count() or 1, report=progress)
    finally:
        progress.close()
    for line in summary(result, shown(workspace.store.root)):
        say(line)
    return result


def command() -> str:
    """`curate` as it can be pasted into the user's shell, whether or not its environment is active."""
    return str(shown(Path(sys.executable).parent / "curate"))


def shown(path: Path) -> Path:
    """A path as short as it can be from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
