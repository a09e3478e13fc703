"""A gate as text: what it may be, its conjuncts as they were written, the columns that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb

from curation.gates.database import fetch
from curation.gates.functions import LONGEST, ONE_CONDITION, is_simple, refusals
from curation.gates.tree import Unparsed, characters, is_bare, references, render, same, select_of, shape
from curation.gates.verdicts import Conjunct, GateError, Span
from schemas.errors import Finding

_COMPARISONS = {
    "COMPARE_EQUAL": ("=", "="),
    "COMPARE_NOTEQUAL": ("!=", "!="),
    "COMPARE_LESSTHAN": ("<", ">"),
    "COMPARE_GREATERTHAN": (">", "<"),
    "COMPARE_LESSTHANOREQUALTO": ("<=", ">="),
    "COMPARE_GREATERTHANOREQUALTO": (">=", "<="),
}
_OPPOSITE = {
    "COMPARE_EQUAL": "COMPARE_NOTEQUAL",
    "COMPARE_NOTEQUAL": "COMPARE_EQUAL",
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHANOREQUALTO",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHAN",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHAN",
}
"""Of one that is denied: NULL is neither, and DuckDB orders NaN."""


class Parsed(NamedTuple):
    """What `curation.gates.Gate` says of its text."""

    canonical: str
    conjuncts: tuple[Conjunct, ...]
    columns: tuple[str, ...]
    spans: tuple[Span | None, ...]
    simple: bool


def parse(sql: str) -> Parsed:
    """Read a gate. Raises GateError C009 or C011."""
    if "\0" in sql:
        raise refused("C009", "gate contains a NUL character", None, (sql.index("\0"), sql.index("\0") + 1))
    if len(sql) > LONGEST:
        hint = "a cut that needs a long list is a scorer of its own, or a mapped column"
        raise refused("C011", f"gate has {len(sql):,} characters, more than {LONGEST:,}", hint, None)
    try:
        return _parsed(sql)
    except RecursionError:
        raise refused("C011", "gate is nested too deeply", "a gate is one condition on a few columns", None) from None


def _parsed(sql: str) -> Parsed:
    statement = select_of(sql)
    if isinstance(statement, Unparsed):
        at = statement.position
        message = f"gate does not parse: {statement.message}" if sql.strip() else "gate is empty"
        raise refused("C009", message, ONE_CONDITION, (at, at + 1) if at is not None else None)
    node = statement["statements"][0]["node"]
    # The text must parse alone, and mean the same between parentheses: this is what no `1; DROP`, `x FROM t`,
    # `a AS b`, `a, b` or `1) FROM (t` survives.
    wrapped = select_of(f"({sql}\n)")
    if (
        len(statement["statements"]) != 1
        or not is_bare(node)
        or isinstance(wrapped, Unparsed)
        or len(wrapped["statements"]) != 1
        or not is_bare(wrapped["statements"][0]["node"])
        or shape(wrapped["statements"][0]["node"]["select_list"]) != shape(node["select_list"])
    ):
        raise refused("C011", "gate is not one expression", ONE_CONDITION, None)

    root = node["select_list"][0]
    faults = list(refusals(root, sql, frozenset()))
    if faults:
        raise GateError([finding for finding, _ in faults], [span for _, span in faults])

    nodes = root["children"] if root["type"] == "CONJUNCTION_AND" else [root]
    slices = _slices(sql, nodes) if len(nodes) > 1 else [_tidy(sql, root)]
    conjuncts = []
    first: dict[str, Span | None] = {}
    for index, child in enumerate(nodes):
        expression = render(child) or f"{slices[index] if slices else sql}\n"
        for name, span in references(child, sql, frozenset()):
            first.setdefault(name, span)
        conjuncts.append(_conjunct(child, slices[index] if slices else _unwrapped(expression), expression, sql))
    columns, spans = tuple(first), tuple(first.values())
    return Parsed(render(root) or sql.strip(), tuple(conjuncts), columns, spans, is_simple(root))


def _conjunct(node: dict[str, Any], text: str, expression: str, sql: str) -> Conjunct:
    columns = tuple(dict.fromkeys(name for name, _ in references(node, sql, frozenset())))
    bare = node["class"] == "COLUMN_REF" and len(node["column_names"]) == 2
    node, denied = _without_not(node)
    if node["class"] == "COMPARISON" and node["type"] in _COMPARISONS:
        op, mirrored = _COMPARISONS[_OPPOSITE[node["type"]] if denied else node["type"]]
        for column, constant, sign in ((node["left"], node["right"], op), (node["right"], node["left"], mirrored)):
            if column["class"] == "COLUMN_REF" and len(column["column_names"]) == 2:
                value = _constant(constant)
                if value is not None:
                    return Conjunct(text, expression, columns, ".".join(column["column_names"]), sign, value)
    if node["class"] == "BETWEEN" and node["type"] == "COMPARE_BETWEEN" and not denied:
        column, *ends = node["input"], node["lower"], node["upper"]
        if column["class"] == "COLUMN_REF" and len(column["column_names"]) == 2:
            low, high = (_constant(end) for end in ends)
            if isinstance(low, float) and isinstance(high, float):
                return Conjunct(text, expression, columns, ".".join(column["column_names"]), "between", low, high)
    return Conjunct(text, expression, columns, bare=bare)


def _without_not(node: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What a condition denies, and whether it does: NOT NOT x is x."""
    denied = False
    while node["class"] == "OPERATOR" and node["type"] == "OPERATOR_NOT":
        node, denied = node["children"][0], not denied
    return node, denied


def _constant(node: dict[str, Any]) -> float | str | bool | None:
    """What a part without columns is worth, so that `10 * 5` and `50::FLOAT` are thresholds as 50 is."""
    if node["class"] == "CONSTANT":
        return _literal(node["literal"])
    text = None if next(references(node, "", frozenset()), None) or not is_simple(node) else render(node)
    if text is None:
        return None
    try:
        value = fetch(f"SELECT ({text})::DOUBLE WHERE typeof({text}) NOT IN ('VARCHAR', 'BOOLEAN', 'BLOB')", [])
    except (duckdb.Error, IndexError, UnicodeError):  # `check` says what it cannot compute
        return None
    return None if value is None else float(value)


def _literal(literal: dict[str, Any]) -> float | str | bool | None:
    text = literal.get("text", "")
    match literal["kind"]:
        case "INTEGER" | "NUMERIC":
            try:
                return float(text.replace("_", ""))
            except ValueError:
                return None  # a hexadecimal literal
        case "STRING":
            return str(text)
        case "BOOLEAN":
            return bool(text == "true")
    return None


def _slices(sql: str, nodes: list[dict[str, Any]]) -> list[str] | None:
    """The user's text of each conjunct, proven by parsing it again; None if it cannot be told apart.

    Cut at every AND outside brackets, then glue pieces together until they are the next conjunct: that is how the
    AND of a BETWEEN, or inside a CASE, is told from one that joins.
    """
    pieces, brackets, start = [], 0, 0
    for offset, text, token in _tokens(sql):
        if token == duckdb.token_type.operator:
            # Neighbouring operators may come as one token, such as `))`.
            brackets += sum(text.count(sign) for sign in "([{") - sum(text.count(sign) for sign in ")]}")
        elif token == duckdb.token_type.keyword and text.casefold() == "and" and brackets == 0:
            pieces.append((start, offset))
            start = offset + 3
    pieces.append((start, len(sql)))

    slices: list[str] = []
    begin = 0
    while begin < len(pieces) and len(slices) < len(nodes):
        for last in range(begin, len(pieces)):
            text = sql[pieces[begin][0] : pieces[last][1]].strip()
            if same(text, nodes[len(slices)]):
                slices.append(_tidy(text, nodes[len(slices)]))
                break
            inner = _nested(text, nodes[len(slices) :])
            if inner is not None:
                slices.extend(inner)
                break
        else:
            return None
        begin = last + 1
    return slices if len(slices) == len(nodes) and begin == len(pieces) else None


def _nested(text: str, nodes: list[dict[str, Any]]) -> list[str] | None:
    """Slices of `(a and b)`, which the grammar flattens into the AND around it."""
    tree = select_of(text)
    if not (text.startswith("(") and text.endswith(")")) or isinstance(tree, Unparsed):
        return None
    root = tree["statements"][0]["node"]["select_list"][0]
    if root["type"] != "CONJUNCTION_AND":
        return None
    children = root["children"]
    if shape(children) != shape(nodes[: len(children)]):
        return None
    return _slices(text[1:-1], children)


def _tidy(text: str, node: dict[str, Any]) -> str:
    """On one line, without comments and outer parentheses, where that means the same."""
    text = text.strip()
    tokens = list(_tokens(text))
    if any(token == duckdb.token_type.comment for _, _, token in tokens):
        ends = [offset for offset, _, _ in tokens[1:]] + [len(text)]
        kept = (
            " " if token == duckdb.token_type.comment else text[offset:end]
            for (offset, _, token), end in zip(tokens, ends, strict=True)
        )
        line = "".join(kept).strip()
        text = line if same(line, node) else _unwrapped(render(node) or text)
    if "\n" in text:
        line = " ".join(text.split())
        text = line if same(line, node) else text
    while text.startswith("(") and text.endswith(")") and same(text[1:-1], node):
        text = text[1:-1].strip()
    return text


def _tokens(sql: str) -> Iterator[tuple[int, str, duckdb.token_type]]:
    """DuckDB's tokens: offset in characters, text, type."""
    # It counts bytes and gives starts only; what follows a token up to the next one is space, or a comment's end.
    tokens = [(characters(sql, offset), token) for offset, token in duckdb.tokenize(sql)]
    for index, (offset, token) in enumerate(tokens):
        end = tokens[index + 1][0] if index + 1 < len(tokens) else len(sql)
        yield offset, sql[offset:end].strip(), token


def _unwrapped(expression: str) -> str:
    """DuckDB renders an operator between parentheses, which nobody wrote."""
    inner = expression[1:-1].strip()
    if expression.startswith("(") and expression.endswith(")"):
        tree, same = select_of(expression), select_of(inner)
        if isinstance(same, dict) and shape(tree) == shape(same):
            return inner
    return expression.strip()


def refused(code: str, message: str, hint: str | None, span: Span | None) -> GateError:
    return GateError([Finding(code, message, hint)], [span])
