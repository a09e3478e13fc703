"""Whether a parsed gate can work on the columns that it may read, and on some document at all."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curation.gates.database import limited
from curation.gates.evaluation import narrow
from curation.gates.functions import ONE_CONDITION, is_simple
from curation.gates.tree import Unparsed, children, references, render, select_of
from curation.gates.trial import Report, attempt, attempt_apart
from curation.gates.verdicts import Conjunct, GateError, Span
from schemas.documents import OK, STATUS
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.gates import Gate

_EQUAL = ("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM")
_DATA = ("ConversionException", "OutOfRangeException", "InvalidInputException")
"""What DuckDB raises where values are at fault; every other class is a fault of the gate."""
_NO_VALUE = ("Unimplemented type for cast", "Invalid type specifier", "Argument index", "invalid format string")
"""How DuckDB begins where a type cannot be cast or formatted: it says so of a value only, and so of every one."""
_TYPICAL = 3
_ALIKE = "compare a number with a number, and a text with a text in quotes"


def check(gate: Gate, stage_fields: Mapping[str, Sequence[pa.Field]], later: Collection[str]) -> None:
    fields = {
        stage: [*(field for field in stage_columns if field.name != "status"), pa.field("status", STATUS)]
        for stage, stage_columns in stage_fields.items()
    }
    columns = {f"{stage}.{field.name}" for stage, stage_columns in fields.items() for field in stage_columns}
    folded = {name.casefold() for name in columns}
    faults = _Faults(gate)
    for name, span in zip(gate.columns, gate.spans, strict=True):
        if name.casefold() not in folded:
            faults.add(_unknown(name, columns, fields, later), span)
    faults.tell()

    rows = {stage: pa.array(_rows(stage_columns), pa.struct(stage_columns)) for stage, stage_columns in fields.items()}
    try:
        table = narrow(gate.columns, rows, 1 + _TYPICAL)
    except pa.ArrowException as error:
        faults.add(Finding("C011", f"gate does not bind: {error}", None), None)
        faults.tell()
    kinds = {
        f"{stage}.{field.name}".casefold(): field.type
        for stage, stage_columns in fields.items()
        for field in stage_columns
    }
    _try(gate, table, kinds, faults)
    for conjunct in gate.conjuncts:
        why = _never(conjunct, kinds.get((conjunct.column or "").casefold()))
        if why is not None:
            faults.add_to(conjunct, Finding("C056", f"'{conjunct.sql}' holds for no document: {why[0]}", why[1]))
            continue
        root = _root(conjunct.expression)
        if root is not None and any(_compares_null(node) for node in _nodes(root)):
            message = f"'{conjunct.sql}' compares with NULL, which is neither true nor false"
            faults.add_to(conjunct, Finding("C056", message, "write `is null` or `is not null`"))
    faults.tell()


def check_constants(gate: Gate) -> None:
    faults = _Faults(gate)
    tree = select_of(gate.canonical)
    assert isinstance(tree, dict)
    constants = list(_constants(tree["statements"][0]["node"]["select_list"][0]))
    simple = [text for text, plain in constants if plain]
    others = [text for text, plain in constants if not plain]
    row = pa.table({"constant": pa.nulls(1, pa.bool_())})
    try:
        with limited("a constant part", 1) as connection:
            reports = [attempt(connection, simple, [], row)] if simple else []
    except CurationError as error:
        raise GateError(error.findings, [None]) from None
    for report, texts in zip(
        [*reports, *([attempt_apart(others, [], row)] if others else [])],
        [*([simple] if simple else []), *([others] if others else [])],
        strict=True,
    ):
        if isinstance(report, Finding):
            faults.add(report, None)
            continue
        for fault in report.faults:
            message = f"'{texts[fault.expression]}' cannot be computed: {fault.message}"
            faults.add(Finding("C056", message, fault.hint), None)
    faults.tell()


class _Faults:
    """What is wrong with a gate, and where in its text."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.findings: list[Finding] = []
        self.spans: list[Span | None] = []

    def add(self, finding: Finding, span: Span | None) -> None:
        self.findings.append(finding)
        self.spans.append(span)

    def add_to(self, conjunct: Conjunct, finding: Finding) -> None:
        start = self.gate.sql.find(conjunct.sql)
        self.add(finding, (start, start + len(conjunct.sql)) if start >= 0 else None)

    def tell(self) -> None:
        if self.findings:
            raise GateError(self.findings, self.spans)


def _try(gate: Gate, table: pa.Table, kinds: Mapping[str, pa.DataType], faults: _Faults) -> None:
    """Bind each conjunct, evaluate it on no row, on one of nulls and on typical ones."""
    expressions = [conjunct.expression for conjunct in gate.conjuncts]
    ordered = [_ordered(conjunct.expression) for conjunct in gate.conjuncts]
    # What NOT, AND and OR join is tried too: DuckDB casts a text there to true or false, which fails for each document.
    operands = [
        (conjunct, text)
        for conjunct in gate.conjuncts
        if (root := _root(conjunct.expression)) is not None
        for text in _operands(root)
    ]
    expressions += [text for _, text in operands]
    ordered += [None] * len(operands)
    report: Report | Finding
    if gate.simple:
        try:
            with limited("gate", 1) as connection:
                report = attempt(connection, expressions, ordered, table)
        except CurationError as error:
            report = error.findings[0]
    else:
        report = attempt_apart(expressions, ordered, table)
    if isinstance(report, Finding):
        faults.add(report, None)
        faults.tell()
        return
    for fault in report.faults:
        if fault.expression >= len(gate.conjuncts):
            continue  # it says the same of a part
        conjunct = gate.conjuncts[fault.expression]
        data = fault.error in _DATA
        if fault.stage == "typical" and data and not fault.message.startswith(_NO_VALUE):
            continue  # a cast that fails for some values is what `errored` is for
        if fault.stage == "ordered" and (data or not fault.message.startswith(("Cannot compare", "Cannot mix"))):
            continue
        typed = ", ".join(f"{name} is {kinds[name.casefold()]}" for name in dict.fromkeys(conjunct.columns))
        message = f"{fault.message.rstrip('.')}; {typed}" if typed else fault.message
        if data:
            hint = fault.hint or (_ALIKE if typed else None)
            finding = Finding("C056", f"'{conjunct.sql}' cannot be computed: {message}", hint)
        else:
            hint = fault.hint or _cast(fault.message) or ONE_CONDITION
            finding = Finding("C011", f"gate does not bind: {message}", hint)
        faults.add_to(conjunct, finding)
    faults.tell()
    for conjunct, kind, null in zip(gate.conjuncts, report.types, report.nulls, strict=False):
        if kind != "BOOLEAN":
            hint = _compared(conjunct.sql, kind) if conjunct.bare else ONE_CONDITION
            faults.add_to(conjunct, Finding("C011", f"'{conjunct.sql}' is {_kind(kind)}, not a condition", hint))
        elif not conjunct.columns and null:
            message = f"'{conjunct.sql}' holds for no document: it is NULL"
            faults.add_to(conjunct, Finding("C056", message, ONE_CONDITION))
    for (conjunct, text), kind in zip(operands, report.types[len(gate.conjuncts) :], strict=True):
        if kind == "VARCHAR" or kind == "BLOB" or kind.endswith("]") or kind.startswith(("STRUCT", "MAP")):
            finding = Finding("C011", f"'{text}' is {_kind(kind)}, not a condition", _compared(text, kind))
            faults.add_to(conjunct, finding)
    faults.tell()


def _operands(node: dict[str, Any]) -> Iterator[str]:
    """What NOT, AND and OR join, and what CASE asks, where it is no comparison; not within a lambda."""
    if node["class"] == "LAMBDA":
        return
    joined = node["class"] == "CONJUNCTION" or node["type"] == "OPERATOR_NOT"
    asked = [check["when_expr"] for check in node["case_checks"]] if node["class"] == "CASE" else []
    for child in [*(node["children"] if joined else []), *asked]:
        if child["class"] in ("COLUMN_REF", "FUNCTION", "CASE"):
            text = render(child)
            if text is not None:
                yield text
    for child in children(node):
        yield from _operands(child)


def _kind(kind: str) -> str:
    return f"{'an' if kind[:1] in 'AEIOU' else 'a'} {kind}"


def _compared(name: str, kind: str) -> str:
    if kind == "VARCHAR":
        return f"compare it, for example {name} = 'en'"
    if kind.endswith("]"):
        return f"compare it, for example len({name}) > 0"
    if kind.startswith(("STRUCT", "MAP")):
        return "compare one of its fields"
    return f"compare it, for example {name} > 0"


def _cast(message: str) -> str | None:
    if message.startswith(("Cannot compare", "Cannot mix")):
        return "compare like with like: put a text in quotes, or cast one side, such as stage.column::DOUBLE"
    return None


def _rows(fields: Sequence[pa.Field]) -> list[dict[str, Any] | None]:
    """A row of nulls, and made-up documents."""
    typical = [{field.name: _value(field.type, row) for field in fields} for row in range(_TYPICAL)]
    nulls: dict[str, Any] = dict.fromkeys((field.name for field in fields), None)
    return [nulls, *({**row, "status": OK} for row in typical)]


def _value(kind: pa.DataType, row: int) -> Any:
    """Something of a type, another one in each row."""
    if pa.types.is_boolean(kind):
        return row != 1
    if pa.types.is_integer(kind):
        return (100, 0, 1)[row]
    if pa.types.is_floating(kind):
        return (0.5, 0.0, 100.0)[row]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ("abc", "", "7")[row]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [_value(kind.value_type, row)] * (3, 0, 1)[row]
    if pa.types.is_fixed_size_list(kind):
        return [_value(kind.value_type, row)] * kind.list_size
    if pa.types.is_struct(kind):
        return {field.name: _value(field.type, row) for field in kind}
    return None


def _never(conjunct: Conjunct, kind: pa.DataType | None) -> tuple[str, str] | None:
    """Why a comparison holds for no value of the column's type, and what to do; None where it may."""
    root = _root(conjunct.expression)
    if root is not None and _never_is(True, root):
        return "a comparison with NULL is neither true nor false", "write `is null` or `is not null`"
    if kind is None or not isinstance(conjunct.constant, float) or conjunct.op is None:
        return None
    if conjunct.upper is not None and conjunct.constant > conjunct.upper:
        return f"{conjunct.constant:g} is above {conjunct.upper:g}", "write the lesser of the two first"
    if pa.types.is_boolean(kind):
        low, high, what = 0.0, 1.0, "true or false"
    elif pa.types.is_integer(kind):
        signed = pa.types.is_signed_integer(kind)
        bits = kind.bit_width - (1 if signed else 0)
        least, most = (-(2**bits) if signed else 0), 2**bits - 1
        low, high = float(least), float(most)  # as the constant is
        what = f"a whole number from {least} to {most}"
    else:
        return None
    value = conjunct.constant
    never = {
        "=": value < low or value > high or value != round(value),
        ">": value >= high,
        ">=": value > high,
        "<": value <= low,
        "<=": value < low,
        "between": value > high or (conjunct.upper is not None and conjunct.upper < low),
    }
    if not never.get(conjunct.op, False):
        return None
    return f"{conjunct.column} is {what}", f"compare with a value that {conjunct.column} can have"


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    for child in children(node):
        yield child
        yield from _nodes(child)


def _root(expression: str) -> dict[str, Any] | None:
    tree = select_of(expression)
    return tree["statements"][0]["node"]["select_list"][0] if isinstance(tree, dict) else None


def _compares_null(node: dict[str, Any]) -> bool:
    if node["class"] != "COMPARISON" or node["type"].endswith("DISTINCT_FROM"):
        return False
    return any(_is_null(node[side]) for side in ("left", "right"))


def _never_is(verdict: bool, node: dict[str, Any]) -> bool:
    """Whether a condition has this verdict for no document at all, for a NULL that is written in it: `x IN (NULL)` and
    `x NOT IN ('a', NULL)` are never true, as `x = NULL` is not."""
    if _is_null(node) or _compares_null(node):
        return True
    if node["class"] == "CONJUNCTION":
        one = (node["type"] == "CONJUNCTION_AND") == verdict  # one part decides
        return (any if one else all)(_never_is(verdict, child) for child in node["children"])
    if node["class"] == "BETWEEN":
        value, *ends = (_is_null(node[part]) for part in ("input", "lower", "upper"))
        return value or (any(ends) if verdict else all(ends))
    if node["type"] == "OPERATOR_NOT":
        return _never_is(not verdict, node["children"][0])
    if node["type"] in ("COMPARE_IN", "COMPARE_NOT_IN"):
        value, *items = (_is_null(child) for child in node["children"])
        return value or (all if (node["type"] == "COMPARE_IN") == verdict else any)(items)
    return node["class"] == "FUNCTION" and node["function_name"] in _LIKE and any(map(_is_null, children(node)))


_LIKE = ("~~", "!~~", "~~*", "!~~*", "~~~", "like_escape", "ilike_escape", "not_like_escape", "not_ilike_escape")
"""What DuckDB makes of LIKE, ILIKE and GLOB."""


def _is_null(node: dict[str, Any]) -> bool:
    if node["class"] == "CAST":
        return _is_null(node["child"])
    return node["class"] == "CONSTANT" and bool(node["literal"]["kind"] == "NULL_LITERAL")


def _ordered(expression: str) -> str | None:
    """The expression with > in place of each test for equality, or None.

    DuckDB 2.0 takes `text = 5`, and casts each text to a number, but refuses `text > 5`: so the first is found too.
    """
    tree = select_of(expression)
    if isinstance(tree, Unparsed):
        return None
    root = tree["statements"][0]["node"]["select_list"][0]
    changed = _with_order(root)
    return None if changed == root else render(changed)


def _with_order(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_with_order(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: _with_order(value) for key, value in tree.items()}
    if tree.get("class") == "COMPARISON" and tree["type"] in _EQUAL:
        return {**tree, "type": "COMPARE_GREATERTHAN"}
    if tree.get("type") in ("COMPARE_IN", "COMPARE_NOT_IN"):
        value, *others = tree["children"]
        pairs = [
            {**_PAIR, "left": value, "right": other}
            for other in others
            if other["class"] == "CONSTANT" and not _is_null(other)
        ]
        if len(pairs) == 1:
            return pairs[0]
        if pairs:
            return {**_PAIR, "class": "CONJUNCTION", "type": "CONJUNCTION_AND", "children": pairs}
    return tree


_PAIR = {
    "class": "COMPARISON",
    "type": "COMPARE_GREATERTHAN",
    "alias": "",
    "query_location": 2**64 - 1,
    "query_location_length": 0,
}


def _constants(node: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """The largest parts without a column, as text, and whether each is simple; those below TRY may fail."""
    if node["class"] == "LAMBDA" or node["type"] == "OPERATOR_TRY":
        return
    if not list(references(node, "", frozenset())):
        if node["class"] not in ("CONSTANT", "TYPE"):
            text = render(node)
            if text is not None:
                yield text, is_simple(node)
        return
    for child in children(node):
        yield from _constants(child)


def _unknown(name: str, columns: set[str], fields: Mapping[str, Sequence[pa.Field]], later: Collection[str]) -> Finding:
    stage = name.split(".")[0]
    stages = {known_stage.casefold(): known_stage for known_stage in fields}
    near = get_close_matches(name, sorted(columns), 1)
    hint: str | None = f"did you mean '{near[0]}'?" if near else None
    if stage.casefold() in {other.casefold() for other in later}:
        hint = f"stage '{stage}' runs after this gate; a gate reads its own and earlier stages"
    elif stage.casefold() in stages:
        stage_columns = ", ".join(field.name for field in fields[stages[stage.casefold()]])
        if "." not in name:
            return Finding("C010", f"gate reads the whole stage '{name}'", f"name one of its columns: {stage_columns}")
        hint = f"{hint or ''} columns of '{stages[stage.casefold()]}': {stage_columns}".strip()
    elif hint is None:
        hint = f"stages that this gate can read: {', '.join(fields)}" if fields else None
    return Finding("C010", f"gate reads an unknown column '{name}'", hint)
