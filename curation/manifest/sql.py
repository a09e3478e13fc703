"""User SQL over a workspace: one SELECT that reads the workspace and nothing else, and writes nothing at all.

Two locks, since neither is enough. DuckDB's configuration keeps a query inside the allowed directories and away from
extensions and settings, but would let `COPY` write there. The statement type keeps `COPY` out, but DuckDB 2.0 calls
`WITH t AS (COPY docs TO 'x') FROM t` a SELECT, and runs it. So the syntax tree is read as well: only query nodes that
read, and only table functions that are named here, pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from curation.manifest.limits import Limits, Watch
from curation.store.scan import exact
from schemas.errors import CurationError, Finding


def open_locked(
    setup: Sequence[str],
    directories: Sequence[Path | str],
    memory_limit: str | None = None,
    threads: int = 2,
    attach: Callable[[duckdb.DuckDBPyConnection], None] = lambda connection: None,
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB for `run_select`.

    `setup` (CREATE VIEW, MACRO, TABLE ...) runs before the locks close, so it may read anything. Afterwards files can
    be read below `directories` only (links are followed before that is decided), nothing is installed, loaded or
    spilled to disk, and no setting can be changed. `attach` is given the connection before `setup`: for tables and file
    systems that are Python's. Raises duckdb.Error when a setup statement fails.
    """
    memory = memory_limit or f"{int(Limits.of().memory)}MB"
    connection = duckdb.connect(":memory:", config={"threads": threads, "memory_limit": memory})
    # A prefix without its slash would also allow `/work/spaces` for `/work/space`.
    allowed = [
        f"{str(path).rstrip('/')}/" if "://" in str(path) else f"{Path(path).resolve()}/" for path in directories
    ]
    # A path with `*`, `?` or `[` is compared as it is written, with those in brackets, before links are followed.
    patterns = (f"{exact(str(path)).rstrip('/')}/" for path in directories if exact(str(path)) != str(path))
    allowed += patterns
    attach(connection)
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in allowed)
    for statement in (
        "SET allow_persistent_secrets = false",
        *setup,
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET allow_community_extensions = false",
        # Else a query could read the tables among our own Python variables.
        "SET python_enable_replacements = false",
        "SET temp_directory = ''",
        f"SET allowed_directories = [{quoted}]",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement).fetchall()
    return connection


def run_select(connection: duckdb.DuckDBPyConnection, sql: str, limits: Limits | None = None) -> pa.Table:
    """The result of one SELECT.

    FROM-first queries, VALUES, TABLE, DESCRIBE, SUMMARIZE and SHOW are SELECTs to DuckDB and allowed; so is EXPLAIN
    [ANALYZE] of one. Types that Arrow has none for (TIMETZ, BIT, BIGNUM) come as text. Raises CurationError: C033 for
    anything else (nothing was run), C034 when DuckDB refuses the query or it fails, C057 beyond the limits.
    """
    limits = limits or Limits.of()
    schema, stream = _stream(connection, sql, 65_536, limits)
    batches, size = [], 0
    with closing(stream):
        for batch in stream:
            batches.append(batch)
            size += batch.nbytes
            if size > limits.memory * 2**20:
                raise limits.too_large
    return pa.Table.from_batches(batches, schema)


def stream_select(
    connection: duckdb.DuckDBPyConnection, sql: str, batch_rows: int = 65_536, limits: Limits | None = None
) -> pa.RecordBatchReader:
    """Like `run_select`, for results that need not fit in memory; reading on may raise C034 and C057 as well.

    The connection is busy until the reader is exhausted or closed.
    """
    return pa.RecordBatchReader.from_batches(*_stream(connection, sql, batch_rows, limits or Limits.of()))


def _stream(
    connection: duckdb.DuckDBPyConnection, sql: str, batch_rows: int, limits: Limits
) -> tuple[pa.Schema, Generator[pa.RecordBatch, None, None]]:
    watch = Watch(connection, limits)
    try:
        reader = watch.run(lambda: _relation(connection, sql).to_arrow_reader(batch_rows))
    except duckdb.Error as error:
        raise CurationError(_failure(error)) from None

    def batches() -> Generator[pa.RecordBatch, None, None]:
        try:
            while (batch := watch.run(lambda: next(reader, None))) is not None:
                yield batch
        except (duckdb.Error, pa.ArrowException, OSError) as error:  # Arrow's stream makes an OSError of DuckDB's
            if "Out of Memory Error" in str(error):
                raise limits.too_large from None
            raise CurationError(_failure(error)) from None
        finally:
            reader.close()

    return reader.schema, batches()


_QUERY_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS = {
    "duckdb_columns",
    "duckdb_functions",
    "duckdb_keywords",
    "duckdb_settings",
    "duckdb_tables",
    "duckdb_types",
    "duckdb_views",
    "generate_series",
    "glob",
    "histogram",
    "histogram_values",
    "json_each",
    "json_tree",
    "parquet_bloom_probe",
    "parquet_file_metadata",
    "parquet_full_metadata",
    "parquet_kv_metadata",
    "parquet_metadata",
    "parquet_scan",
    "parquet_schema",
    "pragma_show",
    "pragma_table_info",
    "pragma_version",
    "range",
    "read_blob",
    "read_csv",
    "read_csv_auto",
    "read_json",
    "read_json_auto",
    "read_json_objects",
    "read_json_objects_auto",
    "read_ndjson",
    "read_ndjson_auto",
    "read_ndjson_objects",
    "read_parquet",
    "read_text",
    "repeat",
    "repeat_row",
    "sniff_csv",
    "summary",
    "unnest",
}
"""Those that only read. Missing on purpose: what runs SQL from a string (`query`, `query_table`,
`json_execute_serialized_sql`), reads memory by address (`arrow_scan`, `pandas_scan`), attaches (`read_duckdb`), or
changes the engine's state (`checkpoint`, `enable_logging`, `truncate_duckdb_logs` ...)."""
_SIDE_EFFECTS = {"currval", "nextval", "pg_sleep", "setseed", "setval", "sleep_ms", "write_log"}
"""Scalar functions that change state or hold the connection."""
_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)
_HINT = "write one SELECT over the workspace's views; it can read and nothing else"


def _relation(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyRelation:
    prefix = _EXPLAIN.match(sql)
    body = sql[prefix.end() :] if prefix else sql
    tree = _refuse_all_but_select(connection, body)
    if prefix is None:
        return _textual(connection.sql(_shown(connection, body, tree)))
    # Put together from checked parts: the options of EXPLAIN can hold nothing else.
    rows = connection.execute(f"EXPLAIN {'ANALYZE ' if prefix.group(1) else ''}{body}").fetchall()
    connection.register("explained", pa.table({"plan": pa.array([row[1] for row in rows], pa.string())}))
    return connection.sql("SELECT plan FROM explained")


def _refuse_all_but_select(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    """The syntax tree. Raises CurationError (C033, C034 for what does not parse), and has run nothing."""
    try:
        sql.encode()
    except UnicodeError:
        raise CurationError(Finding("C033", "the query is not UTF-8 text", "write it as UTF-8")) from None
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise CurationError(_failure(error)) from None
    if len(statements) != 1:
        count = f"{len(statements)} statements" if statements else "no statement"
        raise CurationError(Finding("C033", f"the query has {count}", _HINT))
    try:
        kind = statements[0].type
    except ValueError:  # DuckDB 2.0's Python has no name for some statements, such as UPDATE EXTENSIONS
        raise CurationError(Finding("C033", "this statement is not allowed here", _HINT)) from None
    if kind != duckdb.StatementType.SELECT:
        hint = "write FROM (PIVOT ... ON x IN (...) USING ...)" if kind == duckdb.StatementType.MULTI else _HINT
        raise CurationError(Finding("C033", f"{kind.name} is not allowed here", hint))
    if statements[0].named_parameters:
        raise CurationError(Finding("C033", "the query has parameters", "write the values into the query"))
    tree: dict[str, Any] = json.loads(_serialized(connection, sql))
    if tree["error"]:
        raise CurationError(Finding("C033", f"the query cannot be inspected: {tree['error_message']}", _HINT))
    engine_functions = _own_functions(connection)
    for node in _dictionaries(tree["statements"]):
        node_type = str(node.get("type", ""))
        if ("cte_map" in node or node_type.endswith("_NODE")) and node_type not in _QUERY_NODES:
            verb = node_type.removesuffix("_NODE").removesuffix("_QUERY")
            raise CurationError(Finding("C033", f"{verb} inside a query is not allowed here", _HINT))
        if node_type == "TABLE_FUNCTION":
            name = str(node["function"]["function_name"]).casefold()
            if name not in _TABLE_FUNCTIONS and name not in engine_functions:
                near = get_close_matches(name, sorted(_TABLE_FUNCTIONS | engine_functions), 1)
                hint = f"did you mean '{near[0]}'?" if near else _HINT
                raise CurationError(Finding("C033", f"table function '{name}' is not allowed here", hint))
        if "function_name" in node and str(node["function_name"]).casefold() in _SIDE_EFFECTS:
            raise CurationError(Finding("C033", f"function '{node['function_name']}' has side effects", _HINT))
    return tree


def _shown(connection: duckdb.DuckDBPyConnection, sql: str, tree: dict[str, Any]) -> str:
    """The query, with SHOW TABLES and its like telling of the views that are for users alone."""
    listed = [node for node in _dictionaries(tree) if _lists_tables(node)]
    if not listed:
        return sql
    for node in listed:
        outer = json.loads(_serialized(connection, _LISTED))["statements"][0]["node"]["from_table"]
        inner = next(part for part in _dictionaries(outer) if _lists_tables(part))
        inner.clear()
        inner.update(node)
        node.clear()
        node.update(outer)
    return str(connection.execute("SELECT json_deserialize_sql($1)", [json.dumps(tree)]).fetchall()[0][0])


_LISTED = "SELECT * FROM (SELECT * FROM (SHOW TABLES) WHERE NOT starts_with(name, '_'))"
"""Names that begin with _ are our own."""


def _lists_tables(node: dict[str, Any]) -> bool:
    if node.get("type") != "SHOW_REF" or node.get("query"):
        return False
    return node["show_type"] == "SHOW_FROM" or node.get("table_name") in ('"tables"', "__show_tables_expanded")


def _serialized(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    return str(connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchall()[0][0])


def _textual(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """With the columns that Arrow has no type for as DuckDB writes them."""
    kinds = [_written(kind) for kind in relation.types]
    if kinds == [str(kind) for kind in relation.types]:
        return relation
    columns = ", ".join(
        f"#{number}" if kind == str(was) else f"CAST(#{number} AS {kind}) AS {_quoted(name)}"
        for number, (name, kind, was) in enumerate(zip(relation.columns, kinds, relation.types, strict=True), start=1)
    )
    return relation.project(columns)


def _written(kind: Any) -> str:
    """DuckDB's name of the type, with text in place of what Arrow cannot hold, at any depth."""
    if kind.id in ("time with time zone", "bit", "bignum", "varint"):
        return "VARCHAR"
    if kind.id == "list":
        return f"{_written(kind.children[0][1])}[]"
    if kind.id == "array":
        return f"{_written(kind.children[0][1])}[{kind.children[1][1]}]"
    if kind.id == "struct":
        return "STRUCT(" + ", ".join(f"{_quoted(name)} {_written(own)}" for name, own in kind.children) + ")"
    if kind.id == "map":
        return f"MAP({_written(kind.children[0][1])}, {_written(kind.children[1][1])})"
    return str(kind)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _own_functions(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Table macros that `setup` created."""
    rows = connection.execute(
        "SELECT lower(function_name) FROM duckdb_functions() WHERE function_type = 'table_macro' AND NOT internal"
    ).fetchall()
    return {name for (name,) in rows}


def _dictionaries(tree: Any) -> Iterator[dict[str, Any]]:
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def _failure(error: Exception) -> Finding:
    """DuckDB's message on one line; what it suggests becomes the hint."""
    lines = [line.strip() for line in str(error).strip().split("\n")]
    suggestions = [line for line in lines[1:] if line.startswith(("Did you mean", "Candidate"))]
    if lines[0].startswith("Traceback"):  # out of Python, from the store's file system
        return Finding("C034", lines[-1])
    return Finding("C034", lines[0], " ".join(suggestions) or None)
