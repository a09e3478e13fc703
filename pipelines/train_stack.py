"""What a stack measures: the scorers of a recipe, or rules of every published profile, over the labelled texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.scorers import alone, members
from curation.scorers.base import Context, Scorer
from curation.scorers.members import Member
from curation.scorers.stack import raw_values
from schemas.errors import CurationError, Finding, advice

PROFILES = (
    "gopher-quality@datatrove",
    "gopher-repetition@datatrove",
    "c4@dolma",
    "fineweb-code",
    "nemo-curator",
    "readability",
)
"""Whose measurements are taken where no recipe is named."""
PORTION = 256
"""Texts that are measured at once."""


class Measures:
    """Members of a stack that need no labels, and what they measure."""

    def __init__(self, stages: Path | None) -> None:
        """Of the scorers of a recipe; without one, of the rules. Raises CurationError for one that cannot be used."""
        self.members: dict[str, dict[str, Any]] = {}
        """By name: `scorer` and its settings, as a stack's scorer.json names them."""
        self._scorers: dict[str, Scorer] = {}
        if stages is None:
            for number, profile in enumerate(PROFILES):
                self._add(f"rules{number}", {"scorer": "rules", "profile": profile}, Path.cwd())
            return
        from pipelines.recipe.load import load

        loaded = load(stages)
        for stage in loaded.recipe.stages:
            if stage.family == "scorer":
                self._add(stage.id, {"scorer": stage.kind, **stage.settings}, loaded.base)
        if not self._scorers:
            raise CurationError(
                Finding("C038", f"{stages} has no scorer", "name a recipe whose scorers are the columns")
            )

    def _add(self, name: str, member: dict[str, Any], base: Path) -> None:
        member = {key: _absolute(value, base) for key, value in member.items()}
        try:
            scorer = members.make(Member.model_validate({**member, "field": "any"}), Context(base))
        except ValueError as failure:
            raise CurationError(Finding("C038", f"{name} cannot be a column: {advice(failure)[0]}")) from failure
        if scorer.all_reads() != {"text"}:
            reads = ", ".join(sorted(scorer.all_reads()))
            raise CurationError(Finding("C038", f"{name} cannot be a column: it reads {reads}, and labels have a text"))
        self.members[name], self._scorers[name] = member, scorer

    def __call__(self, text: pa.LargeStringArray) -> dict[str, tuple[list[tuple[str, str]], np.ndarray]]:
        """Numbers of each kind of scorer: member and name of its columns, and values [n, columns], NaN for none."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, scorer in self._scorers.items():
            fields = [(name, item.name) for item in scorer.fields if _is_number(item.type)]
            groups.setdefault(scorer.kind, []).extend(fields)
        parts: dict[str, list[np.ndarray]] = {kind: [] for kind in groups}
        for begin in range(0, max(len(text), 1), PORTION):
            batch = pa.record_batch({"text": text.slice(begin, PORTION)})
            scored = {name: alone.run(scorer, batch).to_struct_array() for name, scorer in self._scorers.items()}
            columns = pa.RecordBatch.from_pydict({"text": batch.column("text"), **scored})
            for kind, fields in groups.items():
                parts[kind].append(raw_values(fields, columns))
        return {kind: (fields, np.concatenate(parts[kind])) for kind, fields in groups.items() if fields}


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _absolute(value: Any, base: Path) -> Any:
    """Addresses of folders count from the recipe, and a stack's members from the stack."""
    if isinstance(value, str) and value.startswith("path:"):
        return f"path:{(base / Path(value.removeprefix('path:')).expanduser()).resolve()}"
    return value
