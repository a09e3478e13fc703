"""Which files of this machine a recipe's stages need: those that a stage asks its context for, and folders of models.

A string that happens to name a file is none of them, nor is a hidden file, nor one to which a link leads out of what is
sent: what travels is shown to everybody who may use the cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from curation.models.locate import COMPANIONS, WEIGHTS, is_fasttext
from curation.scorers.base import Scorer
from pipelines.recipe.load import Loaded
from schemas.errors import CurationError, Finding

CARD = "README.md"
"""Says under which licence a model's weights are."""


@dataclass(frozen=True)
class Companion:
    """One file that travels with a recipe."""

    path: Path
    """Where it counts as lying, relative to the recipe's folder; may begin with `..`."""
    file: Path
    """Where its bytes are."""
    what: str
    """The setting's value that names it."""

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size


def companions(loaded: Loaded) -> list[Companion]:
    """Files that settings name relative to the recipe, in the order of the stages, each once.

    Raises C062 for a hidden file, and for a link that leads out of a model's folder.
    """
    by_path: dict[Path, Companion] = {}
    for place, stage in enumerate(loaded.recipe.stages):
        asked = _asked(loaded.stages[place])
        for value in _texts(stage.settings):
            name = value.removeprefix("path:")
            if not name or os.path.isabs(name) or name.startswith("~"):
                continue
            located = loaded.base / name
            if value != name and located.is_dir():
                items = list(_model(Path(os.path.normpath(name)), located, value, stage.id))
            elif value in asked and located.is_file():
                items = [_file(Path(os.path.normpath(name)), located, value, stage.id, loaded.base)]
            else:
                continue
            for item in items:
                by_path.setdefault(item.path, item)
    return list(by_path.values())


def unasked(loaded: Loaded) -> list[str]:
    """Settings that are the name of a file beside the recipe, for which no stage asks: those stay here."""
    notices = []
    for place, stage in enumerate(loaded.recipe.stages):
        asked = _asked(loaded.stages[place])
        for value in _texts(stage.settings):
            with suppress(OSError, ValueError):
                if value not in asked and not os.path.isabs(value) and (loaded.base / value).is_file():
                    notices.append(f"stage '{stage.id}': {value}")
    return notices


def _asked(stage: Any) -> set[str]:
    """Names of files that a stage, or a scorer inside it, has asked its context for so far, as the recipe has them."""
    names: set[str] = set()
    waiting = [stage]
    while waiting:
        part = waiting.pop()
        with suppress(Exception):  # what is wrong with it is said by the check
            part.identity()
            if isinstance(part, Scorer):
                part.fit_identity()
            waiting += part.requires().values()
        context = getattr(part, "context", None)
        if context is not None:
            names |= context.asked
    return names


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def is_hidden(path: PurePath) -> bool:
    """Whether a file, or a folder on the way to it, has a name that begins with a dot."""
    return any(part.startswith(".") and part not in (".", "..") for part in path.parts)


def _file(path: Path, file: Path, value: str, stage: str, base: Path) -> Companion:
    target = file.resolve()
    if is_hidden(path) or is_hidden(Path(os.path.relpath(target, base.resolve()))):
        leads = "" if is_hidden(path) else f", a link to {target}"
        raise _refused(stage, f"{value}{leads} is a hidden file, and those are never sent")
    return Companion(path, file, value)


def _model(path: Path, folder: Path, value: str, stage: str) -> Iterator[Companion]:
    """Of a model's folder what decides what the model computes, and its card."""
    if is_hidden(path):
        raise _refused(stage, f"{value} lies in a hidden folder, and those are never sent")
    root = folder.resolve()
    # the Hub's cache keeps a snapshot as links to the blobs beside it
    within = root.parents[1] if root.parent.name == "snapshots" else root
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        if is_hidden(inside) or not file.is_file() or not (_of_model(file) or str(inside) == CARD):
            continue
        if not file.resolve().is_relative_to(within):
            raise _refused(stage, f"{value}: {inside} is a link that leads out of the folder, to {file.resolve()}")
        yield Companion(path / inside, file, value)


def _of_model(file: Path) -> bool:
    return file.suffix in (*WEIGHTS, *COMPANIONS) or (file.suffix == ".bin" and is_fasttext(file))


def _refused(stage: str, what: str) -> CurationError:
    hint = "copy it to a name of its own beside the recipe, or put it where all nodes see it, under an absolute path"
    return CurationError(Finding("C062", f"stage '{stage}': {what}", hint))
