"""What a stage of each kind is: keys with type, default and meaning, columns, the gate where a recipe writes none."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa

from curation import registry
from curation.scorers.base import Context
from schemas.documents import STATUS
from schemas.errors import CurationError, Finding
from schemas.recipe import FAMILIES

KINDS = pa.schema([("family", pa.string()), ("kind", pa.string()), ("what", pa.string())])
_SENTENCE = re.compile(r"(?<=[.:])(?<!et al\.)\s+")
_ITSELF = {
    "dedup": "drops the duplicates that it finds",
    "select": "drops what it does not choose",
}
"""What stages of a family do where a recipe writes no gate; the others drop nothing."""
_BOUNDS = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< "}


@dataclass(frozen=True)
class Key:
    """One key of a mapping in a recipe."""

    key: str
    type: str
    bounds: str
    """Such as `≥ 1`; empty where there are none."""
    default: str | None
    """As YAML has it; None for a key that is needed."""
    meaning: str


@dataclass(frozen=True)
class Described:
    """A kind of stage."""

    family: str
    kind: str
    version: int
    text: str
    """What it does, in paragraphs."""
    keys: list[Key]
    """Its own settings, then those that every stage has."""
    columns: list[tuple[str, str]]
    """Name and type of each, as gates and SQL see them."""
    lacks: str
    """Why the columns are not known here: they depend on settings that have no default."""
    keep: str | None
    """Its gate where a recipe writes none."""

    @property
    def alone(self) -> str:
        """What it does where a recipe writes no gate."""
        does = f"drops by its own gate, `{self.keep}`" if self.keep else _ITSELF.get(self.family, "drops nothing")
        return f"Without `keep:` it {does}."


def kinds() -> pa.Table:
    """Every kind that is installed here, with one sentence."""
    rows = [
        {"family": family, "kind": kind, "what": _SENTENCE.split(_text(_class(family, kind)), maxsplit=1)[0]}
        for family in FAMILIES
        for kind in registry.kinds(family)
    ]
    return pa.Table.from_pylist(rows, schema=KINDS)


def describe(kind: str, settings: Mapping[str, Any] | None = None) -> list[Described]:
    """A kind of stage; of a name that several families have, each. `settings`: keys without a default, so that columns
    that depend on them are known. Raises C006 for a name that nobody has, C012 for settings that are refused."""
    families = [family for family in FAMILIES if kind in registry.kinds(family)]
    if not families:
        every = sorted({name for family in FAMILIES for name in registry.kinds(family)})
        near = get_close_matches(kind, every, 3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(every)}"
        raise CurationError(Finding("C006", f"there is no stage kind '{kind}'", hint))
    return [_described(family, kind, settings or {}) for family in families]


def _described(family: str, kind: str, settings: Mapping[str, Any]) -> Described:
    cls = _class(family, kind)
    keys = [*keys_of(cls.Settings), *common_keys(family, kind)] if cls is not None else common_keys(family, kind)
    columns, lacks = _columns(cls, family, kind, settings)
    keep = getattr(cls, "default_keep", None)
    gate = keep.format(id=kind.replace("-", "_")) if isinstance(keep, str) else None
    return Described(family, kind, getattr(cls, "version", 0), _text(cls), keys, columns, lacks, gate)


def _class(family: str, kind: str) -> Any:
    try:
        return registry.find(family, kind)
    except ImportError:  # what it needs is not installed
        return None


def _text(cls: Any) -> str:
    if cls is None:
        return "It cannot be loaded here."
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n") if cls.__doc__ else []
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _columns(cls: Any, family: str, kind: str, settings: Mapping[str, Any]) -> tuple[list[tuple[str, str]], str]:
    from curation.plan import BULKY

    if cls is None:
        return [], "it cannot be loaded here"
    needed = [key.key for key in keys_of(cls.Settings) if key.default is None and key.key not in settings]
    if needed:
        return [], f"they depend on {', '.join(needed)}"
    try:
        built = cls(cls.Settings.model_validate(dict(settings), strict=False), Context(Path()))
        fields = list(built.fields)
    except Exception as failure:  # a file that is not there, a profile of no name
        if settings:
            message = f"{family} '{kind}': {' '.join(str(failure).split())}"
            raise CurationError(Finding("C012", message, f"keys: {', '.join(cls.Settings.model_fields)}")) from failure
        return [], "they depend on files or settings"
    shown = [(item.name, _type_name(item.type)) for item in fields if item.name not in BULKY]
    return [*shown, *([("status", _type_name(STATUS))] if family in ("scorer", "transform") else [])], ""


def common_keys(family: str, kind: str | None = None) -> list[Key]:
    """Keys that every stage has, of one kind or of any."""
    named = "the kind, with _ for -" if kind is None else kind.replace("-", "_")
    turns = Key("turns", "text", "", "by the scorer", "mean, min, max, sum, first or last of a conversation's answers")
    return [
        Key("id", "text", "", named, "names the stage's columns"),
        Key("keep", "text", "", "null", "the gate: one SQL condition over columns of this and earlier stages"),
        *([turns] if family == "scorer" else []),
        Key("resources", "mapping", "", "null", "what it reserves on a cluster: num_cpus, num_gpus, workers"),
    ]


def keys_of(model: Any) -> Iterator[Key]:
    """The fields of a settings class."""
    meanings, hints = docstrings(model), get_type_hints(model)
    for name, field in model.model_fields.items():
        bounds = [
            f"{sign}{getattr(bound, attribute)}"
            for bound in field.metadata
            for attribute, sign in _BOUNDS.items()
            if type(bound).__name__.lower() == attribute
        ]
        meaning = field.description or meanings.get(name, "")
        default = None if field.is_required() else _default(field.get_default(call_default_factory=True))
        yield Key(name, _type(hints[name]), ", ".join(bounds), default, meaning)


def _default(value: Any) -> str:
    if type(value).__module__.startswith("schemas."):
        return "{}"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def _type(hint: Any) -> str:
    """An annotation in words."""
    text = inspect.formatannotation(hint) if not isinstance(hint, type) or hasattr(hint, "__args__") else hint.__name__
    text = re.sub(r"\b(?:typing|schemas|curation|annotated_types|pydantic)(?:\.\w+)*\.(\w+)", r"\1", text)
    for name, plain in (("str", "text"), ("int", "whole number"), ("float", "number"), ("bool", "true or false")):
        text = re.sub(rf"\b{name}\b", plain, text)
    text = re.sub(r"(?:Union|Optional)\[(.*)\]$", lambda found: found[1].replace(", ", " | "), text)
    return re.sub(r"\bNone\b", "null", text).replace("Literal", "one of ").replace("'", "")


def _type_name(kind: pa.DataType) -> str:
    text = str(kind)
    return "dictionary of text" if text.startswith("dictionary") else text


@cache
def docstrings(model: Any) -> dict[str, str]:
    """The string below each attribute of a class and its bases."""
    texts: dict[str, str] = {}
    for each in reversed(model.__mro__):
        try:
            [tree] = ast.parse(textwrap.dedent(inspect.getsource(each))).body
        except (OSError, TypeError, ValueError):
            continue
        for one, following in pairwise(getattr(tree, "body", [])):
            if (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                texts[one.target.id] = " ".join(following.value.value.split())
    return texts
