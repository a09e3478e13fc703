"""What a dedup's `survivor:` names: columns that say which value is better, and sources that there are."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from curation.dedup.base import Dedup
from curation.dedup.survivor import ByScore, BySource, rules
from curation.scorers.base import Scorer
from pipelines.recipe.document import Document
from schemas.documents import INPUT
from schemas.recipe import Recipe, Stage


def check_survivors(
    document: Document, top: Recipe | None, stages: Sequence[Stage | None], objects: Sequence[Any]
) -> None:
    """Findings about rules that cannot be followed; unknown columns are found with those of selections."""
    built = {stage.id: stage_object for stage, stage_object in zip(stages, objects, strict=True) if stage is not None}
    for index, (stage, stage_object) in enumerate(zip(stages, objects, strict=True)):
        if stage is None or not isinstance(stage_object, Dedup):
            continue
        given = stage.settings.get("survivor")
        for number, rule in enumerate(rules(stage_object.settings.survivor)):
            key_path = ("stages", index, "survivor", *((number,) if isinstance(given, list) else ()))
            if isinstance(rule, ByScore) and rule.order is None and not _oriented(built, rule.by):
                message = f"stage '{stage.id}': survivor: nothing says whether a higher '{rule.by}' is better or worse"
                hint = "add `order: higher` or `order: lower` to the rule"
                document.add("C012", message, (*key_path, "by"), hint, value=True)
            elif isinstance(rule, BySource) and top is not None:
                _sources(document, stage.id, rule, top, (*key_path, "source"))


def _oriented(built: dict[str, Any], column: str) -> bool:
    """Whether the column's scorer says which values are better; a column that is unknown is found elsewhere."""
    head, _, name = column.partition(".")
    scorer = built.get(head)
    if head != INPUT and (scorer is None or name not in {item.name for item in scorer.fields}):
        return True
    if not isinstance(scorer, Scorer):
        return False
    return scorer.contract.score == name and scorer.contract.orientation != 0


def _sources(document: Document, stage: str, rule: BySource, top: Recipe, key_path: tuple[str | int, ...]) -> None:
    path = top.input.path
    sources = [path] if isinstance(path, str) else list(path)
    for number, name in enumerate(rule.source):
        if name not in sources:
            near = get_close_matches(name, sources, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            hint += f"sources of the input: {', '.join(sources)}"
            message = f"stage '{stage}': survivor: there is no source '{name}'"
            document.add("C012", message, (*key_path, number), hint, value=True)
