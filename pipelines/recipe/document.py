"""YAML that knows where its keys and values are, and pydantic's errors as findings at those places.

What recipes and other files that users write are read with: everything that is wrong is found at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from curation.credentials import masked
from curation.paths import require_text
from pipelines.recipe import mistaken
from schemas.errors import CurationError, Finding
from schemas.recipe import IDENTIFIER

KeyPath = tuple[str | int, ...]


def read_text(path: Path, what: str) -> str:
    """The text of a file that a user wrote. Raises CurationError C001 where it cannot be read, C051 for its name."""
    require_text(path.absolute(), f"the {what}")
    if (instead := mistaken.data(path, what)) is not None and path.exists():
        raise CurationError(instead)
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise CurationError(Finding("C001", f"cannot read the {what}: {error.strerror}", file=str(path))) from None
    except UnicodeDecodeError:
        finding = Finding("C001", f"the {what} is not UTF-8 text", "save it as UTF-8", file=str(path))
        raise CurationError(finding) from None


_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_OF_YAML_1_1 = re.compile(r"[-+]?(?:0[0-7_]+|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?)")
"""Octal without its o, and numbers to the base of 60: 010 is 8, and 1:30 is 90, which nobody means."""
LONGEST_NUMBER = 300
"""Characters."""


class Document:
    """YAML text, where its keys and values are, and what is wrong with it."""

    def __init__(self, text: str, file: str | None) -> None:
        self.text = text
        self.lines = text.splitlines()
        self.file = file
        self.findings: list[Finding] = []
        self.keys: dict[KeyPath, Any] = {}
        """Mark of each key, and of each entry of a list."""
        self.values: dict[KeyPath, Any] = {}
        """Node of each value."""

    def read(self) -> Any:
        try:
            loader = yaml.SafeLoader(self.text)
            try:
                node = loader.get_single_node()
                return self._value(loader, node, (), ()) if node is not None else None
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
            self.findings.append(self._marked("C002", f"not valid YAML: {problem}", None, mark, 1))
        except (RecursionError, ValueError) as error:  # ValueError: a number or a date that Python cannot hold
            problem = "nested too deeply" if isinstance(error, RecursionError) else one_line(error)
            self.add("C002", f"not valid YAML: {problem}")
        return None

    def _value(self, loader: Any, node: Any, path: KeyPath, above: tuple[int, ...]) -> Any:
        self.values[path] = node
        if id(node) in above:
            raise yaml.constructor.ConstructorError(None, None, "an alias refers to what contains it", node.start_mark)
        if len(self.values) > 100_000:
            # Ten lines of aliases to aliases can be a billion values.
            raise yaml.constructor.ConstructorError(None, None, "too many values", node.start_mark)
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
            raise yaml.constructor.ConstructorError(None, None, f"tag '{node.tag}' is not allowed", node.start_mark)
        above = (*above, id(node))
        if isinstance(node, yaml.MappingNode):
            mapping: dict[str, Any] = {}
            for key_node, value_node in node.value:
                if not isinstance(key_node, yaml.ScalarNode):
                    raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
                if key_node.tag == "tag:yaml.org,2002:merge":
                    message, hint = "merge keys (`<<`) are not read", "write the keys out, or name a whole value by `*`"
                    self.findings.append(self._marked("C002", message, hint, key_node.start_mark, 2))
                    continue
                # As written: YAML 1.1 would make False of the key `no`.
                key = str(key_node.value)
                key_path = (*path, key)
                if key in mapping:
                    first = self.keys[key_path].line + 1
                    message = f"key '{key}' is given twice"
                    self.findings.append(
                        self._marked("C002", message, f"it first stands in line {first}", key_node.start_mark, len(key))
                    )
                    continue
                self.keys[key_path] = key_node.start_mark
                mapping[key] = self._value(loader, value_node, key_path, above)
            return mapping
        if isinstance(node, yaml.SequenceNode):
            entries = []
            for index, entry in enumerate(node.value):
                self.keys[(*path, index)] = entry.start_mark
                entries.append(self._value(loader, entry, (*path, index), above))
            return entries
        return self._scalar(loader, node)

    def _scalar(self, loader: Any, node: Any) -> Any:
        text = str(node.value)
        if node.tag == "tag:yaml.org,2002:timestamp":
            return text
        problem = None
        if any("\ud800" <= char <= "\udfff" for char in text):
            problem = "half a character (a lone surrogate) is no text"
        elif node.tag in _NUMBERS and len(text) > LONGEST_NUMBER:
            problem = f"a number of {len(text):,} characters"
        elif node.tag in _NUMBERS and _OF_YAML_1_1.fullmatch(text):
            value = loader.construct_object(node)
            self.findings.append(
                self._marked(
                    "C002", f"YAML takes {text} for {value}", f"write {value}, or quotes", node.start_mark, len(text)
                )
            )
            return value
        if problem is not None:
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return loader.construct_object(node)

    def add(
        self,
        code: str,
        message: str,
        path: KeyPath = (),
        hint: str | None = None,
        value: bool = False,
        span: tuple[int, int] | None = None,
    ) -> None:
        """A finding at a key, at its value, or at characters `span` of its value's text."""
        node = self.values.get(path)
        if value and isinstance(node, yaml.ScalarNode):
            mark, width = node.start_mark, max(1, node.end_mark.column - node.start_mark.column)
            place = self._position_of(node, *span) if span is not None else None
            if place is not None:
                line, column, width = place
                self.findings.append(self._finding(code, message, hint, line, column, width))
                return
            if node.style in ("|", ">") or node.end_mark.line != node.start_mark.line:
                mark, width = self.keys.get(path, mark), len(str(path[-1])) if path else 1
            self.findings.append(self._marked(code, message, hint, mark, width))
            return
        while path and path not in self.keys:
            path = path[:-1]
        width = len(path[-1]) if path and isinstance(path[-1], str) else 1
        self.findings.append(self._marked(code, message, hint, self.keys.get(path), width))

    def _marked(self, code: str, message: str, hint: str | None, mark: Any, width: int) -> Finding:
        if mark is None:
            return Finding(code, message, hint, self.file)
        return self._finding(code, message, hint, mark.line, mark.column, width)

    def _finding(self, code: str, message: str, hint: str | None, line: int, column: int, width: int) -> Finding:
        excerpt = None
        source = excerpt_of(code, self.lines[line]) if line < len(self.lines) else None
        if source is not None:
            # Tabs kept, so that the carets stand where the tabs put the text.
            margin = "".join(char if char == "\t" else " " for char in source[:column])
            width = max(1, min(width, len(source) - column))
            excerpt = f"{source}\n{margin}{'^' * width}"
        return Finding(code, message, hint, self.file, line + 1, excerpt)

    def _position_of(self, node: Any, start: int, end: int) -> tuple[int, int, int] | None:
        """(line, column, width) of characters [start, end) of a scalar's text, found by walking both together."""
        source, offset = self.text, node.start_mark.index
        if node.style in ("|", ">"):
            offset = source.find("\n", offset) + 1
        elif node.style in ("'", '"'):
            offset += 1
        offsets = []
        for char in node.value:
            if char.isspace():
                offsets.append(offset)
                continue
            while offset < len(source) and source[offset].isspace():
                offset += 1
            if offset < len(source) and (
                (node.style == "'" and source.startswith("''", offset))
                or (node.style == '"' and source[offset] == "\\")
            ):
                offset += 1
            if offset >= len(source) or source[offset] != char:
                return None
            offsets.append(offset)
            offset += 1
        if not offsets:
            return None
        offsets.append(offsets[-1] + 1)
        begin = offsets[min(start, len(offsets) - 1)]
        line = source.count("\n", 0, begin)
        column = begin - (source.rfind("\n", 0, begin) + 1)
        return line, column, max(1, offsets[min(end, len(offsets)) - 1] - begin + 1)


def excerpt_of(code: str, line: str) -> str | None:
    """A line of a recipe as a finding shows it: without credentials, which messages hand on to logs."""
    return None if code == "C042" else masked(line)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- pydantic's errors as findings -------------------------------------------------------------------------------

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "frozen_set_type": "a list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "nothing",
    "set_type": "a list",
    "string_type": "text",
    "tuple_type": "a list",
}


def validate(
    document: Document,
    model: type[BaseModel],
    values: dict[str, Any],
    path: KeyPath,
    label: str,
    beside: Sequence[str],
) -> BaseModel | None:
    """`values` as `model`; None after a finding for each error. `beside`: keys that are known and read elsewhere."""
    try:
        # By way of JSON: strict about types, yet a YAML list may become a tuple and a text an enum.
        return model.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        _report(document, model, values, path, label, beside, error)
        return None
    except (ValueError, TypeError, RecursionError) as error:
        document.add("C004", f"{label}: {one_line(error)}", path)
        return None


def _report(
    document: Document,
    model: type[BaseModel],
    values: dict[str, Any],
    path: KeyPath,
    label: str,
    beside: Sequence[str],
    error: ValidationError,
) -> None:
    # A union reports an error for each of its types, at places that are not in the text: collected by place.
    places: dict[KeyPath, list[Any]] = {}
    for detail in error.errors(include_url=False):
        location = detail["loc"]
        missing = detail["type"] == "missing"
        key_path = _within(values, location[:-1] if missing else location)
        places.setdefault((*key_path, location[-1]) if missing else key_path, []).append(detail)
    for key_path, details in places.items():
        dotted = ".".join(str(part) for part in key_path)
        prefix = f"{label}: {dotted}: " if dotted else f"{label}: "
        extra = next((detail for detail in details if detail["type"] == "extra_forbidden"), None)
        if extra is not None:
            names = [*beside, *_keys(model, key_path[:-1])] if len(key_path) == 1 else _keys(model, key_path[:-1])
            near = get_close_matches(str(key_path[-1]), names, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            section = f"{label}: {'.'.join(map(str, key_path[:-1]))}" if key_path[:-1] else label
            hint += f"known: {', '.join(names)}"
            document.add("C003", f"{section}: unknown key '{key_path[-1]}'", (*path, *key_path), hint)
        elif details[0]["loc"][-1:] == ("[key]",) and details[0]["type"] == "string_pattern_mismatch":
            message = f"{label}: {'.'.join(map(str, key_path[:-1]))}: '{key_path[-1]}' is no name"
            letters = "letters, digits and _ only, not beginning with a digit"
            plain = details[0]["ctx"]["pattern"] == IDENTIFIER
            hint = letters if plain else f"a name matches {details[0]['ctx']['pattern']}"
            document.add("C004", message, (*path, *key_path), hint)
        elif details[0]["type"] == "missing":
            document.add("C005", f"{label}: missing key '{dotted}'", (*path, *key_path), f"add `{key_path[-1]}:`")
        elif details[0]["type"] in ("value_error", "assertion_error"):
            reason = details[0]["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            document.add("C012", f"{prefix}{reason}", (*path, *key_path), value=True)
        else:
            given = _lookup(values, key_path)
            wanted = " or ".join(dict.fromkeys(_expected(detail) for detail in details))
            hint_text = _hint(details, given)
            document.add(
                "C004", f"{prefix}expected {wanted}, got {shown(given)}", (*path, *key_path), hint_text, value=True
            )


def _within(values: Any, location: Sequence[str | int]) -> KeyPath:
    """The part of pydantic's location that is a path in the recipe; the rest names branches of unions."""
    key_path: list[str | int] = []
    for part in location:
        inside = part in values if isinstance(values, Mapping) else _is_index(values, part)
        if inside:
            values = values[part]
            key_path.append(part)
    return tuple(key_path)


def _is_index(values: Any, part: str | int) -> bool:
    return isinstance(values, list) and isinstance(part, int) and part < len(values)


def _lookup(values: Any, place: KeyPath) -> Any:
    for part in place:
        values = values[part]
    return values


def _keys(model: type[BaseModel], key_path: KeyPath) -> list[str]:
    """Keys of the model at a place."""
    current: Any = model
    for part in key_path:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            return []
        current = field.annotation
    return [field.alias or name for name, field in getattr(current, "model_fields", {}).items()]


def _expected(detail: Any) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    match kind:
        case "literal_error" | "enum":
            return f"{'one of ' if ' or ' in context['expected'] else ''}{context['expected']}"
        case "greater_than":
            return f"a number > {context['gt']}"
        case "greater_than_equal":
            return f"a number >= {context['ge']}"
        case "less_than":
            return f"a number < {context['lt']}"
        case "less_than_equal":
            return f"a number <= {context['le']}"
        case "string_pattern_mismatch":
            return f"text matching {context['pattern']}"
        case "too_short":
            return f"a list of at least {context['min_length']}"
        case "too_long":
            return f"a list of at most {context['max_length']}"
    message = str(detail["msg"])
    return _EXPECTED.get(kind) or message.removeprefix("Input should be ")


def _hint(details: Sequence[Any], given: Any) -> str | None:
    if details[0]["type"] in ("literal_error", "enum") and isinstance(given, str):
        choices = re.findall(r"'([^']*)'", details[0]["ctx"]["expected"])
        near = get_close_matches(given, choices, 1)
        return f"did you mean '{near[0]}'?" if near else None
    wanted = {_EXPECTED.get(detail["type"]) for detail in details}
    if "text" in wanted and isinstance(given, bool | int | float):
        return "put it in quotes: YAML takes bare yes, no, on, off, true and numbers for something else"
    if "a number" in wanted and isinstance(given, str) and re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", given):
        return f"write {given.lower().replace('e', '.0e', 1)}: YAML takes a number without a point for text"
    return None


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = masked(repr(value))
    return text if len(text) <= 60 else text[:57] + "..."
