"""Gates: one scalar, deterministic SQL condition over the columns of stages, evaluated over Arrow by DuckDB.

A stage's columns are one struct named by its id, so a gate reads `language.prob > 0.65 and language.lang = 'en'`.
DuckDB's own grammar parses it and DuckDB evaluates it; what is allowed in between is decided on the syntax tree, by
naming what is allowed, so a construct of a later DuckDB is refused until somebody has looked at it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, cached_property
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.documents import OK, STATUS
from schemas.errors import CurationError, Finding

PASSED = -1
"""In `Verdicts.failed`: every conjunct is true."""
UNKNOWN = -2
"""In `Verdicts.failed`: no conjunct is false, and at least one is NULL. The document is dropped."""
ERRORED = -3
"""In `Verdicts.failed`: the gate could not be computed for this document."""

Span = tuple[int, int]
"""Start and end, in characters of the gate's text."""


class GateError(CurationError):
    """A gate that cannot be used. `spans[i]` says where in its text `findings[i]` is, where that is known."""

    def __init__(self, findings: Sequence[Finding], spans: Sequence[Span | None]) -> None:
        super().__init__(*findings)
        self.spans = tuple(spans)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.findings, self.spans))


@dataclass(frozen=True)
class Conjunct:
    """One of the conditions that a gate joins with AND."""

    sql: str
    """As the user wrote it."""
    expression: str
    """As DuckDB writes it."""
    columns: tuple[str, ...]
    """`stage.column` names that it reads, in order of appearance."""
    column: str | None = None
    """Of a comparison of one column with one constant: the column."""
    op: str | None = None
    """The comparison, as if the column stood on the left."""
    constant: float | str | bool | None = None
    """What the column is compared with."""
    bare: bool = False
    """True when the whole condition is one column: `gopher.pass`."""

    @property
    def threshold(self) -> float | None:
        """The constant, when it is a number."""
        return self.constant if isinstance(self.constant, float) else None


@dataclass(frozen=True)
class Verdicts:
    """What a gate says about n documents."""

    passed: np.ndarray
    """bool[n]"""
    failed: np.ndarray
    """int16[n]: index of the first conjunct that is false, or PASSED, UNKNOWN, ERRORED."""
    errored: np.ndarray
    """bool[n]"""
    error: str | None
    """What kind of error it was; names the gate, never a value."""
    drops: pa.RecordBatch
    """`DROPS`, a row for each dropped document, ascending by `row`."""


DROPS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("details", pa.string()),
    ]
)
"""`row`: position in the batch. `score` and `threshold`: of a numeric column compared with a number, else null.
`details`: JSON of the columns that the failing conjunct reads (all that the gate reads, for `unknown`)."""


@dataclass(frozen=True)
class Gate:
    """A parsed gate. Plain data: it may be pickled and sent to a worker."""

    sql: str
    canonical: str
    """The same condition as DuckDB writes it: equal for gates that differ in spacing and comments only."""
    conjuncts: tuple[Conjunct, ...]
    columns: tuple[str, ...]
    """`stage.column` names that it reads, in order of appearance."""
    spans: tuple[Span | None, ...]
    """Where each of `columns` first stands in `sql`."""

    @classmethod
    def parse(cls, sql: str) -> Gate:
        """Read a gate.

        Raises GateError: C009 where DuckDB's grammar refuses it, C011 where it is more than one expression, or
        contains a subquery, an aggregate, a window, a star, a parameter or a function that is not deterministic.
        """
        return _parse(sql)

    @property
    def stages(self) -> tuple[str, ...]:
        """Ids of the stages that it reads, as written."""
        return tuple(dict.fromkeys(name.split(".")[0] for name in self.columns))

    def check(self, stage_fields: Mapping[str, Sequence[pa.Field]], later: Collection[str] = ()) -> None:
        """Bind the gate to the columns of this and earlier stages (each also has a string column `status`).

        `later` names stages that exist but run after the gate. Raises GateError: C010 for an unknown stage or
        column, C011 for a condition that does not bind, or is not boolean.
        """
        _check(self, stage_fields, later)

    def evaluate(self, structs: Mapping[str, pa.StructArray]) -> Verdicts:
        """Decide on n documents.

        `structs` has one struct array of length n for each stage; those that the gate does not read are not
        touched. A document for which the condition cannot be computed (a failing cast) is `errored`, whatever its
        neighbours are; the conditions to the right of the first false one are not computed for it.
        """
        return _evaluate(self, structs)

    @cached_property
    def _decision(self) -> str:
        # Evaluated in the order written: `a.kind = 'number' and a.value::int > 3` casts guarded rows only.
        false = " ".join(f"WHEN NOT ({c.expression}) THEN {i}" for i, c in enumerate(self.conjuncts))
        null = " OR ".join(f"(({c.expression}) IS NULL)" for c in self.conjuncts)
        return f"CAST(CASE {false} WHEN {null} THEN {UNKNOWN} ELSE {PASSED} END AS SMALLINT)"


def values(expression: Gate, columns: pa.Table) -> pa.ChunkedArray:
    """What a parsed expression gives for each row of plain columns [n]; it need be no condition.

    Raises duckdb.Error where it does not bind to the columns, or cannot be computed for some row.
    """
    connection = _connection()
    connection.register(_BATCH, columns)
    try:
        query = f'SELECT ({expression.canonical}) AS value FROM "{_BATCH}"'
        return connection.sql(query).to_arrow_table().column("value")
    finally:
        connection.unregister(_BATCH)


# --- parsing -----------------------------------------------------------------------------------------------------

_PREFIX = "SELECT "
_NOWHERE = 2**64 - 1
_COMPARISONS = {
    "COMPARE_EQUAL": ("=", "="),
    "COMPARE_NOTEQUAL": ("!=", "!="),
    "COMPARE_LESSTHAN": ("<", ">"),
    "COMPARE_GREATERTHAN": (">", "<"),
    "COMPARE_LESSTHANOREQUALTO": ("<=", ">="),
    "COMPARE_GREATERTHANOREQUALTO": (">=", "<="),
}
_ALLOWED = {
    "COLUMN_REF",
    "CONSTANT",
    "COMPARISON",
    "CONJUNCTION",
    "OPERATOR",
    "FUNCTION",
    "CASE",
    "CAST",
    "BETWEEN",
    "LAMBDA",
    "COLLATE",
    "TYPE",
}
_REFUSED = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "a star",
    "PARAMETER": "a parameter",
    "DEFAULT": "DEFAULT",
    "POSITIONAL_REFERENCE": "a positional reference",
    "GROUPING_FUNCTION": "an aggregate",
}
_CLOCK_COLUMNS = {
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
}
"""Names without parentheses that DuckDB turns into calls when there is no such column."""
_CLOCK_FUNCTIONS = {"current_localtime", "current_localtimestamp"}
"""DuckDB 2.0 lists these as consistent, though they read the clock; so does `age` with one argument."""
_ONE_CONDITION = "a gate is one condition, such as language.prob > 0.65"


def _parse(sql: str) -> Gate:
    if "\0" in sql:
        raise _error("C009", "gate contains a NUL character", None, (sql.index("\0"), sql.index("\0") + 1))
    statement = _statement(sql)
    if isinstance(statement, _SyntaxError):
        at = statement.position
        message = f"gate does not parse: {statement.message}" if sql.strip() else "gate is empty"
        raise _error("C009", message, _ONE_CONDITION, (at, at + 1) if at is not None else None)
    node = statement["statements"][0]["node"]
    # The text must parse alone, and mean the same between parentheses: this is what no `1; DROP`, `x FROM t`,
    # `a AS b`, `a, b` or `1) FROM (t` survives.
    wrapped = _statement(f"({sql}\n)")
    if (
        len(statement["statements"]) != 1
        or not _is_bare(node)
        or isinstance(wrapped, _SyntaxError)
        or len(wrapped["statements"]) != 1
        or not _is_bare(wrapped["statements"][0]["node"])
        or _shape(wrapped["statements"][0]["node"]["select_list"]) != _shape(node["select_list"])
    ):
        raise _error("C011", "gate is not one expression", _ONE_CONDITION, None)

    root = node["select_list"][0]
    refusals = list(_refusals(root, sql, frozenset()))
    if refusals:
        raise GateError([finding for finding, _ in refusals], [span for _, span in refusals])

    nodes = root["children"] if root["type"] == "CONJUNCTION_AND" else [root]
    slices = _slices(sql, nodes) if len(nodes) > 1 else [_tidy(sql, root)]
    conjuncts = []
    first: dict[str, Span | None] = {}
    for index, child in enumerate(nodes):
        expression = _render(child) or f"{slices[index] if slices else sql}\n"
        for name, span in _references(child, sql, frozenset()):
            first.setdefault(name, span)
        conjuncts.append(_conjunct(child, slices[index] if slices else _unwrapped(expression), expression, sql))
    return Gate(
        sql=sql,
        canonical=_render(root) or sql.strip(),
        conjuncts=tuple(conjuncts),
        columns=tuple(first),
        spans=tuple(first.values()),
    )


@dataclass(frozen=True)
class _SyntaxError:
    message: str
    position: int | None
    """In characters of the expression."""


def _statement(expression: str) -> dict[str, Any] | _SyntaxError:
    """The tree of `SELECT <expression>`."""
    text = _PREFIX + expression
    try:
        tree = json.loads(_fetch("SELECT json_serialize_sql($1)", [text]))
    except (duckdb.Error, UnicodeError) as error:
        return _SyntaxError(str(error).split("\n")[0], None)
    if tree["error"]:
        position = tree.get("position")
        at = _characters(text, int(position)) - len(_PREFIX) if position is not None else None
        message = str(tree["error_message"])
        if "Only SELECT statements" in message:
            message = "it is more than one expression"
        return _SyntaxError(message, at if at is not None and 0 <= at <= len(expression) else None)
    return tree  # type: ignore[no-any-return]


def _is_bare(node: dict[str, Any]) -> bool:
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


def _shape(tree: Any) -> Any:
    """A tree without positions: equal for expressions that mean the same."""
    if isinstance(tree, dict):
        return {key: _shape(value) for key, value in tree.items() if not key.startswith("query_location")}
    if isinstance(tree, list):
        return [_shape(value) for value in tree]
    return tree


def _parameters(node: dict[str, Any]) -> frozenset[str]:
    """Names that a lambda binds; none when `->` is JSON extraction."""
    left = node["lhs"]
    names = left["arguments"] if left["class"] == "FUNCTION" and left["function_name"] == "row" else [left]
    names = [name.get("expression", name) for name in names]
    if all(name["class"] == "COLUMN_REF" and len(name["column_names"]) == 1 for name in names):
        return frozenset(name["column_names"][0].casefold() for name in names)
    return frozenset()


def _children(node: Any) -> Iterator[dict[str, Any]]:
    """Expressions directly below a node, whatever structure lies between."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict) and "class" in value:
            yield value
        elif isinstance(value, dict | list):
            yield from _children(value)


def _below(node: dict[str, Any], scope: frozenset[str]) -> Iterator[tuple[dict[str, Any], frozenset[str]]]:
    """Expressions directly below a node, each with the lambda parameters that are visible there."""
    if node["class"] == "LAMBDA":
        bound = _parameters(node)
        if not bound:
            yield node["lhs"], scope
        yield node["expr"], scope | bound
        return
    for child in _children(node):
        yield child, scope


def _refusals(node: dict[str, Any], sql: str, scope: frozenset[str]) -> Iterator[tuple[Finding, Span | None]]:
    span = _span(node, sql)
    kind = node["class"]
    refused = _REFUSED.get(node["type"]) or _REFUSED.get(kind)
    if refused is not None or kind not in _ALLOWED or node["type"] == "OPERATOR_UNPACK":
        yield _finding(f"gate contains {refused or 'an unsupported expression'}", _ONE_CONDITION), span
        return
    if kind == "COLUMN_REF" and len(node["column_names"]) == 1:
        name = node["column_names"][0]
        if name.casefold() in _CLOCK_COLUMNS and name.casefold() not in scope:
            hint = "a decision must be the same tomorrow: compare with a constant"
            yield _finding(f"gate reads '{name}', which is not deterministic", hint), span
    if kind == "FUNCTION":
        fault = _fault(node)
        if fault is not None:
            yield _finding(*fault), span
            return
    for child, inner in _below(node, scope):
        yield from _refusals(child, sql, inner)


def _fault(node: dict[str, Any]) -> tuple[str, str] | None:
    """Message and hint when a function may not be called in a gate."""
    name = node["function_name"].casefold()
    if len(node["qualified_name"]["path"]) > 1:
        column = ".".join(node["qualified_name"]["path"][:-1])
        return f"gate calls '{column}.{name}(...)'", f"write {name}({column})"
    known = _functions()
    if name not in known:
        near = get_close_matches(name, known, 1)
        return f"gate calls an unknown function '{name}'", f"did you mean '{near[0]}'?" if near else _ONE_CONDITION
    if name in _CLOCK_FUNCTIONS or (name == "age" and len(node["arguments"]) == 1) or known[name] == "volatile":
        return f"gate calls '{name}', which is not deterministic", "a decision must be the same tomorrow"
    if known[name] is not None:
        return (
            f"gate calls '{name}', {known[name]}",
            "a gate sees one document; a cut over all documents is a `select:` stage",
        )
    return None


@cache
def _functions() -> dict[str, str | None]:
    """Function names of DuckDB: None for what a gate may call, else why it may not."""
    rows = _fetch_all(
        "SELECT lower(function_name), function_type, stability, macro_definition FROM duckdb_functions() "
        "WHERE function_type IN ('scalar', 'aggregate', 'window', 'macro', 'table', 'table_macro')"
    )
    verdicts: dict[str, str | None] = {}
    words = {"aggregate": "an aggregate", "window": "a window function"}
    for name, kind, _, _ in rows:
        if kind not in ("scalar", "macro"):
            verdicts[name] = words.get(kind, "a table function")
    # A name that is also scalar is decided by its scalar form: DuckDB binds that one, and `check` would see others.
    for name, kind, _, _ in rows:
        if kind == "scalar" and words.get("aggregate") != verdicts.get(name):
            verdicts[name] = None
    for name, kind, stability, _ in rows:
        if kind == "scalar" and stability != "CONSISTENT":
            verdicts[name] = "volatile"
    macros = {name: body for name, kind, _, body in rows if kind == "macro"}

    def inspect(name: str, seen: frozenset[str]) -> str | None:
        tree = _statement(macros[name])
        if name in seen or isinstance(tree, _SyntaxError):
            return "volatile"
        pending = list(tree["statements"][0]["node"]["select_list"])
        while pending:
            node = pending.pop()
            pending.extend(_children(node))
            if node["class"] not in _ALLOWED:
                return _REFUSED.get(node["class"], "volatile")
            if node["class"] == "COLUMN_REF" and node["column_names"][0].casefold() in _CLOCK_COLUMNS:
                return "volatile"
            if node["class"] == "FUNCTION":
                called = node["function_name"].casefold()
                verdict = inspect(called, seen | {name}) if called in macros else verdicts.get(called, "volatile")
                if verdict is not None:
                    return verdict
        return None

    for name in macros:
        verdicts[name] = inspect(name, frozenset())
    return verdicts


def _references(node: dict[str, Any], sql: str, scope: frozenset[str]) -> Iterator[tuple[str, Span | None]]:
    if node["class"] == "COLUMN_REF" and node["column_names"][0].casefold() not in scope:
        yield ".".join(node["column_names"][:2]), _span(node, sql)
    for child, inner in _below(node, scope):
        yield from _references(child, sql, inner)


def _conjunct(node: dict[str, Any], text: str, expression: str, sql: str) -> Conjunct:
    columns = tuple(dict.fromkeys(name for name, _ in _references(node, sql, frozenset())))
    bare = node["class"] == "COLUMN_REF" and len(node["column_names"]) == 2
    if node["class"] == "COMPARISON" and node["type"] in _COMPARISONS:
        op, mirrored = _COMPARISONS[node["type"]]
        for column, constant, sign in ((node["left"], node["right"], op), (node["right"], node["left"], mirrored)):
            if column["class"] == "COLUMN_REF" and len(column["column_names"]) == 2 and constant["class"] == "CONSTANT":
                value = _literal(constant["literal"])
                if value is not None:
                    return Conjunct(text, expression, columns, ".".join(column["column_names"]), sign, value)
    return Conjunct(text, expression, columns, bare=bare)


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


def _render(node: dict[str, Any]) -> str | None:
    """SQL text of one expression; None where DuckDB's rendering does not parse back to the same tree."""
    tree = _statement("1")
    assert isinstance(tree, dict)
    tree["statements"][0]["node"]["select_list"] = [node]
    try:
        text = str(_fetch("SELECT json_deserialize_sql($1)", [json.dumps(tree)]))[len(_PREFIX) :]
    except duckdb.Error:
        return None
    return text if _same(text, node) else None


def _same(text: str, node: dict[str, Any]) -> bool:
    tree = _statement(text)
    return (
        isinstance(tree, dict)
        and len(tree["statements"]) == 1
        and _is_bare(tree["statements"][0]["node"])
        and _shape(tree["statements"][0]["node"]["select_list"][0]) == _shape(node)
    )


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

    found: list[str] = []
    begin = 0
    while begin < len(pieces) and len(found) < len(nodes):
        for last in range(begin, len(pieces)):
            text = sql[pieces[begin][0] : pieces[last][1]].strip()
            if _same(text, nodes[len(found)]):
                found.append(_tidy(text, nodes[len(found)]))
                break
            inner = _nested(text, nodes[len(found) :])
            if inner is not None:
                found.extend(inner)
                break
        else:
            return None
        begin = last + 1
    return found if len(found) == len(nodes) and begin == len(pieces) else None


def _nested(text: str, nodes: list[dict[str, Any]]) -> list[str] | None:
    """Slices of `(a and b)`, which the grammar flattens into the AND around it."""
    tree = _statement(text)
    if not (text.startswith("(") and text.endswith(")")) or isinstance(tree, _SyntaxError):
        return None
    root = tree["statements"][0]["node"]["select_list"][0]
    if root["type"] != "CONJUNCTION_AND":
        return None
    children = root["children"]
    if _shape(children) != _shape(nodes[: len(children)]):
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
        text = line if _same(line, node) else _unwrapped(_render(node) or text)
    if "\n" in text:
        line = " ".join(text.split())
        text = line if _same(line, node) else text
    while text.startswith("(") and text.endswith(")") and _same(text[1:-1], node):
        text = text[1:-1].strip()
    return text


def _tokens(sql: str) -> Iterator[tuple[int, str, duckdb.token_type]]:
    """DuckDB's tokens: offset in characters, text, type."""
    # It counts bytes and gives starts only; what follows a token up to the next one is space, or a comment's end.
    tokens = [(_characters(sql, offset), token) for offset, token in duckdb.tokenize(sql)]
    for index, (offset, token) in enumerate(tokens):
        end = tokens[index + 1][0] if index + 1 < len(tokens) else len(sql)
        yield offset, sql[offset:end].strip(), token


def _unwrapped(expression: str) -> str:
    """DuckDB renders an operator between parentheses, which nobody wrote."""
    inner = expression[1:-1].strip()
    if expression.startswith("(") and expression.endswith(")"):
        tree, same = _statement(expression), _statement(inner)
        if isinstance(same, dict) and _shape(tree) == _shape(same):
            return inner
    return expression.strip()


def _span(node: dict[str, Any], sql: str) -> Span | None:
    start = node.get("query_location", _NOWHERE)
    if start == _NOWHERE:
        return None
    text = _PREFIX + sql
    end = _characters(text, start + max(1, node.get("query_location_length", 1)))
    return _characters(text, start) - len(_PREFIX), end - len(_PREFIX)


def _characters(text: str, offset: int) -> int:
    """DuckDB counts bytes, Python characters."""
    return len(text.encode()[:offset].decode(errors="ignore"))


def _finding(message: str, hint: str | None = None, code: str = "C011") -> Finding:
    return Finding(code, message, hint)


def _error(code: str, message: str, hint: str | None, span: Span | None) -> GateError:
    return GateError([Finding(code, message, hint)], [span])


# --- checking ----------------------------------------------------------------------------------------------------


def _check(gate: Gate, stage_fields: Mapping[str, Sequence[pa.Field]], later: Collection[str]) -> None:
    fields = {
        stage: [*(field for field in own if field.name != "status"), pa.field("status", STATUS)]
        for stage, own in stage_fields.items()
    }
    known = {f"{stage}.{field.name}" for stage, own in fields.items() for field in own}
    folded = {name.casefold() for name in known}
    findings: list[Finding] = []
    spans: list[Span | None] = []
    for name, span in zip(gate.columns, gate.spans, strict=True):
        if name.casefold() not in folded:
            findings.append(_unknown(name, known, fields, later))
            spans.append(span)
    if findings:
        raise GateError(findings, spans)

    empty = {stage: pa.array([], pa.struct(list(own))) for stage, own in fields.items()}
    connection = _connection()
    try:
        connection.register(_BATCH, _narrow(gate.columns, empty, 0))
        relation = connection.execute(
            f'SELECT {", ".join(f"({c.expression})" for c in gate.conjuncts)} FROM "{_BATCH}"'
        )
        types = [str(column[1]) for column in relation.description or []]
        relation.fetchall()
    except (duckdb.Error, pa.ArrowException) as error:
        raise _error("C011", f"gate does not bind: {_first_line(error)}", _suggestion(error), None) from None
    finally:
        connection.unregister(_BATCH)
    for conjunct, kind in zip(gate.conjuncts, types, strict=True):
        if kind != "BOOLEAN":
            findings.append(
                _finding(
                    f"'{conjunct.sql}' is a {kind}, not a condition",
                    f"compare it, for example {conjunct.sql} > 0" if conjunct.bare else _ONE_CONDITION,
                )
            )
            start = gate.sql.find(conjunct.sql)
            spans.append((start, start + len(conjunct.sql)) if start >= 0 else None)
    if findings:
        raise GateError(findings, spans)


def _unknown(name: str, known: set[str], fields: Mapping[str, Sequence[pa.Field]], later: Collection[str]) -> Finding:
    stage = name.split(".")[0]
    stages = {known_stage.casefold(): known_stage for known_stage in fields}
    near = get_close_matches(name, sorted(known), 1)
    hint: str | None = f"did you mean '{near[0]}'?" if near else None
    if stage.casefold() in {other.casefold() for other in later}:
        hint = f"stage '{stage}' runs after this gate; a gate reads its own and earlier stages"
    elif stage.casefold() in stages:
        own = ", ".join(field.name for field in fields[stages[stage.casefold()]])
        if "." not in name:
            return _finding(f"gate reads the whole stage '{name}'", f"name one of its columns: {own}", "C010")
        hint = f"{hint or ''} columns of '{stages[stage.casefold()]}': {own}".strip()
    elif hint is None:
        hint = f"stages that this gate can read: {', '.join(fields)}" if fields else None
    return _finding(f"gate reads an unknown column '{name}'", hint, "C010")


# --- evaluating --------------------------------------------------------------------------------------------------

_BATCH = "gate batch"
_FAILED = '"gate failed"'
"""Names with a space, which no stage can have: a stage called `batch` must not hide behind the table's name."""


def _evaluate(gate: Gate, structs: Mapping[str, pa.StructArray]) -> Verdicts:
    if not structs:
        raise ValueError("a gate needs at least one stage's struct to know how many documents there are")
    count = len(next(iter(structs.values())))
    batch = _narrow(gate.columns, structs, count)
    error = None
    details = _details(gate, batch)
    query = (
        f"SELECT {_FAILED} AS failed, CASE {_FAILED} {{}} END AS details "
        f'FROM (SELECT *, {{}} AS {_FAILED} FROM "{_BATCH}")'
    )
    if count == 0:
        result = {"failed": np.empty(0, np.int16), "details": np.empty(0, object)}
    else:
        try:
            result = _query(batch, query.format(details, gate._decision))
        except (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException) as fault:
            # TRY computes the same decision row by row and makes NULL of what fails. (With DuckDB 2.0's common
            # subexpression optimizer on, it would not: see `_connection`.)
            error = f"{str(fault).split(':')[0]} in gate: {gate.sql.strip()}"
            result = _query(
                batch, query.format(details, f"coalesce(TRY({gate._decision}), CAST({ERRORED} AS SMALLINT))")
            )
    failed = np.asarray(result["failed"], np.int16)
    errored = failed == ERRORED
    passed = failed == PASSED
    rows = np.flatnonzero(~(passed | errored))
    drops = _drops(gate, structs, batch, failed, rows, np.ma.getdata(result["details"])[rows])
    return Verdicts(passed, failed, errored, error if errored.any() else None, drops)


def _narrow(columns: Sequence[str], structs: Mapping[str, pa.StructArray], count: int) -> pa.Table:
    """A table with the structs that a gate reads, each with the fields that it reads."""
    wanted: dict[str, dict[str, pa.Array]] = {}
    for name in columns:
        stage, _, column = name.partition(".")
        actual = stage if stage in structs else next((s for s in structs if s.casefold() == stage.casefold()), stage)
        found, array = _field(structs[actual], column)
        wanted.setdefault(actual, {})[found] = array
    arrays = [pa.StructArray.from_arrays(list(own.values()), names=list(own)) for own in wanted.values()]
    if not arrays:  # a constant gate: DuckDB still needs as many rows
        return pa.table({"constant": pa.nulls(count, pa.bool_())})
    return pa.Table.from_arrays(arrays, names=list(wanted))


def _field(struct: pa.StructArray, column: str) -> tuple[str, pa.Array]:
    """Name and values of one column of a stage, null where the whole struct is null."""
    names = [field.name for field in struct.type]
    if column not in names:
        folded = [name for name in names if name.casefold() == column.casefold()]
        if not folded and column.casefold() == "status":
            # A scorer leaves `status` out when every document has a score.
            return "status", pa.array([OK], STATUS).take(pa.array(np.zeros(len(struct), np.int64)))
        if not folded:
            raise KeyError(column)
        column = folded[0]
    array = pc.struct_field(struct, column)
    readable = _readable(array.type)
    return column, array if readable == array.type else array.cast(readable)


def _readable(kind: pa.DataType) -> pa.DataType:
    """A type that DuckDB 2.0 reads from Arrow: half floats, also in lists, widened, which is exact."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_readable(kind.value_type), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_readable(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_readable(kind.value_type))
    return kind


def _drops(
    gate: Gate,
    structs: Mapping[str, pa.StructArray],
    batch: pa.Table,
    failed: np.ndarray,
    rows: np.ndarray,
    details: np.ndarray,
) -> pa.RecordBatch:
    reasons = pa.array([*(conjunct.sql for conjunct in gate.conjuncts), "unknown"], pa.string())
    codes = failed[rows]
    chosen = np.where(codes == UNKNOWN, len(gate.conjuncts), codes)
    reason = reasons.take(pa.array(chosen))
    score = np.zeros(len(rows))
    scored = np.zeros(len(rows), bool)
    threshold = np.zeros(len(rows))
    for index in np.unique(codes):
        if index < 0:
            continue
        conjunct = gate.conjuncts[index]
        mask = codes == index
        if conjunct.threshold is not None and conjunct.column is not None:
            stage, _, column = conjunct.column.partition(".")
            struct = batch[_match(batch.column_names, stage)]
            values = pc.struct_field(struct, _match([field.name for field in struct.type], column))
            if (
                pa.types.is_integer(values.type)
                or pa.types.is_floating(values.type)
                or pa.types.is_decimal(values.type)
            ):
                taken = values.take(pa.array(rows[mask])).cast(pa.float64(), safe=False)
                score[mask] = taken.to_numpy()
                scored[mask] = True
                threshold[mask] = conjunct.threshold
        own = _own_reason(conjunct, structs)
        if own is not None:
            texts = own.take(pa.array(rows)).cast(pa.string())
            reason = pc.if_else(pa.array(mask), pc.coalesce(texts, reason), reason)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(rows, pa.int64()),
            reason,
            pa.array(score, pa.float64(), mask=~scored),
            pa.array(threshold, pa.float64(), mask=~scored),
            pa.array(details.tolist() if gate.columns else [None] * len(rows), pa.string()),
        ],
        schema=DROPS,
    )


def _match(names: Sequence[str], name: str) -> str:
    """The one of `names` that SQL takes `name` for."""
    return name if name in names else next(other for other in names if other.casefold() == name.casefold())


def _own_reason(conjunct: Conjunct, structs: Mapping[str, pa.StructArray]) -> pa.Array | None:
    """The stage's own reasons, when the condition is its own verdict: `gopher.pass` has `gopher.reason`."""
    if not conjunct.bare or not conjunct.columns[0].casefold().endswith(".pass"):
        return None
    stage = conjunct.columns[0].split(".")[0].casefold()
    struct = next(array for name, array in structs.items() if name.casefold() == stage)
    index = struct.type.get_field_index("reason")
    if index < 0 or not _is_text(struct.type.field(index).type):
        return None
    return pc.struct_field(struct, "reason")


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or (pa.types.is_dictionary(kind) and _is_text(kind.value_type))
    )


def _details(gate: Gate, batch: pa.Table) -> str:
    """The branches of a CASE over `failed` that make the JSON of what a decision was based on."""
    values: dict[str, str] = {}
    for stage, kind in zip(batch.column_names, batch.schema.types, strict=True):
        for field in kind if pa.types.is_struct(kind) else ():
            name = f"{stage}.{field.name}"
            values[name.casefold()] = _json_value(_quoted(stage) + "." + _quoted(field.name), field, batch[stage])

    def pack(columns: Sequence[str]) -> str:
        if not columns:
            return "NULL"
        distinct: dict[str, str] = {}
        for name in columns:
            distinct.setdefault(name.casefold(), name)
        own = ", ".join(f"{_quoted(name, chr(39))}: {values[key]}" for key, name in distinct.items())
        return f"CAST(to_json({{{own}}}) AS VARCHAR)"

    cases = [f"WHEN {index} THEN {pack(conjunct.columns)}" for index, conjunct in enumerate(gate.conjuncts)]
    return " ".join([*cases, f"WHEN {UNKNOWN} THEN {pack(gate.columns)}"])


def _json_value(reference: str, field: pa.Field, struct: pa.ChunkedArray) -> str:
    # DuckDB writes NaN and Infinity bare, which no JSON reader takes. Asking each row costs a millisecond a batch, so
    # it is asked only where there are any.
    if pa.types.is_floating(field.type) and pc.all(pc.is_finite(pc.struct_field(struct, field.name))).as_py() is False:
        finite, text = f"to_json({reference})", f"to_json(CAST({reference} AS VARCHAR))"
        return f"CASE WHEN isfinite({reference}) THEN {finite} ELSE {text} END"
    if pa.types.is_nested(field.type):
        return f"CAST({reference} AS VARCHAR)"
    return reference


def _quoted(name: str, quote: str = '"') -> str:
    return f"{quote}{name.replace(quote, quote * 2)}{quote}"


def _query(batch: pa.Table, sql: str) -> dict[str, np.ndarray]:
    connection = _connection()
    connection.register(_BATCH, batch)
    try:
        return connection.execute(sql).fetchnumpy()
    finally:
        connection.unregister(_BATCH)


# --- DuckDB ------------------------------------------------------------------------------------------------------

_local = threading.local()


def _connection() -> duckdb.DuckDBPyConnection:
    """This thread's own in-memory DuckDB: one thread, UTC, no extensions, no files."""
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = duckdb.connect(":memory:", config={"threads": 1})
        for statement in (
            "SET TimeZone = 'UTC'",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            "SET python_enable_replacements = false",
            "SET temp_directory = ''",
            # It hoists `x::int` out of CASE and TRY when the expression occurs twice, and the batch fails again.
            "SET disabled_optimizers = 'common_subexpressions'",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            connection.execute(statement).fetchall()
        _local.connection = connection
    return connection


def _fetch(sql: str, parameters: list[Any]) -> Any:
    return _connection().execute(sql, parameters).fetchall()[0][0]


def _fetch_all(sql: str) -> list[tuple[Any, ...]]:
    return _connection().execute(sql).fetchall()


def _first_line(error: Exception) -> str:
    """DuckDB's message without its class and excerpt."""
    line = str(error).strip().split("\n")[0]
    return line.split(": ", 1)[-1]


def _suggestion(error: Exception) -> str | None:
    for line in str(error).split("\n")[1:]:
        if line.strip().startswith(("Did you mean", "Candidate")):
            return line.strip()
    return None
