"""The workspace as SQL: views over the parts that are committed at this moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.resources import files
from string import Template
from typing import Any

import duckdb
import pyarrow as pa

from curation.manifest.limits import Limits
from curation.manifest.parts import BULKY, KEY, SIDE_BY_SIDE, Manifest
from curation.manifest.runs import choose_run
from curation.manifest.sql import open_locked
from curation.reasons import rule_sql
from curation.store import Store
from curation.store.scan import quoted, scan
from curation.store.seal import mend
from schemas.errors import CurationError, Finding
from schemas.manifest import DECISION, PARTS, SHARD, TEMPLATE_MEMBERS, TEMPLATE_SIMILARITY

EVERY_RUN = (
    "attempts",
    "runs",
    "stages",
    "shards",
    "funnel_all",
    "datasets",
    "models",
    "lineage",
    "scorers",
    "actors",
    "supervisors",
    "weak_to_strong",
)
EVERY_LABEL = "labels"
"""Of all weak-to-strong runs: large, so no table of the snapshot."""
ONE_RUN = (
    "documents",
    "funnel",
    "drops",
    "errors",
    "duplicate_clusters",
    "duplicate_pairs",
    "scores_histogram",
    "distributions",
    "statistics",
    "audits",
    "selections",
)
VIEWS = (*(name for name in EVERY_RUN if name != "funnel_all"), EVERY_LABEL, *ONE_RUN)
"""What users may query. Those of ONE_RUN show the chosen run: the latest, unless it is named."""

_MEMBERS = (
    "shard INTEGER, row BIGINT, keeper BOOLEAN, cluster_size INTEGER, twin_file INTEGER, twin_row BIGINT,"
    " similarity DOUBLE, link_file INTEGER, link_row BIGINT, link_similarity DOUBLE, file INTEGER, file_row BIGINT,"
    " containment DOUBLE, loss DOUBLE, cluster_file INTEGER, cluster_row BIGINT, cluster_similarity DOUBLE"
)
_LINKS = (
    "a_file INTEGER, a_row BIGINT, b_file INTEGER, b_row BIGINT, similarity DOUBLE,"
    " containment DOUBLE, dropped BOOLEAN, reason VARCHAR"
)


def connect(
    manifest: Manifest, run: str | None = None, limits: Limits | None = None, query: str = ""
) -> duckdb.DuckDBPyConnection:
    """A locked connection (`curation.manifest.sql`) with all views, for a query, or views that it names.

    Raises C032 for a run that is not there, C048 and R011 where a file behind its views is damaged.
    """
    chosen = choose_run(manifest, run)
    setup = partial(attach, manifest=manifest, run=chosen)
    setup_sql = needed(statements(manifest, chosen), query)
    manifest.refuse_damaged(chosen)
    memory = f"{int((limits or Limits.of()).memory)}MB"
    try:
        check_data(manifest, chosen, query)
        return open_locked(setup_sql, [manifest.store.root], memory, attach=setup)
    except duckdb.Error as failure:
        check_data(manifest, chosen, "documents")
        what = f"the workspace {manifest.store.root} cannot be read: {str(failure).splitlines()[0]}"
        raise CurationError(Finding("C048", what, mend(manifest.store.root))) from failure


_MADE = re.compile(r"^CREATE (?:VIEW|TABLE|MACRO) (\w+)", re.M)
_READ = re.compile(r"\b(?:FROM|JOIN|SHOW)\s+(\w+)", re.I)


def needed(setup: list[str], query: str) -> list[str]:
    """Those of the CREATE statements that a query needs, since to make all costs more than most queries: what it names,
    and what stands behind that. All of them for no query, and where it reads a name that is none of theirs: of the
    catalogue, or misspelt, and DuckDB's suggestion is to be the right one."""
    statement_of = {found.group(1).lower(): statement for statement in setup if (found := _MADE.search(statement))}
    ctes = {name.lower() for name in re.findall(r"(\w+)\s+AS\s+(?:\w+\s+)?\(", query, re.I)}
    unknown = {name.lower() for name in _READ.findall(query)} - statement_of.keys() - ctes
    if unknown or not re.search(r"\b(?:SELECT|FROM)\b", query, re.I):
        return setup
    wanted, texts = set[str](), [query]
    while texts:
        new = {word.lower() for word in re.findall(r"\w+", texts.pop())} & statement_of.keys() - wanted
        wanted |= new
        texts += [statement_of[name] for name in new]
    return [statement_of[name] for name in statement_of if name in wanted]


_HEAVY = re.compile(r"\b(documents|drops|errors|scores_histogram|audits|duplicate_clusters|duplicate_pairs)\b", re.I)
"""Views of one run that read more than records."""
_LABELS = re.compile(rf"\b{EVERY_LABEL}\b", re.I)


def check_data(manifest: Manifest, run: str | None, query: str) -> None:
    """Raise R011 where a data file that a query may read is gone or damaged: DuckDB compares no checksums."""
    files = data_files(manifest, run) if _HEAVY.search(query) else {}
    if _LABELS.search(query):
        units = {row["data"]: row["content"] for row in manifest.read("weak_units").to_pylist()}
        files |= {name: units.get(name) for name in manifest.read("weak_labels").column("data").to_pylist() if name}
    store = manifest.store

    def check(name: str) -> None:
        if store.far:  # where all of a large file would be fetched for it
            store.checked(name)
        else:
            store.check(name, files[name])

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(check, files))


def data_files(manifest: Manifest, run: str | None) -> dict[str, str | None]:
    """Data files that the views of a run read, decisions and what its dataset-wide stages found, with the hash that is
    recorded of each."""
    groups = set(manifest.where("barriers", run=run).column("group").to_pylist())
    results = [row for row in manifest.read("groups").to_pylist() if row["group"] in groups]
    files = {row[column]: None for row in results for column in ("members", "links") if row[column]}
    return files | {row["data"]: row["content"] for row in manifest.where("decisions", run=run).to_pylist()}


def attach(connection: duckdb.DuckDBPyConnection, manifest: Manifest, run: str | None) -> None:
    """Give a connection what `statements` read of a workspace on an object store; nothing for one in a folder.

    Records come as Arrow tables, since there are many small files of them; other files by a file system that reads
    below the workspace's prefix and nowhere else.
    """
    if not manifest.store.far:
        return
    from curation.store.files import StoreFiles  # brings fsspec

    connection.register_filesystem(StoreFiles(manifest.store))
    for kind in PARTS:
        keys = _shown(manifest, kind, run)
        records = manifest.read(kind, None if keys is None else sorted(keys))
        connection.register(f"_{kind}_records", records.drop_columns([KEY]))


def shared_statements(manifest: Manifest, kinds: Iterable[str], run: str | None = None) -> list[str]:
    """CREATE statements of the views of every run, and before them of the records (`_kind`) of some kinds."""
    made = [f"CREATE VIEW _{kind} AS {_parts(manifest, kind, run)}" for kind in kinds]
    return made + [_load(name, {}) for name in EVERY_RUN]


def statements(manifest: Manifest, run: str | None) -> list[str]:
    """CREATE statements of all views, internal ones (`_kind`) first. Without a run, the views of one are empty."""
    sql = shared_statements(manifest, PARTS, run)
    sql.append(_load(EVERY_LABEL, {"labels": _labels(manifest)}))
    run = run or ""
    sql += [
        f"""CREATE TABLE _numbers AS SELECT DISTINCT file, file_no FROM _shards WHERE run = {quoted(run)}""",
        f"""CREATE TABLE _decided AS
            SELECT {quoted(manifest.store.uri("") + "/")} || d.data AS filename, s.path, s.file_no,
                   CASE WHEN s.bundle IS NULL THEN -1 ELSE s.shard END AS part
            FROM _decisions d JOIN _shards s USING (run, shard) WHERE run = {quoted(run)}""",
    ]
    sql.append(f"CREATE MACRO _rule(reason) AS {rule_sql('reason')}")
    values = _chosen(manifest, run)
    return [*sql, *(_load(name, values) for name in ONE_RUN)]


def _chosen(manifest: Manifest, run: str) -> dict[str, str]:
    """What the templates of one run's views need."""
    stages = manifest.where("stages", run=run).sort_by("position").to_pylist()
    structs = {row["stage"]: pa.ipc.read_schema(pa.py_buffer(row["fields"])) for row in stages}
    decided = manifest.where("decisions", run=run).sort_by("shard").column("data").unique().to_pylist()
    store = manifest.store
    columns = [*((item.name, duck_type(item.type)) for item in DECISION)]
    columns += [(name, duck_type(pa.struct(list(fields)))) for name, fields in structs.items()]
    empty = ", ".join(
        f"NULL::{kind} AS {_name(name)}" for name, kind in [*columns, (SHARD, "INTEGER"), ("filename", "VARCHAR")]
    )
    source = f"(SELECT {empty} WHERE false)"
    if decided:  # by name: an older run's decisions lack the columns that came later
        decisions = scan((store.uri(name) for name in decided), filename=True)
        source = f"(SELECT {empty} WHERE false UNION ALL BY NAME SELECT * FROM {decisions})"
    groups = {row["group"]: row for row in manifest.read("groups").to_pylist()}
    barriers = manifest.where("barriers", run=run).to_pylist()
    measured = [
        f"SELECT {quoted(stage)} AS stage, {quoted(field.name)} AS field, kept,"
        f" {_name(stage)}.{_name(field.name)}::DOUBLE AS value"
        f" FROM documents WHERE {_name(stage)}.{_name(field.name)} IS NOT NULL"
        for stage, fields in structs.items()
        for field in fields
        if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
    ]
    return {
        "run": quoted(run),
        "decisions": source,
        "structs": "".join(f", d.{_name(name)}" for name in structs),
        "members": _union(store, barriers, groups, "members", _MEMBERS),
        "links": _union(store, barriers, groups, "links", _LINKS),
        "template_members": str(TEMPLATE_MEMBERS),
        "template_similarity": str(TEMPLATE_SIMILARITY),
        "measured": " UNION ALL ".join(measured)
        or "SELECT ''::VARCHAR AS stage, ''::VARCHAR AS field, false AS kept, 0::DOUBLE AS value WHERE false",
    }


def _union(store: Store, barriers: list[dict[str, Any]], groups: dict[str, Any], column: str, empty: str) -> str:
    selects = [
        f"SELECT {quoted(row['stage'])} AS stage, * FROM {scan([store.uri(groups[row['group']][column])])}"
        for row in barriers
        if row["group"] in groups and groups[row["group"]][column]
    ]
    nothing = ", ".join(f"NULL::{part.split()[1]} AS {part.split()[0]}" for part in empty.split(", "))
    return " UNION ALL BY NAME ".join([f"SELECT NULL::VARCHAR AS stage, {nothing} WHERE false", *selects])


def _labels(manifest: Manifest) -> str:
    """Label files of all runs and seeds, those of one task with its own supervisors, whose answers are JSON here."""
    store = manifest.store
    columns = "file, row, split, soft_label, hard_label, confidence, margin, entropy, agreement, automatic, "
    columns += (
        "conformal_set, weight, to_json(votes)::VARCHAR AS votes, to_json(probabilities)::VARCHAR AS probabilities"
    )
    selects = [
        f"SELECT {quoted(row['run'])} AS run, {row['seed']}::INTEGER AS seed, {columns}"
        f" FROM {scan([store.uri(row['data'])])}"
        for row in manifest.read("weak_labels").to_pylist()
        if row["data"]
    ]
    empty = {
        "run": "VARCHAR", "seed": "INTEGER", "file": "INTEGER", "row": "BIGINT", "split": "VARCHAR",
        "soft_label": "FLOAT[]", "hard_label": "VARCHAR", "confidence": "FLOAT", "margin": "FLOAT",
        "entropy": "FLOAT", "agreement": "FLOAT", "automatic": "BOOLEAN", "conformal_set": "VARCHAR[]",
        "weight": "FLOAT", "votes": "VARCHAR", "probabilities": "VARCHAR",
    }  # fmt: skip
    nothing = ", ".join(f"NULL::{kind} AS {name}" for name, kind in empty.items())
    return " UNION ALL ".join(selects) or f"SELECT {nothing} WHERE false"


def _shown(manifest: Manifest, kind: str, run: str | None) -> set[str] | None:
    """Parts of a bulky kind that one run's views show; None for all."""
    return {key for key in manifest.keys(kind) if key.startswith(f"{run}-")} if run and kind in BULKY else None


def _parts(manifest: Manifest, kind: str, run: str | None) -> str:
    schema = PARTS[kind]
    if manifest.store.far:
        return f"SELECT * FROM _{kind}_records"
    paths = manifest.files(kind, _shown(manifest, kind, run))
    empty = ", ".join(f"NULL::{duck_type(item.type)} AS {_name(item.name)}" for item in schema)
    if not paths:
        return f"SELECT {empty} WHERE false"
    columns = ", ".join(_name(item.name) for item in schema)
    # parts of earlier versions lack columns that were declared since
    return (
        f"SELECT {columns} FROM (SELECT {empty} WHERE false UNION ALL BY NAME FROM {scan(paths, union_by_name=True)})"
    )


def _load(name: str, values: dict[str, str]) -> str:
    return Template((files("schemas") / "views" / f"{name}.sql").read_text()).substitute(values)


def duck_type(kind: pa.DataType) -> str:
    """DuckDB's name of an Arrow type."""
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f"{_name(item.name)} {duck_type(item.type)}" for item in kind) + ")"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{duck_type(kind.value_type)}[]"
    if pa.types.is_fixed_size_list(kind):
        return f"{duck_type(kind.value_type)}[{kind.list_size}]"
    names = {
        pa.bool_(): "BOOLEAN",
        pa.int8(): "TINYINT",
        pa.int16(): "SMALLINT",
        pa.int32(): "INTEGER",
        pa.int64(): "BIGINT",
        pa.uint8(): "UTINYINT",
        pa.uint16(): "USMALLINT",
        pa.uint32(): "UINTEGER",
        pa.uint64(): "UBIGINT",
        pa.float16(): "FLOAT",
        pa.float32(): "FLOAT",
        pa.float64(): "DOUBLE",
        pa.string(): "VARCHAR",
        pa.large_string(): "VARCHAR",
        pa.binary(): "BLOB",
        pa.large_binary(): "BLOB",
        pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
    }
    return "BLOB" if pa.types.is_fixed_size_binary(kind) else names[kind]


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
