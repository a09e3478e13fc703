"""DuckDB's syntax trees of single expressions: made, compared, walked and written again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from curation.gates.database import fetch
from curation.gates.verdicts import Span

PREFIX = "SELECT "
_NOWHERE = 2**64 - 1


@dataclass(frozen=True)
class Unparsed:
    message: str
    position: int | None
    """In characters of the expression."""


def select_of(expression: str) -> dict[str, Any] | Unparsed:
    """The tree of `SELECT <expression>`."""
    text = PREFIX + expression
    try:
        tree = json.loads(_serialized(text))
    except (duckdb.Error, UnicodeError) as error:
        return Unparsed(str(error).split("\n")[0], None)
    if tree["error"]:
        position = tree.get("position")
        offset = characters(text, int(position)) - len(PREFIX) if position is not None else None
        message = str(tree["error_message"])
        if "Only SELECT statements" in message:
            message = "it is more than one expression"
        return Unparsed(message, offset if offset is not None and 0 <= offset <= len(expression) else None)
    return tree  # type: ignore[no-any-return]


@lru_cache(maxsize=256)  # a gate's parts are read several times while it is checked
def _serialized(select: str) -> str:
    return str(fetch("SELECT json_serialize_sql($1)", [select]))


def is_bare(node: dict[str, Any]) -> bool:
    """Whether a SELECT is nothing but a list of one expression."""
    return (
        node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and not node["select_list"][0]["alias"]
        and not node["modifiers"]
        and not node["cte_map"]["map"]
        and node["from_table"]["type"] == "EMPTY"
        and not any(node[key] for key in ("where_clause", "group_expressions", "group_sets", "having", "sample"))
        and not node["qualify"]
        and node["aggregate_handling"] == "STANDARD_HANDLING"
    )


def shape(tree: Any) -> Any:
    """A tree without positions: equal for expressions that mean the same."""
    if isinstance(tree, dict):
        return {key: shape(value) for key, value in tree.items() if not key.startswith("query_location")}
    if isinstance(tree, list):
        return [shape(value) for value in tree]
    return tree


def lambda_parameters(node: dict[str, Any]) -> frozenset[str]:
    """Names that a lambda binds; none when `->` is JSON extraction."""
    left = node["lhs"]
    names = left["arguments"] if left["class"] == "FUNCTION" and left["function_name"] == "row" else [left]
    names = [name.get("expression", name) for name in names]
    if all(name["class"] == "COLUMN_REF" and len(name["column_names"]) == 1 for name in names):
        return frozenset(name["column_names"][0].casefold() for name in names)
    return frozenset()


def children(node: Any) -> Iterator[dict[str, Any]]:
    """Expressions directly below a node, whatever structure lies between."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict) and "class" in value:
            yield value
        elif isinstance(value, dict | list):
            yield from children(value)


def below(node: dict[str, Any], scope: frozenset[str]) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Expressions directly below a node, each with the lambda parameters that are visible there."""
    if node["class"] == "LAMBDA":
        bound = lambda_parameters(node)
        if not bound:
            yield node["lhs"], scope
        yield node["expr"], scope | bound
        return
    for child in children(node):
        yield child, scope


def references(node: dict[str, Any], sql: str, scope: frozenset[str]) -> Iterator[tuple[str, Span | None]]:
    if node["class"] == "COLUMN_REF" and node["column_names"][0].casefold() not in scope:
        yield ".".join(node["column_names"][:2]), span_of(node, sql)
    for child, inner in below(node, scope):
        yield from references(child, sql, inner)


def render(node: dict[str, Any]) -> str | None:
    """SQL text of one expression; None where DuckDB's rendering does not parse back to the same tree."""
    tree = select_of("1")
    assert isinstance(tree, dict)
    tree["statements"][0]["node"]["select_list"] = [node]
    try:
        text = str(fetch("SELECT json_deserialize_sql($1)", [json.dumps(tree)]))[len(PREFIX) :]
    except duckdb.Error:
        return None
    return text if same(text, node) else None


def same(text: str, node: dict[str, Any]) -> bool:
    tree = select_of(text)
    return (
        isinstance(tree, dict)
        and len(tree["statements"]) == 1
        and is_bare(tree["statements"][0]["node"])
        and shape(tree["statements"][0]["node"]["select_list"][0]) == shape(node)
    )


def span_of(node: dict[str, Any], sql: str) -> Span | None:
    start = node.get("query_location", _NOWHERE)
    if start == _NOWHERE:
        return None
    text = PREFIX + sql
    end = characters(text, start + max(1, node.get("query_location_length", 1)))
    return characters(text, start) - len(PREFIX), end - len(PREFIX)


def characters(text: str, offset: int) -> int:
    """DuckDB counts bytes, Python characters."""
    return len(text.encode()[:offset].decode(errors="ignore"))
