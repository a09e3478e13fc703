"""A recipe file as typed data, with everything that is wrong with it found at once, each at its line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.formats.columns import Columns
from curation.gates import Gate
from curation.plan import BULKY
from curation.scorers.base import Context
from curation.scorers.input import SHOWN, SHOWN_OF_ANSWERS
from pipelines.recipe import mistaken
from pipelines.recipe.document import Document, KeyPath, read_text, shown
from pipelines.recipe.objects import bind_gate, build_stage, check_outputs, needs_of, turns_of
from pipelines.recipe.stages import check_ids, default_id, read_stage, read_top
from pipelines.recipe.survivor import check_survivors
from schemas.documents import INPUT
from schemas.errors import CurationError
from schemas.recipe import Recipe, Stage


@dataclass(frozen=True, repr=False)
class Loaded:
    """A recipe that passed every check that needs no input data."""

    recipe: Recipe
    stages: list[Any]
    """An object for each of `recipe.stages`: Scorer, Transform, Dedup or Selection. No model is open yet."""
    gates: list[Gate | None]
    """The gate behind each stage, bound to the columns that it may read."""
    source: str
    """The text; empty for a recipe that was given as a mapping."""
    path: Path | None
    base: Path
    """Folder that relative paths count from."""
    _lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)
    home: Path | None = None
    """Where it is not `base`, because the recipe was sent elsewhere with the files that its stages name: folder that
    relative input paths count from, and that the run records."""

    default_gates: frozenset[str] = frozenset()
    """Ids of stages without `keep:` whose scorer has a gate of its own."""

    def without_keep(self) -> list[str]:
        """For people: what each scorer without `keep:` does with documents."""
        return [
            f"{stage.id}: drops by its default gate {stage.keep}"
            if stage.id in self.default_gates
            else f"{stage.id}: scores only"
            for stage in self.recipe.stages
            if stage.family == "scorer" and (stage.keep is None or stage.id in self.default_gates)
        ]

    def line(self, *path: str | int) -> int | None:
        """1-based line of a key: `line("stages", 0, "keep")`; None where the text does not have it."""
        return self._lines.get(path)

    def __repr__(self) -> str:
        stages = ", ".join(stage.id for stage in self.recipe.stages) or "no stages"
        return f"Loaded({self.recipe.name} of {self.path or 'a mapping'}: {stages})"


def load(path: Path | str, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Read a recipe file.

    `overrides` replaces values by dotted path: `{"input.path": "x.parquet", "stages.gopher.keep": "gopher.pass"}`; a
    stage goes by its id, or by its place from 0. Raises CurationError with everything that is wrong.
    """
    path = Path(path)
    text = read_text(path, "recipe")
    return parse(text, path.resolve().parent, path, overrides)


def parse(
    source: str | Mapping[str, Any],
    base: Path | str = ".",
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Loaded:
    """Check a recipe given as YAML text, or as the mapping that the YAML would be; `path` names it in findings.

    Raises CurationError with everything that is wrong.
    """
    text = source if isinstance(source, str) else ""
    document = Document(text, str(path) if path is not None else None)
    value = document.read() if isinstance(source, str) else deepcopy(dict(source))
    if document.findings:
        raise CurationError(*document.findings)
    if not isinstance(value, dict):
        document.add("C002", "a recipe is a mapping with name, input and stages", hint="begin with `name: my-recipe`")
        raise CurationError(*document.findings)
    if (instead := mistaken.specification(value, document.file)) is not None:
        raise CurationError(instead)
    for dotted, new in (overrides or {}).items():
        _override(document, value, dotted, new)
    base = Path(base)
    top = read_top(document, value)
    available = Columns.of(top.input.columns) if top is not None else Columns.of({})
    stages, objects, gates = _stages(document, value.get("stages"), base, available)
    check_survivors(document, top, stages, objects)
    if top is not None:
        check_outputs(document, top, stages, objects)
    if document.findings:
        raise CurationError(*sorted(document.findings, key=lambda finding: finding.line or 0))
    assert top is not None
    recipe = top.model_copy(update={"stages": [stage for stage in stages if stage is not None]})
    lines = {key: mark.line + 1 for key, mark in document.keys.items()}
    written = zip(value.get("stages") or [], recipe.stages, strict=True)
    unwritten = frozenset(stage.id for entry, stage in written if stage.keep is not None and entry.get("keep") is None)
    return Loaded(recipe, objects, gates, text, path, base, lines, default_gates=unwritten)


def _override(document: Document, value: dict[str, Any], dotted: str, new: Any) -> None:
    target: Any = value
    *parents, last = dotted.split(".")
    steps: list[str] = [*parents, last]
    for index, step in enumerate(steps):
        final = index == len(steps) - 1
        if isinstance(target, list):
            position = next((n for n, entry in enumerate(target) if str(n) == step or default_id(entry) == step), None)
            if position is None:
                known = ", ".join(name for entry in target if (name := default_id(entry)))
                document.add("C003", f"override '{dotted}': no stage '{step}'", hint=f"stages: {known}")
                return
            if final:
                target[position] = new
            target = target[position]
        elif isinstance(target, dict):
            if final:
                target[step] = new
            else:
                target = target.setdefault(step, {})
        else:
            document.add("C003", f"override '{dotted}': '{step}' is below a plain value")
            return


def _stages(
    document: Document, given: Any, base: Path, available: Columns
) -> tuple[list[Stage | None], list[Any], list[Gate | None]]:
    """Stages, objects and gates, as many as in the text; None for what could not be read."""
    if given is None:
        return [], [], []
    if not isinstance(given, list):
        document.add("C004", f"stages: expected a list, got {shown(given)}", ("stages",), "begin each with `- `")
        return [], [], []
    stages = [read_stage(document, index, entry) for index, entry in enumerate(given)]
    check_ids(document, stages)
    objects = [
        build_stage(document, index, stage, Context(base.resolve(), turns=turns_of(available, stage.turns)), available)
        if stage
        else None
        for index, stage in enumerate(stages)
    ]
    fields: dict[str, Sequence[pa.Field]] = {INPUT: SHOWN_OF_ANSWERS if available.has_answers else SHOWN}
    broken: set[str] = set()
    incomparable: set[str] = set()
    gates: list[Gate | None] = []
    for index, (stage, built) in enumerate(zip(stages, objects, strict=True)):
        if stage is None:
            gates.append(None)
            continue
        if built is None:
            broken.add(stage.id)
        else:
            needs_of(document, index, stage, built, fields, broken, incomparable)
            fields[stage.id] = [item for item in built.fields if item.name not in BULKY]
            incomparable.update(f"{stage.id}.{name}" for name in getattr(built, "incomparable", ()))
            default = getattr(built, "default_keep", None)
            if stage.keep is None and default is not None:
                stage = stage.model_copy(update={"keep": default.format(id=stage.id)})
                stages[index] = stage
        later = [other.id for other in stages[index + 1 :] if other is not None]
        gates.append(bind_gate(document, index, stage, fields, broken, later))
    return stages, objects, gates
