"""One run as charts read it: what is recorded of it, and SQL over what it decided."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from curation.gates import Gate
from curation.manifest.limits import Limits, Watch
from curation.manifest.parts import Manifest
from curation.manifest.runs import choose_run
from curation.manifest.views import check_data
from curation.store.scan import quoted
from pipelines.results.ways import DecidedRun, open_decisions
from schemas.errors import CurationError, Finding, command
from schemas.manifest import SHARD

if TYPE_CHECKING:
    from curation.flow.score_index import Shards

READ = 1 << 30
"""Bytes of input from which texts are drawn: all of it may have to be read for a hundred documents."""
SETTINGS = ("SET TimeZone = 'UTC'",)
"""Of a connection in which no gate is evaluated."""
FILES = pa.schema(
    [
        ("filename", pa.string()), (SHARD, pa.int32()), ("file", pa.string()), ("path", pa.string()),
        ("file_no", pa.int64()), ("source", pa.int32()),
    ]
)  # fmt: skip
DOC = "(f.file_no << 32) | d.row"
"""SQL of a document's doc_id, where `decisions` is read."""


class OpenRun(DecidedRun):
    """A run, read-only, with a connection of its own to what was decided of it until now.

    Other processes may write meanwhile: what they add later is not seen. Raises CurationError C032 for a run that is
    not there or has decided nothing yet, R011 where a file behind it is damaged, C057 beyond the limits of time and
    memory.
    """

    def __init__(self, manifest: Manifest, run: str | None = None) -> None:
        chosen = choose_run(manifest, run)
        if chosen is None:
            hint = f"run a recipe: {command('run', manifest.store.root)}"
            raise CurationError(Finding("C032", "nothing was run here yet", hint))
        super().__init__(manifest, chosen)
        check_data(manifest, chosen, "documents")
        self.connection = open_decisions(manifest.store, SETTINGS)
        self.watch = Watch(self.connection, Limits.of())

    def __enter__(self) -> OpenRun:
        return self

    def __exit__(self, *fault: object) -> None:
        self.connection.close()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return list(self._answer(lambda: self.connection.execute(query).fetchall()))

    def numpy(self, query: str) -> dict[str, np.ndarray]:
        """A query's columns."""
        return dict(self._answer(lambda: self.connection.execute(query).fetchnumpy()))

    def _answer(self, ask: Any) -> Any:
        try:
            return self.watch.run(ask)
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise
        except duckdb.Error as failure:
            check_data(self.manifest, self.run, "documents")
            raise CurationError(Finding("C034", str(failure).splitlines()[0])) from None

    @cached_property
    def decisions(self) -> str:
        """SQL: `FROM` this, in which `d` is the decisions, one row a document, and `f` has file_no, file (its
        fingerprint), path and source (a number in `sources`)."""
        numbers = {name: number for number, name in enumerate(self.sources)}
        files = []
        for row in self.decided:
            shard = self.shards[row["shard"]]
            facts = {"file": shard["fingerprint"], "path": shard["path"], "file_no": shard["file_no"]}
            files.append(
                {"filename": self.name_of(row), SHARD: row["shard"], "source": numbers[shard["source"]], **facts}
            )
        # a table, since to parse the names of thousands of files takes longer than most queries
        self.connection.register("decided files", pa.Table.from_pylist(files, schema=FILES))
        if self.bundled:
            return f'(FROM {self.scanned(filename=False)}) d JOIN "decided files" f USING ("{SHARD}")'
        return f'{self.scanned()} d JOIN (SELECT * EXCLUDE ("{SHARD}") FROM "decided files") f USING (filename)'

    @cached_property
    def sources(self) -> list[str]:
        """Names of sources, those with most documents first."""
        rows: dict[str, int] = {}
        for row in self.decided:
            name = self.shards[row["shard"]]["source"]
            rows[name] = rows.get(name, 0) + row["rows"]
        return sorted(rows, key=lambda name: (-rows[name], str(name)))

    @property
    def documents(self) -> int:
        return sum(row["rows"] for row in self.decided)

    @cached_property
    def gates(self) -> dict[str, Gate]:
        """By stage, in order."""
        return {row["stage"]: Gate.parse(row["keep"]) for row in self.stages if row["keep"]}

    @cached_property
    def scores(self) -> list[dict[str, Any]]:
        """Records of what was scored for this run; what others had scored before is none of it."""
        table = self.manifest.where("scores", run=self.run)
        return list(table.select(["step", "rows", "errors", "bytes", "seconds", "hardware", "attempt"]).to_pylist())

    @cached_property
    def fingerprints(self) -> list[dict[str, Any]]:
        """Records of the run's scoring steps, in the order of their stages."""
        steps = self.manifest.where("scorers", run=self.run).to_pylist()
        position = {name: number for number, name in enumerate(self.ids)}
        return sorted(steps, key=lambda row: (position.get(row["step"].partition("/")[0], -1), row["step"]))

    @cached_property
    def groups(self) -> dict[str, dict[str, Any]]:
        """By stage, the result of each dataset-wide stage that is resolved."""
        records = {row["group"]: row for row in self.manifest.read("groups").to_pylist()}
        used = self.manifest.where("barriers", run=self.run).to_pylist()
        return {row["stage"]: records[row["group"]] for row in used if row["group"] in records}

    @cached_property
    def attempts(self) -> set[str]:
        """Ids of the run's invocations."""
        return set(self.manifest.where("attempts", run=self.run).column("attempt").to_pylist())

    @cached_property
    def token_fields(self) -> dict[str, str]:
        """By stage, its field that says how many tokens it read."""
        fields = {row["stage"]: set(columns.names) for row, columns in zip(self.stages, self.columns, strict=True)}
        steps = self.manifest.where("scorers", run=self.run).to_pylist()
        return {row["step"]: row["tokens"] for row in steps if row["tokens"] in fields.get(row["step"], ())}

    @cached_property
    def recorded(self) -> Shards:
        """What its documents are read by. Raises CurationError R002 where an input file is no longer what it was, and
        what else keeps its recipe from being resolved again."""
        from curation.flow.score_index import Shards
        from pipelines.planning.resolve import resolve_recorded

        return Shards.recorded(self.manifest, resolve_recorded(self.manifest, self.run))

    @cached_property
    def file_numbers(self) -> dict[int, int]:
        """By a file's place in the run's order, its number in the workspace."""
        return {row["file"]: row["file_no"] for row in self.shards.values()}

    @cached_property
    def readable(self) -> str:
        """SQL condition on decisions `d`: the document is in one of some shards, drawn by hash, whose texts are few
        enough to be read for a page; with it `sampled` says how many."""
        listed = ", ".join(quoted(self.name_of(row)) for row in self.sampled)
        return "true" if len(self.sampled) == len(self.decided) else f"filename IN ({listed})"

    @cached_property
    def sampled(self) -> list[dict[str, Any]]:
        """Records of decided shards of READ bytes together, or one, drawn by hash."""
        drawn = sorted(self.decided, key=lambda row: hashlib.sha256(f"{self.run} {row['shard']}".encode()).digest())
        size, count = 0, 0
        for row in drawn:
            size += self.shards[row["shard"]]["bytes"] or 0
            if count and size > READ:
                break
            count += 1
        return sorted(drawn[:count], key=lambda row: int(row["shard"]))

    @property
    def sampling(self) -> str | None:
        """How documents were drawn whose texts are read, a sentence; None where all could be."""
        if len(self.sampled) == len(self.decided):
            return None
        rows = sum(row["rows"] for row in self.sampled)
        return (
            f"Drawn from {len(self.sampled):,} of {len(self.decided):,} shards, chosen by hash:"
            f" {rows:,} of {self.documents:,} documents."
        )

    @cached_property
    def cuts(self) -> list[tuple[str, str, float, bool]]:
        """Where rankings cut the order of a column: stage, column, value, and whether what lies over it was dropped."""
        cuts = []
        for row in self.stages:
            by = json.loads(row["settings"] or "{}").get("by") if row["family"] == "select" else None
            if isinstance(by, str):
                query = f"""SELECT d.threshold, d.score > d.threshold AS over FROM {self.decisions}
                    WHERE d.dropped_by = {quoted(row["stage"])} AND d.score != d.threshold GROUP BY ALL ORDER BY ALL"""
                cuts += [(row["stage"], by, value, over) for value, over in self.rows(query)]
        return cuts

    @cached_property
    def kinds(self) -> dict[str, str]:
        """By stage."""
        return {row["stage"]: row["kind"] for row in self.stages}

    @cached_property
    def score_of(self) -> dict[str, str]:
        """By stage, the `stage.field` that it ranks documents by."""
        fields = {row["stage"]: set(columns.names) for row, columns in zip(self.stages, self.columns, strict=True)}
        steps = self.manifest.where("scorers", run=self.run).to_pylist()
        ranked = {row["step"]: row["score"] for row in steps if row["score"] not in (None, "pass")}
        return {name: f"{name}.{ranked[name]}" for name in self.ids if ranked.get(name) in fields[name]}

    @property
    def ranked_by(self) -> list[str]:
        return list(self.score_of.values())

    def reaches(self, stage: str) -> str:
        """SQL condition: the document came to the stage."""
        later = ", ".join(quoted(name) for name in self.ids[self.ids.index(stage) :])
        return f"(d.dropped_by IS NULL OR d.dropped_by IN ({later}))"

    def measured(self, stage: str, **measurements: Measurement) -> str:
        """SQL: `FROM` this, in which `d` has the measurements by the names given, outcome, dropped_by, row, file_no and
        source of each document that came to the stage."""
        values = ", ".join(f"{item.sql} AS {name}" for name, item in measurements.items())
        columns = "d.outcome, d.dropped_by, d.row, f.file_no, f.source"
        return f"(SELECT {values}, {columns} FROM {self.decisions} WHERE {self.reaches(stage)}) d"

    def measurement(self, name: str) -> Measurement:
        """By `stage.field`, as SQL would take it. Raises CurationError C025 for one that is not there or no number."""
        wanted = name.casefold()
        every = list(self.measurements())
        for measurement in every:
            if measurement.name.casefold() == wanted:
                return measurement
        numbers = ", ".join(item.name for item in every) or "none"
        raise CurationError(Finding("C025", f"run {self.run} has no measurement '{name}'", f"its numbers: {numbers}"))

    def measurements(self) -> list[Measurement]:
        """All numbers and booleans that the run's stages say of a document, in the order of the stages."""
        return [
            Measurement(row["stage"], row["kind"], field.name, field.type)
            for row, fields in zip(self.stages, self.columns, strict=True)
            for field in fields
            if _is_number(field.type)
        ]


class Measurement:
    """A number that a stage says of each document that reaches it."""

    def __init__(self, stage: str, kind: str, field: str, type: pa.DataType) -> None:
        self.stage, self.kind, self.field, self.type = stage, kind, field, type

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.field}"

    @property
    def sql(self) -> str:
        """As a DOUBLE of the decisions `d`."""
        return f"d.{identifier(self.stage)}.{identifier(self.field)}::DOUBLE"

    @property
    def whole(self) -> bool:
        return bool(pa.types.is_integer(self.type))

    @property
    def boolean(self) -> bool:
        return bool(pa.types.is_boolean(self.type))


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_number(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(is_kind(kind) for is_kind in kinds)
