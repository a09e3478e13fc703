"""A recipe's stages as objects, each with its gate: what it needs of the stages before it, and what may go wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import pyarrow as pa

from curation import registry
from curation.formats.columns import Columns
from curation.gates import Gate, GateError
from curation.models.locate import ModelError
from curation.plugins import PluginError, contained, kind_of
from curation.scorers.base import Context, Scorer
from curation.scorers.construct import construct
from curation.scorers.turns import PerTurn, uses_turns
from pipelines.recipe.document import Document, KeyPath, one_line, validate
from pipelines.recipe.stages import DOCUMENT_FAMILIES, STAGE_KEYS, kinds_hint
from schemas.errors import CurationError, advice
from schemas.recipe import FAMILIES, Recipe, Stage


def turns_of(available: Columns, rule: str | None) -> str | None:
    """`Context.turns` of a stage."""
    return (rule or "") if available.conversation else None


def build_stage(document: Document, index: int, stage: Stage, context: Context, available: Columns) -> Any:
    """The stage's object, or None after saying why there is none."""
    path: KeyPath = ("stages", index)
    key_path: KeyPath = (*path, stage.family)
    try:
        cls = registry.find(stage.family, stage.kind)
    except KeyError:
        known = registry.kinds(stage.family)
        near = get_close_matches(stage.kind, known, 1)
        elsewhere = [family for family in FAMILIES if stage.kind in registry.kinds(family)]
        hint = f"did you mean '{near[0]}'? " if near else ""
        if elsewhere:
            hint = f"write `{elsewhere[0]}: {stage.kind}`. "
        message = f"unknown {stage.family} '{stage.kind}'"
        document.add("C006", message, key_path, f"{hint}{kinds_hint(stage.family)}", value=True)
        return None
    except PluginError as error:
        document.add("C054", f"stage '{stage.id}': {error}", key_path, error.hint, value=True)
        return None
    except ImportError as error:
        message = f"stage '{stage.id}': {stage.family} '{stage.kind}' cannot be imported: {one_line(error)}"
        document.add("C012", message, key_path, "install what it needs", value=True)
        return None
    label = f"stage '{stage.id}'"
    if registry.is_stale(cls):
        message = f"{label}: the code of {stage.family} '{stage.kind}' was changed since this process loaded it"
        document.add("C054", message, key_path, "begin a new Python process", value=True)
        return None
    try:
        with contained():
            return _built(document, path, label, stage, cls, context, available)
    except Exception as error:
        reason, advised = advice(error)
        if isinstance(error, CurationError):
            for finding in error.findings:
                document.add(finding.code, f"{label}: {finding.message}", key_path, finding.hint)
        elif isinstance(error, ModelError):
            key: KeyPath = (*path, "model") if "model" in stage.settings else key_path
            document.add("C013", f"{label}: {reason}", key, advised, value=True)
        elif isinstance(error, ValueError | OSError):
            document.add("C012", f"{label}: {reason}", key_path, advised)
        elif registry.blames(error):
            document.add("C054", f"{label}: {raised(error)}", key_path, advised or PLUGIN_HINT)
        else:
            raise
        return None


PLUGIN_HINT = "what it says is a plugin's: mend it, or ask those who made it"


def raised(error: Exception) -> str:
    """What a plugin's code raised, in one line."""
    kind, message = kind_of(error), one_line(error)
    return f"its code raised {kind}{'' if message == kind else ': ' + message[:200]}"


def _built(
    document: Document, path: KeyPath, label: str, stage: Stage, cls: Any, context: Context, available: Columns
) -> Any:
    key_path: KeyPath = (*path, stage.family)
    settings = validate(document, cls.Settings, stage.settings, path, label, [stage.family, *STAGE_KEYS])
    if settings is None:
        return None
    built = construct(cls, settings, context)
    if stage.family == "transform" and available.makes("text"):
        message = f"{label}: edits `text`, which the format `{available.kind}` makes of other columns"
        document.add("C039", message, key_path, "map `text` to a column of its own, or leave the stage out")
        return None
    wrong = _wrong(built.inner if isinstance(built, PerTurn) else built)
    if wrong is not None:
        document.add("C054", f"{label}: {wrong}", key_path, PLUGIN_HINT)
        return None
    waiting = [built]
    while waiting:
        asked = waiting.pop()
        if isinstance(asked, Scorer):
            asked.check()
        waiting += asked.requires().values()
    if stage.turns and not uses_turns(built):
        hint = "it is for scorers of answers, on input that maps `messages` or `conversations`"
        document.add("C012", f"{label}: turns: says nothing here", (*path, "turns"), hint, value=True)
    if stage.resources and stage.resources.num_gpus and not _has_model(built):
        message = f"{label}: num_gpus: says nothing here, since the stage has no model"
        document.add("C012", message, (*path, "resources", "num_gpus"), "leave it out", value=True)
    return built


def _wrong(built: Any) -> str | None:
    """What a plugin says of itself that is not what it must be; None where nothing is. Asking for the fields also looks
    for the model, on which those of some depend."""
    try:
        fields = list(built.fields)
    except TypeError:
        return f"its `fields` are {type(built.fields).__name__}, not a list of pyarrow fields"
    if not all(isinstance(field, pa.Field) for field in fields):
        return "its `fields` are not a list of pyarrow fields"
    names = [field.name.casefold() for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        return f"two of its `fields` are called '{twice}'"
    if "" in names or not {"status", "message"}.isdisjoint(names):
        return "a name of its `fields` is empty, or `status` or `message`, which are kept for the engine"
    if not isinstance(built.requires(), Mapping):
        return f"its `requires()` is {type(built.requires()).__name__}, not a mapping"
    return None


def _has_model(built: Any) -> bool:
    return bool(getattr(built, "heavy", False)) or any(_has_model(other) for other in built.requires().values())


def needs_of(
    document: Document,
    index: int,
    stage: Stage,
    built: Any,
    fields: Mapping[str, Sequence[pa.Field]],
    broken: set[str],
    incomparable: set[str],
) -> None:
    """Columns that a selection ranks by must be comparable numbers from an earlier stage."""
    kinds = {f"{stage}.{field.name}": field.type for stage, own in fields.items() for field in own}
    numeric = [name for name, kind in kinds.items() if _numeric(kind)]
    other = "survivor" if "survivor" in stage.settings else stage.family
    # what a scorer calls so is its own affair
    for name in () if stage.family in DOCUMENT_FAMILIES else getattr(built, "columns", ()):
        if name in incomparable:
            message = f"stage '{stage.id}' ranks by '{name}', which different scorers made for different documents"
            key = next((key for key, value in stage.settings.items() if value == name), other)
            hint = "a cascade decides by its gate alone; to rank, score all documents with one of its members"
            document.add("C014", message, ("stages", index, key), hint, value=True)
            continue
        if name in numeric or name.split(".")[0] in broken:
            continue
        key = next((key for key, value in stage.settings.items() if value == name), other)
        near = get_close_matches(name, numeric, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"columns of earlier stages: {', '.join(numeric) or 'none'}"
        message = f"stage '{stage.id}' reads an unknown column '{name}'"
        if name in kinds:
            message = f"stage '{stage.id}' ranks by '{name}', which is {kinds[name]} and not a number"
        document.add("C014", message, ("stages", index, key), hint, value=True)


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def names_of(fields: Iterable[pa.Field]) -> list[str]:
    return [field.name for field in fields]


def bind_gate(
    document: Document,
    index: int,
    stage: Stage,
    fields: Mapping[str, Sequence[pa.Field]],
    broken: set[str],
    later: Sequence[str],
) -> Gate | None:
    if stage.keep is None:
        return None
    try:
        gate = Gate.parse(stage.keep)
        # A stage that could not be built has its own finding; what it would have had for columns is unknown.
        if not gate.stages_of(broken):
            gate.check(fields, later)
        return gate
    except GateError as error:
        for finding, span in zip(error.findings, error.spans, strict=True):
            message = f"stage '{stage.id}': {finding.message}"
            document.add(finding.code, message, ("stages", index, "keep"), finding.hint, value=True, span=span)
        return None


def check_outputs(document: Document, top: Recipe, stages: Sequence[Stage | None], objects: Sequence[Any]) -> None:
    columns = {
        stage.id: [
            *dict.fromkeys([*names_of(built.fields), *(["status"] if stage.family in DOCUMENT_FAMILIES else [])])
        ]
        for stage, built in zip(stages, objects, strict=True)
        if stage is not None and built is not None
    }
    for index, _, name in top.output.named:
        stage_id, _, column = name.partition(".")
        # Any other name with a dot may be a source column; that is checked against the files.
        if column and stage_id in columns and column not in columns[stage_id]:
            near = get_close_matches(column, columns[stage_id], 1)
            hint = f"did you mean '{stage_id}.{near[0]}'? " if near else ""
            hint += f"columns of '{stage_id}': {', '.join(columns[stage_id])}"
            document.add("C025", f"unknown output column '{name}'", ("output", "columns", index), hint, value=True)
