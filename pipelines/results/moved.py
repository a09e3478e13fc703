"""Documents that changed sides between two runs: some files' decisions at a time, joined by file and row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from curation.manifest.limits import Limits, Watch
from curation.manifest.parts import Manifest
from curation.manifest.views import check_data
from curation.reasons import rule_sql
from curation.store.scan import quoted, scan
from pipelines.results.ways import DecidedRun, open_decisions
from schemas.errors import CurationError, Finding
from schemas.manifest import SHARD

MOVED = pa.schema(
    [
        ("change", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("documents", pa.int64()),
        ("examples", pa.list_(pa.string())),
    ]
)
AT_ONCE = 1_000_000
"""Documents whose decisions are joined at a time, about."""
_TOLD = ", ".join(f"{mark}.{name} AS {name}_{mark}" for mark in "ab" for name in ("outcome", "dropped_by", "reason"))
_STAGE, _REASON = (f"CASE WHEN outcome_b = 'kept' THEN {name}_a ELSE {name}_b END" for name in ("dropped_by", "reason"))
Parts = dict[int, list[tuple[str, dict[str, Any]]]]
"""By number of the input file: decision files, each with the record of its shard."""


class Portion(NamedTuple):
    """Some files that both runs read, or rows [start, end) of one."""

    files: frozenset[int]
    start: int | None = None
    end: int | None = None


def compared(manifest: Manifest, a: DecidedRun, b: DecidedRun, examples: int) -> tuple[pa.Table, int, int, int]:
    """Documents that changed sides, in groups; how many both drop, but elsewhere; how many only `a` and only `b` read.

    Files are the same where path and content are. What a run read of other files is known by its id, where it has one.
    """
    if a.run == b.run:
        return MOVED.empty_table(), 0, 0, 0
    with open_decisions(manifest.store) as connection:
        try:
            return Watch(connection, Limits.of()).run(lambda: _compared(connection, manifest, a, b, examples))
        except duckdb.IOException as failure:
            for run in (a, b):
                check_data(manifest, run.run, "documents")
            raise CurationError(Finding("C034", str(failure).splitlines()[0])) from None


def _compared(
    connection: Any, manifest: Manifest, a: DecidedRun, b: DecidedRun, examples: int
) -> tuple[pa.Table, int, int, int]:
    documents: Counter[tuple[str, str, str]] = Counter()
    named: defaultdict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)
    matched = elsewhere = 0
    for join in _joins(manifest, a, b):
        # in one pass, since to store the pairs costs more than to find them; those of one outcome are only counted
        groups = f"""SELECT change, stage, {rule_sql("reason")}, elsewhere, count(*),
                            min_by({{h: hash(path, row), p: path || '#' || row}}, hash(path, row), {max(1, examples)})
                                FILTER (change IS NOT NULL)
                     FROM (SELECT path, row, CASE WHEN moved THEN outcome_a || ' → ' || outcome_b END AS change,
                                  CASE WHEN moved THEN {_STAGE} END AS stage,
                                  CASE WHEN moved THEN {_REASON} END AS reason,
                                  NOT moved AND dropped_by_a IS DISTINCT FROM dropped_by_b AS elsewhere
                           FROM (SELECT *, outcome_a != outcome_b AS moved FROM ({join})))
                     GROUP BY ALL"""
        for change, stage, reason, is_elsewhere, count, samples in connection.execute(groups).fetchall():
            matched += count
            elsewhere += count * is_elsewhere
            if change is not None:
                documents[change, stage, reason] += count
                named[change, stage, reason] += [(example["h"], example["p"]) for example in samples]
    order = sorted(documents, key=lambda group: (group[0], -documents[group], str(group[1]), str(group[2])))
    rows = [(*group, documents[group], [place for _, place in sorted(named[group])[:examples]]) for group in order]
    table = pa.Table.from_pylist([dict(zip(MOVED.names, row, strict=True)) for row in rows], schema=MOVED)
    return table, elsewhere, a.reached()[0] - matched, b.reached()[0] - matched


def _joins(manifest: Manifest, a: DecidedRun, b: DecidedRun) -> Iterator[str]:
    """SQL of pairs of decisions about one document, a portion at a time."""
    parts = [_parts(run) for run in (a, b)]
    common = parts[0].keys() & parts[1].keys()
    for portion in _portions(parts, sorted(common)):
        within = [_within(part, portion) for part in parts]
        if not all(within):
            continue  # one of the runs has not decided these yet
        sides = [_decisions(manifest, decided, portion) for decided in within]
        yield f"SELECT b.path, b.row, {_TOLD} FROM ({sides[0]}) a JOIN ({sides[1]}) b USING (file_no, row)"
    alone = [Portion(frozenset(part.keys() - common)) for part in parts]
    if all(portion.files for portion in alone):
        first = "WHERE id IS NOT NULL QUALIFY row_number() OVER (PARTITION BY id ORDER BY path, row) = 1"
        sides = [_decisions(manifest, _within(*side), side[1]) for side in zip(parts, alone, strict=True)]
        sides = [f"SELECT * FROM ({decisions}) {first}" for decisions in sides]
        yield f"SELECT b.path, b.row, {_TOLD} FROM ({sides[0]}) a JOIN ({sides[1]}) b USING (id)"


def _parts(run: DecidedRun) -> Parts:
    parts: Parts = {}
    for row in run.decided:
        shard = run.shards[row["shard"]]
        parts.setdefault(shard["file_no"], []).append((row["data"], shard))
    return parts


def _portions(parts: list[Parts], common: list[int]) -> Iterator[Portion]:
    together: list[int] = []
    waiting = 0
    for file in common:
        shards = [[shard for _, shard in part[file]] for part in parts]
        rows = max(sum(shard["rows"] for shard in some) for some in shards)
        if rows > AT_ONCE:
            end = max(shard["row_start"] + shard["rows"] for some in shards for shard in some)
            starts = range(0, end, AT_ONCE)
            yield from (Portion(frozenset([file]), start, start + AT_ONCE) for start in starts[:-1])
            yield Portion(frozenset([file]), starts[-1])
            continue
        if together and waiting + rows > AT_ONCE:
            yield Portion(frozenset(together))
            together, waiting = [], 0
        together.append(file)
        waiting += rows
    if together:
        yield Portion(frozenset(together))


def _within(of_file: Parts, portion: Portion) -> list[tuple[str, dict[str, Any]]]:
    """Decision files that hold documents of a portion: of a large file each is read for one portion or two, not all."""
    return [
        (data, shard)
        for file in sorted(portion.files)
        for data, shard in of_file[file]
        if (portion.end is None or shard["row_start"] < portion.end)
        and (portion.start is None or shard["row_start"] + shard["rows"] > portion.start)
    ]


def _decisions(manifest: Manifest, parts: list[tuple[str, dict[str, Any]]], portion: Portion) -> str:
    """SQL: what became of the documents of a portion."""
    uris = [manifest.store.uri(data) for data, _ in parts]
    files = _values(
        [(uri, shard["path"], shard["file_no"], shard["shard"]) for uri, (_, shard) in zip(uris, parts, strict=True)]
    )
    bundled = any(shard["bundle"] is not None for _, shard in parts)
    keys = f'filename, "{SHARD}"' if bundled else "filename"
    decisions = scan(dict.fromkeys(uris), filename=True)
    bounds = [f"d.row >= {portion.start}"] if portion.start is not None else []
    bounds += [f"d.row < {portion.end}"] if portion.end is not None else []
    return (
        f"SELECT f.path, f.file_no, d.row, d.id, d.outcome, d.dropped_by, d.reason FROM {decisions} d"
        f' JOIN (SELECT col0 AS filename, col1 AS path, col2 AS file_no, col3 AS "{SHARD}"'
        f" FROM (VALUES {files})) f USING ({keys})"
        f" WHERE {' AND '.join(bounds) or 'true'}"
    )


def _values(rows: Sequence[tuple[str, str, int, int]]) -> str:
    return ", ".join(f"({quoted(uri)}, {quoted(path)}, {number}, {shard})" for uri, path, number, shard in rows)
