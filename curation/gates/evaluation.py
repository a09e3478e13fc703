"""What a gate says about n documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.gates.database import limited, quoted
from curation.gates.trial import BATCH, COPIES
from curation.gates.verdicts import DROPS, ERRORED, PASSED, UNKNOWN, Conjunct, Verdicts
from schemas.documents import OK, STATUS

if TYPE_CHECKING:
    from curation.gates import Gate

_FAILED = '"gate failed"'


def evaluate(gate: Gate, structs: Mapping[str, pa.StructArray]) -> Verdicts:
    if not structs:
        raise ValueError("a gate needs at least one stage's struct to know how many documents there are")
    count = len(next(iter(structs.values())))
    batch = narrow(gate.columns, structs, count)
    details, reasons = f"CASE {_FAILED} {_details(gate, batch)} END", f"CASE {_FAILED} {_reasons(gate, batch)} END"
    told = f"{_FAILED} AS failed, {details} AS details, {reasons} AS reason"

    def query(failed: str) -> str:
        return f'SELECT {told} FROM (SELECT *, {failed} AS {_FAILED} FROM "{BATCH}")'

    plain, tried = query(decision(gate)), query(f"coalesce(TRY({decision(gate)}), CAST({ERRORED} AS SMALLINT))")
    error = None
    results = [{"failed": np.empty(0, np.int16), "details": np.empty(0, object), "reason": np.empty(0, object)}]
    size = count if gate.simple else COPIES
    with limited("gate", count) as connection:
        for start in range(0, count, max(1, size)):
            part = batch.slice(start, size)
            try:
                results.append(_query(connection, part, plain))
            except _LIMITS:
                raise
            except duckdb.Error as fault:
                error = error or f"{str(fault).split(':')[0]} in gate: {gate.sql.strip()}"
                results.append(_row_by_row(connection, part, tried))
    result = {name: np.concatenate([np.ma.getdata(some[name]) for some in results]) for name in results[0]}
    failed = np.asarray(result["failed"], np.int16)
    errored = failed == ERRORED
    passed = failed == PASSED
    rows = np.flatnonzero(~(passed | errored))
    drops = _drops(gate, structs, batch, failed, rows, result["details"][rows], result["reason"][rows])
    return Verdicts(passed, failed, errored, error if errored.any() else None, drops)


_LIMITS = (duckdb.InterruptException, duckdb.OutOfMemoryException)


def decision(gate: Gate) -> str:
    """SQL over columns of structs: the number of the first false conjunct, UNKNOWN, or PASSED."""
    # Evaluated in the order written: `a.kind = 'number' and a.value::int > 3` casts guarded rows only.
    false = " ".join(f"WHEN NOT ({c.expression}) THEN {i}" for i, c in enumerate(gate.conjuncts))
    null = " OR ".join(f"(({c.expression}) IS NULL)" for c in gate.conjuncts)
    return f"CAST(CASE {false} WHEN {null} THEN {UNKNOWN} ELSE {PASSED} END AS SMALLINT)"


def _row_by_row(connection: duckdb.DuckDBPyConnection, batch: pa.Table, query: str) -> dict[str, np.ndarray]:
    """Decisions where some of them fail: TRY makes NULL of those. (With DuckDB 2.0's common subexpression optimizer on,
    it would not: see `curation.gates.database.connect`.)"""
    try:
        return _query(connection, batch, query)
    except _LIMITS:
        raise
    except duckdb.Error:  # what TRY does not hold
        nothing = np.full(batch.num_rows, None, object)
        return {"failed": np.full(batch.num_rows, ERRORED, np.int16), "details": nothing, "reason": nothing}


def narrow(columns: Sequence[str], structs: Mapping[str, pa.StructArray], count: int) -> pa.Table:
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
    kind = readable(array.type)
    return column, array if kind == array.type else array.cast(kind)


def readable(kind: pa.DataType) -> pa.DataType:
    """A type that DuckDB 2.0 reads from Arrow: half floats, also in lists, widened, which is exact."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(readable(kind.value_type), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(readable(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(readable(kind.value_type))
    return kind


def _drops(
    gate: Gate,
    structs: Mapping[str, pa.StructArray],
    batch: pa.Table,
    failed: np.ndarray,
    rows: np.ndarray,
    details: np.ndarray,
    reasons: np.ndarray,
) -> pa.RecordBatch:
    codes = failed[rows]
    reason = pa.array(reasons.tolist(), pa.string())
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
                if conjunct.upper is not None:
                    threshold[mask & (score > conjunct.upper)] = conjunct.upper
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
            values[name.casefold()] = _json_value(quoted(stage) + "." + quoted(field.name), field, batch[stage])

    def pack(columns: Sequence[str]) -> str:
        if not columns:
            return "NULL"
        distinct: dict[str, str] = {}
        for name in columns:
            distinct.setdefault(name.casefold(), name)
        own = ", ".join(f"{quoted(name, chr(39))}: {values[key]}" for key, name in distinct.items())
        return f"CAST(to_json({{{own}}}) AS VARCHAR)"

    cases = [f"WHEN {index} THEN {pack(conjunct.columns)}" for index, conjunct in enumerate(gate.conjuncts)]
    return " ".join([*cases, f"WHEN {UNKNOWN} THEN {pack(gate.columns)}"])


def _reasons(gate: Gate, batch: pa.Table) -> str:
    """The branches of a CASE over `failed` that say what is false, with the values that it was false for."""
    texts: dict[str, str] = {}
    for stage, kind in zip(batch.column_names, batch.schema.types, strict=True):
        for field in kind if pa.types.is_struct(kind) else ():
            reference = quoted(stage) + "." + quoted(field.name)
            texts[f"{stage}.{field.name}".casefold()] = _shown(reference, field.type)

    def reason(conjunct: Conjunct) -> str:
        false = quoted(f"{conjunct.sql} is false", "'")
        if conjunct.bare or not conjunct.columns:
            return false
        distinct = {name.casefold(): name for name in reversed(conjunct.columns)}
        named = [(name, texts[name.casefold()]) for name in conjunct.columns if distinct[name.casefold()] == name]
        if len(named) == 1:
            return f"{false} || ': ' || {named[0][1]}"
        told = " || ', ' || ".join(f"{quoted(f'{name} = ', chr(39))} || {text}" for name, text in named)
        return f"{false} || ': ' || {told}"

    cases = [f"WHEN {index} THEN {reason(conjunct)}" for index, conjunct in enumerate(gate.conjuncts)]
    return " ".join([*cases, f"WHEN {UNKNOWN} THEN 'unknown'"])


_SHOWN = 60
"""Characters of a value in a reason."""


def _shown(reference: str, kind: pa.DataType) -> str:
    if _is_text(kind):
        short = f"CASE WHEN length({reference}) > {_SHOWN} THEN left({reference}, {_SHOWN}) || '…' ELSE {reference} END"
        return f"coalesce('''' || {short} || '''', 'NULL')"
    return f"coalesce(left(CAST({reference} AS VARCHAR), {_SHOWN}), 'NULL')"


def _json_value(reference: str, field: pa.Field, struct: pa.ChunkedArray) -> str:
    # DuckDB writes NaN and Infinity bare, which no JSON reader takes. Asking each row costs a millisecond a batch, so
    # it is asked only where there are any.
    if pa.types.is_floating(field.type) and pc.all(pc.is_finite(pc.struct_field(struct, field.name))).as_py() is False:
        finite, text = f"to_json({reference})", f"to_json(CAST({reference} AS VARCHAR))"
        return f"CASE WHEN isfinite({reference}) THEN {finite} ELSE {text} END"
    if pa.types.is_nested(field.type):
        return f"CAST({reference} AS VARCHAR)"
    return reference


def _query(connection: duckdb.DuckDBPyConnection, batch: pa.Table, sql: str) -> dict[str, np.ndarray]:
    connection.register(BATCH, batch)
    try:
        return connection.execute(sql).fetchnumpy()
    finally:
        connection.unregister(BATCH)
