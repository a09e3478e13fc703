"""From data to a curated dataset in one step: tell the kind, write the recipe, run it, lay the dataset beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from curation.store import is_url, new_folder, open_store
from curation.store.dataset import FOLDER
from pipelines.planning.describe import DataDescription, describe_data
from pipelines.planning.drafting import recipe_for
from pipelines.planning.kinds import KINDS, TITLES, Kind, no_such_kind
from pipelines.running.events import Notice
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from pipelines.running.events import Report
    from pipelines.running.result import Result

RECIPE, DATASET, WORKSPACE = "recipe.yaml", "dataset", "workspace"
"""What lies in a folder that `auto` made."""


def auto(
    data: str | Path | Iterable[str | Path],
    into: str | Path,
    kind: Kind | None = None,
    *,
    workspace: Workspace | str | Path | None = None,
    sample: int | None = None,
    anew: bool = False,
    report: Report | None = None,
    **options: Any,
) -> Result:
    """Curate files by the recipe that `recipe_for` makes of them, into the folder `into`.

    It has then `recipe.yaml`, to be changed; `dataset/`, copies of the Parquet files and their card; and `workspace/`,
    unless a `workspace` is given. Called again, the recipe that lies there is run as it is now, and the dataset
    replaced; with `anew` the recipe is written anew. `options` are those of `Workspace.run`. Its `folder` is
    `into/dataset`.

    Raises CurationError as `describe_data` and `Workspace.run` do, and C037 for a folder of something else.
    """
    folder = Path(into)
    opened = workspace if isinstance(workspace, Workspace) else Workspace(workspace or folder / WORKSPACE)
    recipe, told = prepare(data, folder, kind, anew, opened)
    if report is not None:
        report(Notice(told))
    result = opened.run(recipe, sample=sample, report=report, **options)
    if result.folder is None:
        return result
    _lay_out(result.folder, folder / DATASET)
    return replace(result, folder=folder / DATASET)


def curate(
    data: str | Path | Iterable[str | Path],
    kind: Kind | None = None,
    *,
    into: str | Path = "curated",
    **options: Any,
) -> Result:
    """What `curate auto DATA --into FOLDER` does: tell what the data are, write a recipe for them, run it.

    `kind` says what they are where it is not to be told from them: web, text, instructions, chats, preferences,
    labels or verifiable. The folder `into` gets `recipe.yaml`, which is yours to change, `dataset/` and
    `workspace/`; called again, it runs the recipe as it is then. `options` are those of `Workspace.run`, and `sample`,
    `anew` and `workspace` of `pipelines.start.auto.auto`.

    >>> result = curate(f"{folder.parent}/input.parquet", into=f"{folder.parent}/curated", sample=3)
    >>> result.rows, result.dataset.path.name
    (3, 'dataset')
    """
    return auto(data, into, kind, **options)


def prepare(
    data: str | Path | Iterable[str | Path], folder: Path, kind: Kind | None, anew: bool, workspace: Workspace
) -> tuple[Path, str]:
    """The recipe in a folder of `auto`: written, or the one that is there for the same data; and which, in a line."""
    recipe = folder / RECIPE
    if kind is not None and kind not in KINDS:
        raise CurationError(no_such_kind(kind))
    if recipe.is_file() and not anew:
        given = [str(data)] if isinstance(data, str | Path) else [str(path) for path in data]
        if _inputs(recipe) != {_absolute(path, Path.cwd()) for path in given}:
            hint = "name another folder with --into; --anew writes the recipe anew"
            raise CurationError(Finding("C037", f"{recipe} is about other data", hint))
        if kind is None:
            return recipe, f"by {recipe}, as it is now; --anew writes it anew"
        return recipe, f"by {recipe}, as it is now, whatever --kind says; --anew writes it anew, for {TITLES[kind]}"
    if folder.exists() and not recipe.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CurationError(Finding("C037", f"{folder} holds something already", "name a new folder with --into"))
    root = str(workspace.store.root)
    room = root if is_url(root) else os.path.abspath(root)
    room = WORKSPACE if room == os.path.abspath(folder / WORKSPACE) else room
    description = describe_data(data, kind)
    write_recipe(description, recipe, force=True, workspace=room)
    return recipe, f"{description.title}, told by {description.why}; by {recipe}, which is yours to change"


def refuse_existing(path: Path, force: bool) -> None:
    """Raise C037 for a recipe that would be written over, unless `force`."""
    if path.exists() and not force:
        hint = "name a new file with --into, or write over it with --force"
        raise CurationError(Finding("C037", f"{path} is there already", hint))


def write_recipe(
    description: DataDescription,
    path: Path,
    force: bool = False,
    workspace: str | None = None,
    text: str | None = None,
) -> Path:
    """Write the recipe for described data, or its `text` where that was made already. Raises CurationError C037 where
    the file is there, unless `force`, and where it is one of the data."""
    if path.resolve() in {Path(each).resolve() for each in description.files if not is_url(each)}:
        raise CurationError(Finding("C037", f"{path} is among the data", "name a new file with --into"))
    refuse_existing(path, force)
    text = recipe_for(description, path.parent, workspace=workspace) if text is None else text
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as failure:
        what = f"{path} cannot be written: {failure.strerror or failure}"
        raise CurationError(Finding("C051", what, "name another file with --into")) from failure
    return path


def _inputs(recipe: Path) -> set[str]:
    """Absolute paths of a recipe's inputs; none of one that cannot be read."""
    try:
        path = yaml.safe_load(recipe.read_text(encoding="utf-8"))["input"]["path"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return set()
    paths = [path] if isinstance(path, str) else list(path.values()) if isinstance(path, dict) else path
    return {_absolute(str(each), recipe.parent) for each in paths}


def _absolute(path: str, base: Path) -> str:
    return path if is_url(path) else os.path.abspath(os.path.join(base, os.path.expanduser(path)))


def _lay_out(dataset: Any, final: Path) -> None:
    """Copy a published dataset's files into another folder; what is there stays until all of them are.

    No links: whoever writes over such a file in place would write into the workspace, whose files never change.
    """
    before = final.with_name(f".{final.name}-old")
    try:
        with new_folder(final) as folder:
            if is_url(dataset):
                store = open_store(str(dataset))
                for name in (*store.names(""), *(f"{FOLDER}/{file}" for file in store.names(FOLDER))):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(store.read(name))
            else:
                shutil.copytree(dataset, folder, dirs_exist_ok=True)
            if final.exists():
                shutil.rmtree(before, ignore_errors=True)
                final.rename(before)
    except BaseException:
        if before.exists() and not final.exists():
            before.rename(final)
        raise
    shutil.rmtree(before, ignore_errors=True)
