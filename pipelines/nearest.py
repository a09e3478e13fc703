"""Which workspace is meant where none is named: the recipe's own, the nearest folder upward, those that lie below."""

from __future__ import annotations

import json
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from schemas.errors import CurationError, Finding

MARKER = "workspace.json"
OWN = (
    MARKER, "manifest", "manifest.duckdb", "scores", "decisions", "groups", "datasets", "models", "weak_to_strong",
    "heartbeats", "damaged",
)  # fmt: skip
"""What a workspace keeps, at its top."""
USUAL = "workspace"
"""The folder's name where nothing says another: what a first run makes."""


def default_workspace(recipe: Path | None = None) -> str:
    """The workspace for a command that names none: the key `workspace` of its recipe, else the nearest upward as git
    finds its repository (a folder that is a workspace, or holds one of the usual name), else the usual one here."""
    named = _named_in(recipe) if recipe is not None else None
    if recipe is not None and named is not None and lies_outside(recipe, named):
        _refuse_foreign(recipe, named)
    return named or _upward() or USUAL


def lies_outside(recipe: Path, workspace: str) -> bool:
    """Whether a workspace is elsewhere than below its recipe's folder, links and `..` followed."""
    return "://" in workspace or not Path(workspace).resolve().is_relative_to(recipe.parent.resolve())


def _refuse_foreign(recipe: Path, workspace: str) -> None:
    """Raise C030 where a recipe would put a workspace among files of something else, outside its own folder: recipes
    come from others, too."""
    folder = Path(workspace)
    with suppress(OSError):
        if "://" in workspace or (folder / MARKER).is_file() or not folder.exists():
            return
        if folder.is_dir() and not any(folder.iterdir()):
            return
        message = (
            f"{recipe} names the workspace {folder.resolve()}, which lies outside its folder and holds other things"
        )
        hint = f"if that is meant: -w {shlex.quote(workspace)}; else name another with -w"
        raise CurationError(Finding("C030", message, hint))


def workspaces_below(most: int = 3) -> list[str]:
    """Workspaces one or two folders below the current one, as they can be written after -w."""
    folders: list[str] = []
    with suppress(OSError):
        for pattern in (f"*/{MARKER}", f"*/{USUAL}/{MARKER}"):
            folders += [str(path.parent) for path in Path().glob(pattern) if _is_workspace(path.parent)]
    return sorted(folders)[:most]


def _named_in(recipe: Path) -> str | None:
    """What a recipe or a specification says, whose paths count from its folder; what is wrong with it, others say."""
    from curation.paths import expanded

    try:
        text = recipe.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if f"{USUAL}:" not in text:
        return None
    import yaml

    try:
        value: Any = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    named = value.get(USUAL) if isinstance(value, dict) else None
    if not isinstance(named, str) or not named:
        return None
    return named if "://" in named else str(recipe.parent / expanded(named))


def _upward() -> str | None:
    with suppress(OSError):
        if Path(USUAL, MARKER).exists():
            return USUAL
        for folder in _own_folders():
            for path in (folder, folder / USUAL):
                if _is_workspace(path):
                    return str(path)
    return None


def _own_folders() -> Iterator[Path]:
    """The current folder and those above it, up to one that everybody may write: there anybody could have put one."""
    here = Path.cwd()
    yield here
    for folder in here.parents:
        if folder.stat().st_mode & stat.S_IWOTH:
            return
        yield folder


def _is_workspace(folder: Path) -> bool:
    """Other tools have a `workspace.json` as well."""
    try:
        return "format_version" in json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError, TypeError):
        return False
