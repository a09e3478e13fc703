"""Where the way of each document of a run would end with other gates, in SQL over its decisions and the score store.

A document's way is known as far as it went in the run. Where another gate lets pass what the run dropped there, the
stages after it may have no score of it: then the score store is asked, which other runs filled as well.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from curation.flow.stored import FILE as SEVERAL_FILES
from curation.gates import ERRORED, PASSED, Gate
from curation.gates.evaluation import decision
from curation.manifest.limits import Limits, Watch
from curation.manifest.parts import Manifest
from curation.manifest.sql import open_locked
from curation.manifest.views import check_data
from curation.store import Store
from curation.store.scan import quoted, scan
from schemas.documents import EMPTY, FAULTS
from schemas.errors import CurationError, Finding, command
from schemas.manifest import SHARD

DROPPED, FAULTY, TO_SCORE, TO_DECIDE = range(4)
"""How a way ends at a stage: `4 * position + how`. The way of what is kept ends at KEPT."""
KEPT = -1
SETTINGS = ("SET TimeZone = 'UTC'", "SET disabled_optimizers = 'common_subexpressions'")
"""As in `curation.gates.database`."""
DATASET_WIDE = ("dedup", "select")
"""Families that decide among all documents; `curation.plan` says the same, and takes longer to import than this to run.
"""
FILE, ROW, END, OUTCOME = '"what-if file"', '"what-if row"', '"what-if end"', '"what-if outcome"'
STAGE = '"what-if stage"'
SEVERAL = f'"{SEVERAL_FILES}"'
EXAMPLES = 100
"""Documents that are named, of those that other runs' scores keep."""
NEW, NEXT = '"what-if new"', '"what-if next"'
"""Columns and tables of ours have a space in their names, which no stage can have."""


class Group(NamedTuple):
    """Documents whose way ended at one stage, and of which the other gates say the same."""

    end: int
    """Where their way ended in the run."""
    way: int
    """Where it would end, by the run's own scores."""
    documents: int
    condition: str
    """SQL that holds for these alone."""


class DecidedRun:
    """What is recorded of a run whose decisions are there, or some of them."""

    def __init__(self, manifest: Manifest, run: str) -> None:
        self.manifest = manifest
        self.run = run
        self.stages = manifest.where("stages", run=run).sort_by("position").to_pylist()
        self.ids: list[str] = [row["stage"] for row in self.stages]
        self.columns = [pa.ipc.read_schema(pa.py_buffer(row["fields"])) for row in self.stages]
        """Of each stage, as gates see it."""
        self.shards = {row["shard"]: row for row in manifest.where("shards", run=run).to_pylist() if not row["error"]}
        self.bundled = any(row["bundle"] is not None for row in self.shards.values())
        """Whether a file of decisions is about several shards, and says of which each row is."""
        self.decided = manifest.where("decisions", run=run).sort_by("shard").to_pylist()
        if not self.decided:
            go_on = command(f"retry {run}", manifest.store.root)
            raise CurationError(Finding("C032", f"run {run} has decided nothing yet", f"let it go on: {go_on}"))

    @property
    def files(self) -> list[str]:
        """URIs of the decisions, each once."""
        return [self.manifest.store.uri(name) for name in dict.fromkeys(row["data"] for row in self.decided)]

    def name_of(self, record: dict[str, Any]) -> str:
        """What `scanned` has as `filename` of the documents of a record of `decided`."""
        name: str = self.manifest.store.uri(record["data"])
        return f"{name}#{record['shard']}" if self.bundled else name

    def scanned(self, filename: bool = True) -> str:
        """SQL: what `FROM` reads, of all decisions or of some files of them."""
        decided = scan(self.files, filename=filename)
        if not (filename and self.bundled):
            return decided
        return f"(SELECT * REPLACE (filename || '#' || {_name(SHARD)} AS filename) FROM {decided})"

    def is_scored(self, position: int) -> bool:
        """Whether a stage judges each document by its own score; else it is dataset-wide."""
        return self.stages[position]["family"] not in DATASET_WIDE

    @cached_property
    def ended(self) -> dict[tuple[str, str], int]:
        """Documents whose way ended at a stage, dropped or errored."""
        ended: Counter[tuple[str, str]] = Counter()
        for row in self.decided:
            for entry in row["tally"]:
                if entry["stage"] is not None:
                    ended[entry["stage"], entry["outcome"]] += entry["rows"]
        return ended

    def has_faults(self, position: int) -> bool:
        """Whether documents errored at a stage."""
        return bool(self.ended.get((self.ids[position], "errored")))

    def status_counts(self, position: int) -> bool:
        """Whether there may be documents whose way a stage ended by their status."""
        if not self.is_scored(position):
            return False
        return self.stages[position]["family"] == "transform" or self.has_faults(position)

    def reached(self) -> list[int]:
        """Documents that reached each stage in the run, and after the last those that were kept."""
        left = [sum(row["rows"] for row in self.decided)]
        for name in self.ids:
            left.append(left[-1] - sum(self.ended.get((name, how), 0) for how in ("dropped", "errored")))
        return left

    def score_parts(self, position: int) -> list[dict[str, Any]]:
        """What the score store has of a stage for the run's files, from any run."""
        parts = self.manifest.where("scores", fingerprint=self.stages[position]["fingerprint"]).to_pylist()
        files = {row["fingerprint"] for row in self.shards.values()}
        return [row for row in parts if row["file_fingerprint"] in files]

    def parts_of_others(self, position: int) -> list[dict[str, Any]]:
        """Those of `score_parts` that may hold documents which did not reach the stage in the run: what the run scored
        there itself holds none."""
        here = (self.run, self.ids[position])
        return [row for row in self.score_parts(position) if (row["run"], row["step"]) != here]


class Decisions:
    """What became of a run's documents, as it lies in the workspace."""

    def __init__(self, run: DecidedRun) -> None:
        self.run = run

    def open(self) -> duckdb.DuckDBPyConnection:
        return open_decisions(self.run.manifest.store)

    def limits(self) -> Limits:
        return Limits.of()

    def sql(self, filename: bool = False) -> str:
        """What `FROM` reads: `row`, `dropped_by`, `outcome`, a struct for each stage, perhaps `filename`."""
        return self.run.scanned(filename)


@dataclass(frozen=True)
class OtherGates:
    """Gates in place of those of a run's stages, by position."""

    run: DecidedRun
    gates: dict[int, Gate]
    decisions: Decisions | None = None
    """Where decisions are read from; those in the workspace for None."""
    let_in: list[tuple[str, int]] | None = None
    """Taken where it is a list: fingerprint of the file, and row, of some documents that scores of other runs keep."""

    def count(self) -> tuple[list[Group], Counter[int]]:
        """Documents by where their way ends by the run's own scores; and by where it ends by all that are stored."""
        decisions = self._source
        with decisions.open() as connection:
            watch = Watch(connection, decisions.limits())
            groups: list[Group] = self._answer(watch, connection, self._groups)
            ends: Counter[int] = Counter()
            for group in groups:
                ends[group.way] += group.documents
            for position in sorted(way // 4 for way in ends if way >= 0 and way % 4 == TO_SCORE):
                if not self.run.is_scored(position):
                    ends[4 * position + TO_DECIDE] += ends.pop(4 * position + TO_SCORE)
                elif sum(row["rows"] for row in self.run.score_parts(position)) > self.run.reached()[position]:
                    # alone those: an earlier stage's documents, followed as far as this one, stay where that ended
                    come = 4 * position + TO_SCORE
                    ends[come] -= sum(group.documents for group in groups if group.way == come)
                    ends.update(self._answer(watch, connection, partial(self._follow, first=position, groups=groups)))
        return groups, ends

    @property
    def _source(self) -> Decisions:
        return self.decisions or Decisions(self.run)

    def _answer(self, watch: Watch, connection: Any, ask: Callable[[Any, bool], Any]) -> Any:
        """What a query says; asked once more, with each gate by itself for each document, where a gate fails."""
        try:
            return watch.run(lambda: ask(connection, False))
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.IOException as failure:
            check_data(self.run.manifest, self.run.run, "documents")
            raise CurationError(Finding("C034", str(failure).splitlines()[0])) from None
        except duckdb.Error:
            return watch.run(lambda: ask(connection, True))

    def _groups(self, connection: Any, tried: bool) -> list[Group]:
        """Documents in groups of which each has one way."""
        columns = [f"dropped_by AS {END}", f"outcome AS {OUTCOME}"]
        for position, gate in self.gates.items():
            columns.append(f'{_verdict(gate, tried)} AS "what-if verdict {position}"')
            columns.append(f'{self._status(position)} AS "what-if status {position}"')
        query = f"SELECT {', '.join(columns)}, count(*) FROM {self._decisions()} GROUP BY ALL"
        return [self._group(row) for row in connection.execute(query).fetchall()]

    def _group(self, row: tuple[Any, ...]) -> Group:
        stage, outcome, *judged, documents = row
        end = KEPT if stage is None else 4 * self.run.ids.index(stage) + (FAULTY if outcome == "errored" else DROPPED)
        conditions = [f"dropped_by IS NOT DISTINCT FROM {_literal(stage)}", f"outcome = {_literal(outcome)}"]
        verdicts, statuses = judged[::2], judged[1::2]
        for position, verdict, status in zip(self.gates, verdicts, statuses, strict=True):
            conditions.append(f"{_verdict(self.gates[position], True)} = {verdict}")
            conditions.append(f"{self._status(position)} IS NOT DISTINCT FROM {_literal(status)}")
        return Group(end, self._way(end, verdicts, statuses), documents, " AND ".join(conditions))

    def _way(self, end: int, verdicts: Sequence[int], statuses: Sequence[str | None]) -> int:
        """Where a way would end, from where it ended and the verdicts of the other gates."""
        for position, verdict, status in sorted(zip(self.gates, verdicts, statuses, strict=True)):
            if end != KEPT and end < 4 * position:
                return end
            ended = end != KEPT and end // 4 == position
            if ended and status is not None:
                return end  # whatever a gate says
            if verdict == ERRORED:
                return 4 * position + FAULTY
            if verdict != PASSED:
                return 4 * position + DROPPED
            if ended:
                return KEPT if position + 1 == len(self.run.ids) else 4 * (position + 1) + TO_SCORE
        return end

    def _status(self, position: int) -> str:
        """SQL: the status by which a stage itself ended a document's way; read only where there are such documents."""
        stage = self.run.stages[position]
        if not self.run.status_counts(position):
            return "NULL"
        whatever = FAULTS if stage["family"] == "scorer" else (*FAULTS, EMPTY)
        status = f'{_name(stage["stage"])}."status"'
        return f"CASE WHEN {status} IN ({', '.join(map(quoted, whatever))}) THEN {status} END"

    def _decisions(self, filename: bool = False) -> str:
        """SQL of the run's decisions; their table's name hides no stage's."""
        return f'{self._source.sql(filename)} AS "what if"'

    def _follow(self, connection: Any, tried: bool, first: int, groups: list[Group]) -> Counter[int]:
        """Ends of the documents that come to a stage anew, by its stored scores and those of the stages after it."""
        run, uri = self.run, self.run.manifest.store.uri
        reads = self._read_from(first)
        structs = "".join(f", {_name(name)}" for name in reads if run.ids.index(name) < first)
        new = " OR ".join(f"({group.condition})" for group in groups if group.way == 4 * first + TO_SCORE)
        files = _files([(run.name_of(row), run.shards[row["shard"]]["fingerprint"]) for row in run.decided])
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE {NEW} AS SELECT f.file AS {FILE}, row AS {ROW}{structs}
                FROM (SELECT filename, row{structs} FROM {self._decisions(filename=True)} WHERE {new})
                JOIN ({files}) f USING (filename)"""
        )
        ends: Counter[int] = Counter()
        for position in range(first, len(run.ids)):
            parts = run.parts_of_others(position) if run.is_scored(position) else []
            if not parts:
                ends[4 * position + (TO_SCORE if run.is_scored(position) else TO_DECIDE)] += _rows(connection)
                return ends
            columns = dict.fromkeys([*reads.get(run.ids[position], ()), "status"])
            packed = ", ".join(f"{_name(name)} := p.{_name(name)}" for name in columns)
            names = dict.fromkeys(uri(row["data"]) for row in parts)
            scores = scan(names, filename=True, union_by_name=True)
            scores = f"(SELECT NULL::VARCHAR AS {SEVERAL} WHERE false UNION ALL BY NAME FROM {scores})"
            files = _files(list({uri(row["data"]): row["file_fingerprint"] for row in parts}.items()))
            connection.execute(
                f"""CREATE OR REPLACE TEMP TABLE {NEXT} AS SELECT *, {self._end_at(position, tried)} AS {END} FROM (
                        SELECT n.*, s.{STAGE} AS {_name(run.ids[position])} FROM {NEW} n LEFT JOIN (
                            SELECT DISTINCT ON ({FILE}, {ROW}) coalesce(p.{SEVERAL}, f.file) AS {FILE}, p.row AS {ROW},
                                   struct_pack({packed}) AS {STAGE}
                            FROM {scores} p JOIN ({files}) f USING (filename)
                            SEMI JOIN {NEW} n ON n.{FILE} = coalesce(p.{SEVERAL}, f.file) AND n.{ROW} = p.row
                        ) s USING ({FILE}, {ROW}))"""
            )
            counts = connection.execute(f"SELECT {END}, count(*) FROM {NEXT} WHERE {END} != {KEPT} GROUP BY ALL")
            ends.update({4 * position + how: count for how, count in counts.fetchall()})
            left = f"SELECT * EXCLUDE ({END}) FROM {NEXT} WHERE {END} = {KEPT}"
            connection.execute(f"CREATE OR REPLACE TEMP TABLE {NEW} AS {left}")
        ends[KEPT] += _rows(connection)
        if self.let_in is not None:
            examples = f"SELECT {FILE}, {ROW} FROM {NEW} ORDER BY hash({FILE}, {ROW}), {FILE}, {ROW} LIMIT {EXAMPLES}"
            self.let_in.extend(connection.execute(examples).fetchall())
        return ends

    def _end_at(self, position: int, tried: bool) -> str:
        """SQL: how a way ends at a stage, by its stored score; KEPT where it goes on."""
        name = _name(self.run.ids[position])
        cases = [f"WHEN {name} IS NULL THEN {TO_SCORE}"]
        cases.append(f"""WHEN {name}."status" IN ({", ".join(map(quoted, FAULTS))}) THEN {FAULTY}""")
        if self.run.stages[position]["family"] == "transform":
            cases.append(f"""WHEN {name}."status" = {quoted(EMPTY)} THEN {DROPPED}""")
        gate = self._all_gates().get(position)
        if gate is not None:
            cases.append(f"WHEN {_verdict(gate, tried)} = {ERRORED} THEN {FAULTY}")
            cases.append(f"WHEN {_verdict(gate, tried)} != {PASSED} THEN {DROPPED}")
        return f"CASE {' '.join(cases)} ELSE {KEPT} END"

    def _all_gates(self) -> dict[int, Gate]:
        """The gate behind each stage that has one, by position."""
        gates = {row["position"]: Gate.parse(row["keep"]) for row in self.run.stages if row["keep"]}
        return gates | self.gates

    def _read_from(self, first: int) -> dict[str, list[str]]:
        """Columns that the gates from a stage on read, by stage."""
        columns = {
            f"{stage}.{name}".casefold(): (stage, name)
            for stage, schema in zip(self.run.ids, self.run.columns, strict=True)
            for name in schema.names
        }
        reads: dict[str, list[str]] = {}
        for position, gate in self._all_gates().items():
            for column in gate.columns if position >= first else ():
                stage, name = columns[column.casefold()]
                reads.setdefault(stage, []).append(name)
        return reads


def open_decisions(store: Store, settings: Sequence[str] = SETTINGS) -> duckdb.DuckDBPyConnection:
    """A locked connection that reads a workspace's files; unless told otherwise, as gates are evaluated in a run."""
    threads = os.cpu_count() or 1
    return open_locked(settings, [store.root], threads=threads, attach=partial(register_store, store=store))


def register_store(connection: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Let a connection read the files of a workspace on an object store."""
    if store.far:
        from curation.store.files import StoreFiles  # brings what speaks to stores

        connection.register_filesystem(StoreFiles(store))


def _verdict(gate: Gate, tried: bool) -> str:
    return f"coalesce(TRY({decision(gate)}), CAST({ERRORED} AS SMALLINT))" if tried else decision(gate)


def _literal(value: str | None) -> str:
    return "NULL" if value is None else quoted(value)


def _files(pairs: Sequence[tuple[str, str]]) -> str:
    """SQL of a table: files of ours, and whose input file's documents each is about."""
    rows = ", ".join(f"({quoted(uri)}, {quoted(file)})" for uri, file in pairs)
    return f"SELECT col0 AS filename, col1 AS file FROM (VALUES {rows})"


def _rows(connection: Any) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {NEW}").fetchall()[0][0])


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
