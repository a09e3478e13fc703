"""A recipe file as typed data, with everything that is wrong with it found at once, each at its line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation import registry
from curation.formats.columns import Columns
from curation.gates import Gate, GateError
from curation.plan import BULKY
from curation.plugins import PluginError, contained, kind_of
from curation.scorers.base import Context, Scorer
from curation.scorers.construct import construct
from curation.scorers.input import SHOWN, SHOWN_OF_ANSWERS
from curation.scorers.turns import RULES, PerTurn, uses_turns
from pipelines.recipe.document import Document, KeyPath, one_line, read_text, shown, validate
from pipelines.recipe.survivor import check_survivors
from schemas.documents import INPUT
from schemas.errors import CurationError, advice
from schemas.manifest import RESERVED
from schemas.recipe import FAMILIES, Recipe, Resources, Stage

_STAGE_KEYS = ("id", "keep", "turns", "resources")
_DOCUMENT = ("scorer", "transform")
"""Families that give each document a status."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
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

    def line(self, *path: str | int) -> int | None:
        """1-based line of a key: `line("stages", 0, "keep")`; None where the text does not have it."""
        return self._lines.get(path)


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
    for dotted, new in (overrides or {}).items():
        _override(document, value, dotted, new)
    base = Path(base)
    top = _top(document, value)
    available = Columns.of(top.input.columns) if top is not None else Columns.of({})
    stages, objects, gates = _stages(document, value.get("stages"), base, available)
    check_survivors(document, top, stages, objects)
    if top is not None:
        _outputs(document, top, stages, objects)
    if document.findings:
        raise CurationError(*sorted(document.findings, key=lambda finding: finding.line or 0))
    assert top is not None
    recipe = top.model_copy(update={"stages": [stage for stage in stages if stage is not None]})
    return Loaded(recipe, objects, gates, text, path, base, {key: mark.line + 1 for key, mark in document.keys.items()})


def _override(document: Document, value: dict[str, Any], dotted: str, new: Any) -> None:
    target: Any = value
    *parents, last = dotted.split(".")
    steps: list[str] = [*parents, last]
    for index, step in enumerate(steps):
        final = index == len(steps) - 1
        if isinstance(target, list):
            place = next((n for n, entry in enumerate(target) if str(n) == step or _default_id(entry) == step), None)
            if place is None:
                known = ", ".join(name for entry in target if (name := _default_id(entry)))
                document.add("C003", f"override '{dotted}': no stage '{step}'", hint=f"stages: {known}")
                return
            if final:
                target[place] = new
            target = target[place]
        elif isinstance(target, dict):
            if final:
                target[step] = new
            else:
                target = target.setdefault(step, {})
        else:
            document.add("C003", f"override '{dotted}': '{step}' is below a plain value")
            return


def _default_id(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("id"), str):
        return str(entry["id"])
    kind = next((entry[family] for family in FAMILIES if isinstance(entry.get(family), str)), None)
    return kind.replace("-", "_") if kind else None


# --- sections ----------------------------------------------------------------------------------------------------


def _top(document: Document, value: dict[str, Any]) -> Recipe | None:
    """The recipe without its stages."""
    sections = {key: section for key, section in value.items() if key != "stages"}
    top = validate(document, Recipe, sections, (), "recipe", ["stages"])
    return top if isinstance(top, Recipe) else None


def _stages(
    document: Document, given: Any, base: Path, available: Columns
) -> tuple[list[Stage | None], list[Any], list[Gate | None]]:
    """Stages, objects and gates, as many as in the text; None for what could not be read."""
    if given is None:
        return [], [], []
    if not isinstance(given, list):
        document.add("C004", f"stages: expected a list, got {shown(given)}", ("stages",), "begin each with `- `")
        return [], [], []
    stages = [_stage(document, index, entry) for index, entry in enumerate(given)]
    _ids(document, stages)
    objects = [
        _build(document, index, stage, Context(base.resolve(), turns=turns_of(available, stage.turns)), available)
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
            _needs(document, index, stage, built, fields, broken, incomparable)
            fields[stage.id] = [item for item in built.fields if item.name not in BULKY]
            incomparable.update(f"{stage.id}.{name}" for name in getattr(built, "incomparable", ()))
            default = getattr(built, "default_keep", None)
            if stage.keep is None and default is not None:
                stage = stage.model_copy(update={"keep": default.format(id=stage.id)})
                stages[index] = stage
        later = [other.id for other in stages[index + 1 :] if other is not None]
        gates.append(_gate(document, index, stage, fields, broken, later))
    return stages, objects, gates


def _stage(document: Document, index: int, entry: Any) -> Stage | None:
    path: KeyPath = ("stages", index)
    if not isinstance(entry, dict):
        document.add("C004", f"stage {index + 1}: expected a mapping, got {shown(entry)}", path, _family_hint())
        return None
    found = [family for family in FAMILIES if family in entry]
    if len(found) != 1:
        if found:
            document.add("C003", f"stage {index + 1} is both {' and '.join(found)}", (*path, found[1]), _family_hint())
            return None
        near = next((key for key in entry if get_close_matches(key, FAMILIES, 1)), None)
        if near is not None:
            guess = get_close_matches(near, FAMILIES, 1)[0]
            document.add("C003", f"stage {index + 1}: unknown key '{near}'", (*path, near), f"did you mean '{guess}'?")
        else:
            document.add("C005", f"stage {index + 1} does not say what it is", path, _family_hint())
        return None
    family = found[0]
    kind = entry[family]
    if not isinstance(kind, str):
        message = f"stage {index + 1}: {family}: expected text, got {shown(kind)}"
        document.add("C004", message, (*path, family), _kinds_hint(family), value=True)
        return None
    name = entry.get("id", kind.replace("-", "_"))
    if not isinstance(name, str):
        message = f"stage {index + 1}: id: expected text, got {shown(name)}"
        document.add("C004", message, (*path, "id"), value=True)
        return None
    keep = entry.get("keep")
    if keep is not None and not isinstance(keep, str):
        message = f"stage '{name}': keep: expected text, got {shown(keep)}"
        hint = "a gate is SQL over the stages' columns, such as language.prob > 0.65"
        document.add("C004", message, (*path, "keep"), hint, value=True)
        keep = None
    turns = entry.get("turns")
    if turns is not None and (turns not in RULES or family != "scorer"):
        message = f"stage '{name}': turns: expected one of {', '.join(RULES)}, got {shown(turns)}"
        if family != "scorer":
            message = f"stage '{name}': unknown key 'turns'"
        hint = "it says how a scorer's numbers for each answer of a conversation become one"
        document.add("C004" if family == "scorer" else "C003", message, (*path, "turns"), hint, value=True)
        turns = None
    key: KeyPath = (*path, "id" if "id" in entry else family)
    valid = _IDENTIFIER.match(name) is not None
    if not valid:
        hint = "letters, digits and _ only, not beginning with a digit"
        document.add("C008", f"invalid stage id '{name}'", key, hint, value=True)
    elif name.casefold() in RESERVED:
        document.add("C008", f"stage id '{name}' is reserved", key, "give it another `id:`", value=True)
    resources = _resources(document, path, name, entry["resources"]) if "resources" in entry else None
    settings = {key: value for key, value in entry.items() if key not in (family, *_STAGE_KEYS)}
    return Stage.model_construct(
        family=family, kind=kind, id=name, keep=keep, turns=turns, resources=resources, settings=settings
    )


def _resources(document: Document, path: KeyPath, name: str, given: Any) -> Resources | None:
    place: KeyPath = (*path, "resources")
    if not isinstance(given, dict):
        hint = "such as {num_gpus: 0.5, workers: 1..8}"
        document.add(
            "C004", f"stage '{name}': resources: expected a mapping, got {shown(given)}", place, hint, value=True
        )
        return None
    found = validate(document, Resources, given, place, f"stage '{name}': resources", [])
    return found if isinstance(found, Resources) else None


def _family_hint() -> str:
    return f"a stage begins with one of {', '.join(f'`{family}:`' for family in FAMILIES)}"


def _kinds_hint(family: str) -> str:
    return f"known: {', '.join(registry.kinds(family))}"


def _ids(document: Document, stages: Sequence[Stage | None]) -> None:
    first: dict[str, int] = {}
    for index, stage in enumerate(stages):
        if stage is None:
            continue
        # SQL does not tell case apart, so `Rules` and `rules` would be one column.
        earlier = first.setdefault(stage.id.casefold(), index)
        if earlier != index:
            line = document.keys.get(("stages", earlier))
            where = f"the other begins in line {line.line + 1}; " if line is not None else ""
            key = "id" if ("stages", index, "id") in document.keys else stage.family
            hint = f"{where}give one of them another `id:`"
            document.add("C007", f"two stages have the id '{stage.id}'", ("stages", index, key), hint, value=True)


def turns_of(available: Columns, rule: str | None) -> str | None:
    """`Context.turns` of a stage."""
    return (rule or "") if available.conversation else None


def _build(document: Document, index: int, stage: Stage, context: Context, available: Columns) -> Any:
    """The stage's object, or None after saying why there is none."""
    path: KeyPath = ("stages", index)
    place: KeyPath = (*path, stage.family)
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
        document.add("C006", message, place, f"{hint}{_kinds_hint(stage.family)}", value=True)
        return None
    except PluginError as error:
        document.add("C054", f"stage '{stage.id}': {error}", place, error.hint, value=True)
        return None
    except ImportError as error:
        message = f"stage '{stage.id}': {stage.family} '{stage.kind}' cannot be imported: {one_line(error)}"
        document.add("C012", message, place, "install what it needs", value=True)
        return None
    label = f"stage '{stage.id}'"
    if registry.is_stale(cls):
        message = f"{label}: the code of {stage.family} '{stage.kind}' was changed since this process loaded it"
        document.add("C054", message, place, "begin a new Python process", value=True)
        return None
    try:
        with contained():
            return _built(document, path, label, stage, cls, context, available)
    except Exception as error:
        said, advised = advice(error)
        if isinstance(error, CurationError):
            for finding in error.findings:
                document.add(finding.code, f"{label}: {finding.message}", place, finding.hint)
        elif type(error).__name__ == "ModelError" and hasattr(error, "hint"):
            key: KeyPath = (*path, "model") if "model" in stage.settings else place
            document.add("C013", f"{label}: {said}", key, advised, value=True)
        elif isinstance(error, ValueError | OSError):
            document.add("C012", f"{label}: {said}", place, advised)
        elif registry.blames(error):
            document.add("C054", f"{label}: {raised(error)}", place, advised or PLUGIN_HINT)
        else:
            raise
        return None


PLUGIN_HINT = "what it says is a plugin's: mend it, or ask those who made it"


def raised(error: Exception) -> str:
    """What a plugin's code raised, in one line."""
    kind, said = kind_of(error), one_line(error)
    return f"its code raised {kind}{'' if said == kind else ': ' + said[:200]}"


def _built(
    document: Document, path: KeyPath, label: str, stage: Stage, cls: Any, context: Context, available: Columns
) -> Any:
    place: KeyPath = (*path, stage.family)
    settings = validate(document, cls.Settings, stage.settings, path, label, [stage.family, *_STAGE_KEYS])
    if settings is None:
        return None
    built = construct(cls, settings, context)
    if stage.family == "transform" and available.makes("text"):
        message = f"{label}: edits `text`, which the format `{available.kind}` makes of other columns"
        document.add("C039", message, place, "map `text` to a column of its own, or leave the stage out")
        return None
    wrong = _wrong(built.inner if isinstance(built, PerTurn) else built)
    if wrong is not None:
        document.add("C054", f"{label}: {wrong}", place, PLUGIN_HINT)
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


def _needs(
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
    known = [name for name, kind in kinds.items() if _numeric(kind)]
    other = "survivor" if "survivor" in stage.settings else stage.family
    for name in getattr(built, "columns", ()):
        if name in incomparable:
            message = f"stage '{stage.id}' ranks by '{name}', which different scorers made for different documents"
            key = next((key for key, value in stage.settings.items() if value == name), other)
            hint = "a cascade decides by its gate alone; to rank, score all documents with one of its members"
            document.add("C014", message, ("stages", index, key), hint, value=True)
            continue
        if name in known or name.split(".")[0] in broken:
            continue
        key = next((key for key, value in stage.settings.items() if value == name), other)
        near = get_close_matches(name, known, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"columns of earlier stages: {', '.join(known) or 'none'}"
        message = f"stage '{stage.id}' reads an unknown column '{name}'"
        if name in kinds:
            message = f"stage '{stage.id}' ranks by '{name}', which is {kinds[name]} and not a number"
        document.add("C014", message, ("stages", index, key), hint, value=True)


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _names(fields: Iterable[pa.Field]) -> list[str]:
    return [field.name for field in fields]


def _gate(
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


def _outputs(document: Document, top: Recipe, stages: Sequence[Stage | None], objects: Sequence[Any]) -> None:
    known = {
        stage.id: [*dict.fromkeys([*_names(built.fields), *(["status"] if stage.family in _DOCUMENT else [])])]
        for stage, built in zip(stages, objects, strict=True)
        if stage is not None and built is not None
    }
    for index, name in enumerate(top.output.columns or ()):
        stage_id, _, column = name.partition(".")
        # Any other name with a dot may be a source column; that is checked against the files.
        if column and stage_id in known and column not in known[stage_id]:
            near = get_close_matches(column, known[stage_id], 1)
            hint = f"did you mean '{stage_id}.{near[0]}'? " if near else ""
            hint += f"columns of '{stage_id}': {', '.join(known[stage_id])}"
            document.add("C025", f"unknown output column '{name}'", ("output", "columns", index), hint, value=True)


# --- for editors -------------------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """JSON Schema of a recipe file, with every stage kind that is installed and its settings."""
    schema = Recipe.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    definitions.pop("Stage", None)
    choices = []
    for family in FAMILIES:
        for kind in registry.kinds(family):
            name = f"{family}.{kind}"
            definitions[name] = _stage_schema(family, kind, definitions)
            choices.append({"$ref": f"#/$defs/{name}"})
    schema["properties"]["stages"] = {"type": "array", "default": [], "items": {"oneOf": choices}}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _stage_schema(family: str, kind: str, definitions: dict[str, Any]) -> dict[str, Any]:
    common: dict[str, Any] = {
        family: {"const": kind},
        "id": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "default": kind.replace("-", "_")},
        "keep": {"type": "string", "description": "One SQL condition over columns of this and earlier stages."},
    }
    if family == "scorer":
        what = "How a scorer's numbers for each answer of a conversation become one."
        common["turns"] = {"enum": list(RULES), "description": what}
    common["resources"] = {"$ref": "#/$defs/Resources"}
    try:
        cls = registry.find(family, kind)
    except ImportError:  # what it needs is not installed, or it is broken: an editor should still accept it
        return {"type": "object", "properties": common, "required": [family]}
    own = cls.Settings.model_json_schema(ref_template=f"#/$defs/{family}.{kind}.{{model}}")
    for name, definition in own.pop("$defs", {}).items():
        definitions[f"{family}.{kind}.{name}"] = definition
    stage: dict[str, Any] = {
        "type": "object",
        "properties": {**common, **own.get("properties", {})},
        "required": [family, *own.get("required", [])],
        "additionalProperties": False,
    }
    summary = (cls.__doc__ or "").strip().split("\n\n")[0]
    return {"description": " ".join(summary.split()), **stage} if summary else stage
