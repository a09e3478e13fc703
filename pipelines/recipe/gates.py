"""A recipe's text with other gates, and nothing else changed: comments, order and spacing stay."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from pipelines.recipe.document import Document
from pipelines.recipe.stages import default_id
from schemas.errors import CurationError, Finding

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*( [A-Za-z0-9_.<>=+*/()%'-]+)*")
"""Texts that YAML reads as they are, whatever stands around them."""


def with_gates(text: str, gates: Mapping[str, str]) -> str:
    """`keep:` of some stages, by id, as given, in place of what the text has.

    Raises CurationError C032 for a stage that is not there, C039 where the text cannot be edited so that it says just
    that, such as where two stages share a value by an alias.
    """
    before = _value(text)
    stages = before.get("stages") or [] if isinstance(before, dict) else []
    ids = [default_id(stage) for stage in stages]
    for stage in gates:
        if stage not in ids:
            known = ", ".join(str(name) for name in ids)
            raise CurationError(Finding("C032", f"the recipe has no stage '{stage}'", f"stages: {known}"))
    due = json.loads(json.dumps(before, default=str))
    edits = []
    document = Document(text, None)
    document.read()
    for stage, expression in gates.items():
        number = ids.index(stage)
        due["stages"][number]["keep"] = expression
        edits.append(_edit(text, document, number, expression))
    for start, end, put in sorted(edits, reverse=True):
        text = text[:start] + put + text[end:]
    if json.loads(json.dumps(_value(text), default=str)) != due:
        hint = "change the lines `keep:` by hand"
        raise CurationError(
            Finding("C039", "the recipe's text cannot be edited without changing more than gates", hint)
        )
    return text


def _edit(text: str, document: Document, number: int, expression: str) -> tuple[int, int, str]:
    """Characters [start, end) of the text, and what takes their place."""
    keep = document.values.get(("stages", number, "keep"))
    if keep is not None:
        start, end = keep.start_mark.index, keep.end_mark.index
        block = keep.style in ("|", ">") if isinstance(keep, yaml.ScalarNode) else False
        if block:
            end = start + len(text[start:end].rstrip())
        return start, end, _scalar(expression)
    stage = document.values["stages", number]
    if stage.flow_style:
        end = stage.end_mark.index - 1
        while text[end - 1] in " \t\r\n":
            end -= 1
        comma = "" if text[end - 1] in ",{" else ","
        return end, end, f"{comma} keep: {_scalar(expression)}"
    first, last = stage.value[0][0], stage.value[-1][1]
    end = _end_of(text, last)
    margin = " " * first.start_mark.column
    return end, end, f"\n{margin}keep: {_scalar(expression)}"


def _end_of(text: str, node: Any) -> int:
    """Where the line ends on which a value ends, with what comment is on it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end = node.start_mark.index + len(text[node.start_mark.index : node.end_mark.index].rstrip())
    line = text.find("\n", end)
    return len(text) if line < 0 else line


def _scalar(expression: str) -> str:
    """One line of YAML that is this text; plain where that is safe, as people write gates."""
    if "\n" not in expression and _BARE.fullmatch(expression) and _reads_as_it_is(expression):
        return expression
    return json.dumps(expression, ensure_ascii=not expression.isprintable())


def _reads_as_it_is(expression: str) -> bool:
    try:
        return bool(yaml.safe_load(f"[{expression}]") == [expression] == yaml.safe_load(f"- {expression}"))
    except yaml.YAMLError:
        return False


def _value(text: str) -> Any:
    document = Document(text, None)
    value = document.read()
    if document.findings:
        raise CurationError(*document.findings)
    return value
