"""Decisions of a run in memory, as far as gates read them: other gates are then answered while a slider moves.

One row a document: where its way ended (two bytes), its shard and row (eight bytes), and of each stage the fields that
gates read, as wide as they are stored. What gates say of them is asked by the same SQL as over the files.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable

import duckdb

from curation.gates import Gate
from curation.manifest.limits import Limits, Watch
from curation.manifest.sql import open_locked
from curation.manifest.views import check_data
from curation.store.scan import quoted
from pipelines.results.ways import KEPT, SETTINGS, TO_SCORE, DecidedRun, Decisions, Group, OtherGates, register_store
from schemas.errors import CurationError, Finding

TABLE, SHARD = '"resident decisions"', '"resident shard"'
"""With a space, which no stage's name has."""
Fields = dict[str, set[str]]
"""Names of columns by stage."""


class ResidentDecisions(Decisions):
    """A run's decisions, copied once. Raises CurationError C057 where they do not fit, R011 where a file is damaged.

    For one thread at a time.
    """

    def __init__(self, run: DecidedRun, fields: Fields, limits: Limits) -> None:
        super().__init__(run)
        self.fields = fields
        self._limits = limits
        check_data(run.manifest, run.run, "documents")
        store = run.manifest.store
        try:
            self._connection = open_locked(
                [*SETTINGS, "SET preserve_insertion_order = false", self._copy()],
                [store.root],
                memory_limit=f"{int(limits.memory)}MB",
                threads=os.cpu_count() or 1,
                attach=lambda connection: register_store(connection, store),
            )
        except duckdb.OutOfMemoryException:
            documents = sum(row["rows"] for row in run.decided)
            what = f"{documents:,} documents take more than {limits.memory:g} MB of memory"
            raise CurationError(Finding("C057", what, "allow more: CURATION_SQL_MEMORY=8192, in MB")) from None
        except duckdb.Error as failure:
            raise CurationError(Finding("C034", str(failure).splitlines()[0])) from None

    def open(self) -> duckdb.DuckDBPyConnection:
        return self._connection.cursor()

    def limits(self) -> Limits:
        return self._limits

    def sql(self, filename: bool = False) -> str:
        if not filename:
            return TABLE
        files = ", ".join(f"({row['shard']}, {quoted(self.run.name_of(row))})" for row in self.run.decided)
        return f"(SELECT t.*, f.col1 AS filename FROM {TABLE} t JOIN (VALUES {files}) f ON f.col0 = t.{SHARD})"

    def has(self, fields: Fields) -> bool:
        return all(names <= self.fields.get(stage, set()) for stage, names in fields.items())

    def memory(self) -> int:
        """Bytes that it takes."""
        used = "SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory()"
        return int(self._connection.cursor().execute(used).fetchall()[0][0])

    def documents(self, condition: str, count: int) -> list[int]:
        """doc_ids of some documents of a condition by hash: the same ones each time."""
        order = f"hash({SHARD}, row), {SHARD}, row"
        query = f"SELECT {SHARD}, row FROM {self.sql()} WHERE {condition} ORDER BY {order} LIMIT {int(count)}"
        with self.open() as connection:
            rows = Watch(connection, self._limits).run(lambda: connection.execute(query).fetchall())
        return [self.run.shards[shard]["file_no"] << 32 | row for shard, row in rows]

    def close(self) -> None:
        self._connection.close()

    def _copy(self) -> str:
        run = self.run
        ids = ", ".join(map(quoted, run.ids))
        structs = ""
        for stage, names in self.fields.items():
            packed = (f"{_name(field)} := d.{_name(stage)}.{_name(field)}" for field in sorted(names))
            structs += f", struct_pack({', '.join(packed)}) AS {_name(stage)}" if names else ""
        files = ", ".join(f"({quoted(run.name_of(row))}, {row['shard']})" for row in run.decided)
        return (
            f"CREATE TABLE {TABLE} AS SELECT d.dropped_by::ENUM({ids}) AS dropped_by,"
            f" d.outcome::ENUM('kept', 'dropped', 'errored') AS outcome, f.col1::INTEGER AS {SHARD},"
            f" d.row::UINTEGER AS row{structs} FROM {run.scanned()} d JOIN (VALUES {files}) f ON f.col0 = d.filename"
        )


class MovedGates:
    """What becomes of a run's documents with other gates, and which of them change sides."""

    def __init__(self, decisions: ResidentDecisions, gates: dict[int, Gate]) -> None:
        self.decisions = decisions
        self._let_in: list[tuple[str, int]] = []
        self._other = OtherGates(decisions.run, gates, decisions, self._let_in)
        self.groups: list[Group]
        self.ends: Counter[int]
        self.groups, self.ends = self._other.count()

    def lost(self) -> int:
        """Documents that the run keeps and these gates do not."""
        return sum(group.documents for group in self._chosen(_is_lost))

    def gained(self) -> int:
        """Documents that these gates keep, as far as scores are stored, and the run does not."""
        return self.ends[KEPT] - sum(group.documents for group in self.groups if group.end == group.way == KEPT)

    def some_lost(self, count: int) -> list[int]:
        return self._sample(_is_lost, count)

    def some_gained(self, count: int) -> list[int]:
        shards = self.decisions.run.shards.values()
        number_of_file = {shard["fingerprint"]: shard["file_no"] for shard in shards}
        others = [number_of_file[file] << 32 | row for file, row in self._let_in]
        return (self._sample(_is_gained, count) + others)[:count]

    def some_unscored(self, count: int) -> list[int]:
        """Documents that go on where the run dropped them, some of which are not scored there yet."""
        return self._sample(_is_unscored, count)

    def _sample(self, wanted: Callable[[Group], bool], count: int) -> list[int]:
        groups = self._chosen(wanted)
        if not groups or count < 1:
            return []
        return self.decisions.documents(" OR ".join(f"({group.condition})" for group in groups), count)

    def _chosen(self, wanted: Callable[[Group], bool]) -> list[Group]:
        return [group for group in self.groups if wanted(group)]


def fields_of(run: DecidedRun, gates: Iterable[Gate]) -> Fields:
    """What some gates read, and the status of stages that may end a document's way by it."""
    names = {
        f"{stage}.{field}".casefold(): (stage, field)
        for stage, schema in zip(run.ids, run.columns, strict=True)
        for field in (*schema.names, "status")
    }
    fields: Fields = {stage: set() for stage in run.ids}
    for gate in gates:
        for column in gate.columns:
            stage, field = names[column.casefold()]
            fields[stage].add(field)
    for position, stage in enumerate(run.ids):
        if run.status_counts(position):
            fields[stage].add("status")
    return fields


def gates_of(run: DecidedRun) -> dict[int, Gate]:
    """The gates that a run was made with, by position of their stage."""
    return {position: Gate.parse(row["keep"]) for position, row in enumerate(run.stages) if row["keep"]}


def _is_lost(group: Group) -> bool:
    return group.end == KEPT != group.way


def _is_gained(group: Group) -> bool:
    return group.end != KEPT == group.way


def _is_unscored(group: Group) -> bool:
    return group.way >= 0 and group.way % 4 == TO_SCORE


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'
