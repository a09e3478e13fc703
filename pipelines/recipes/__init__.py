"""Recipes to begin with, as files: `curate recipes` lists them, `curate recipes NAME` prints one."""

from __future__ import annotations

from importlib.resources import files

import pyarrow as pa

from curation.rules.profile import did_you_mean
from schemas.errors import CurationError, Finding

WEAK_TO_STRONG = "weak-to-strong/"


def names() -> list[str]:
    """What there is, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in files(__name__).iterdir() if file.name.endswith(".yaml"))


def specifications() -> list[str]:
    """What there is for `curate weak-to-strong`: names that begin with `WEAK_TO_STRONG`, sorted."""
    folder = files(__name__) / WEAK_TO_STRONG.replace("-", "_").rstrip("/")
    found = [file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml")]
    return sorted(f"{WEAK_TO_STRONG}{name}" for name in found)


def read(name: str) -> str:
    """The text of one. Raises C032 for a name that is not there."""
    known = [*names(), *specifications()]
    if name not in known:
        raise CurationError(Finding("C032", did_you_mean("recipe", name, known)))
    place = f"{WEAK_TO_STRONG.replace('-', '_')}{name.removeprefix(WEAK_TO_STRONG)}" if "/" in name else name
    return (files(__name__) / f"{place}.yaml").read_text(encoding="utf-8")


def table() -> pa.Table:
    """Name and first line of each."""
    known = [*names(), *specifications()]
    return pa.table({"recipe": known, "what": [read(name).splitlines()[0].removeprefix("# ") for name in known]})
