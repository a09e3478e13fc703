"""Score parts: one step's new rows in a file, and a shard's numbered commits of a pass."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import parquet
from curation.flow.stored import FILE
from curation.flow.units import ScoreWork, Work
from curation.manifest.parts import now
from curation.models.hardware import of_step
from curation.plan import Step
from curation.sources import AnyShard, Bundle
from curation.store import TEMPORARY
from schemas.documents import FAULTS

FLUSH_ROWS, FLUSH_BYTES = 65_536, 16 * 1024 * 1024


class StepWriter:
    """One step's new rows, written as they come; nothing on disk until the first. Those of a bundle are one file."""

    def __init__(self, work: Work, mark: str, step: Step, shard: AnyShard) -> None:
        self.step = step
        self.shard = shard
        self.store = work.store
        self.hardware = of_step(work.hardware, step.heavy)
        several = [pa.field(FILE, pa.dictionary(pa.int32(), pa.string()))] if isinstance(shard, Bundle) else []
        self.schema = pa.schema([pa.field("row", pa.int64(), nullable=False), *several, *step.columns])
        self.name = f"scores/{step.fingerprint}/{shard.key}-{mark}.parquet"
        self.path: Path | None = None
        self.file: pq.ParquetWriter | None = None
        self.waiting: list[pa.RecordBatch] = []
        self.rows, self.errors = (np.zeros(len(shard.members), dtype=np.int64) for _ in range(2))
        """By member."""
        self.waiting_rows = self.waiting_bytes = 0
        self.seconds = 0.0

    def add(self, rows: np.ndarray, struct: pa.StructArray) -> None:
        """`rows` counted in the shard."""
        member = np.zeros(len(rows), dtype=np.int64)
        several = []
        if isinstance(self.shard, Bundle):
            member = self.shard.member_at(rows)
            files = pa.array([one.fingerprint for one in self.shard.members], pa.string())
            several = [pa.DictionaryArray.from_arrays(pa.array(member, pa.int32()), files)]
        arrays = [pa.array(self.shard.located(rows)[1], type=pa.int64()), *several, *struct.flatten()]
        self.waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.rows += np.bincount(member, minlength=len(self.rows))
        faults = pc.is_in(pc.struct_field(struct, "status"), value_set=pa.array(FAULTS))
        faulty = pc.fill_null(faults, False).to_numpy(zero_copy_only=False)
        self.errors += np.bincount(member[faulty], minlength=len(self.rows))
        self.waiting_rows += len(rows)
        self.waiting_bytes += self.waiting[-1].nbytes
        if self.waiting_rows >= FLUSH_ROWS or self.waiting_bytes >= FLUSH_BYTES:
            self._flush()

    def close(self) -> list[dict[str, Any]]:
        """What is to be recorded, a row for each shard of which there is something in the file."""
        every = int(self.rows.sum())
        if not every:
            return []
        self._flush()
        assert self.file is not None
        assert self.path is not None
        self.file.close()
        self.file = None
        path, self.path = self.path, None
        written = self.store.add(self.name, lambda temporary: path.replace(temporary))
        common = {
            "step": self.step.name,
            "fingerprint": self.step.fingerprint,
            "data": written.name,
            "content": written.content,
            "hardware": self.hardware,
        }
        return [
            {
                **common,
                "file_fingerprint": member.fingerprint,
                "row_start": member.row_start,
                "row_end": member.row_end,
                "rows": int(rows),
                "errors": int(errors),
                "bytes": written.bytes * int(rows) // every,
                "seconds": self.seconds * int(rows) / every,
            }
            for member, rows, errors in zip(self.shard.members, self.rows, self.errors, strict=True)
            if rows
        ]

    def abandon(self) -> None:
        """Remove what an interrupted unit left; nothing after `close`."""
        if self.file is not None:
            with suppress(OSError):  # on a full disk the footer cannot be written either
                self.file.close()
            self.file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self.waiting:
            return
        if self.file is None:
            folder, _, file = self.name.rpartition("/")
            self.path = self.store.scratch(f"{folder}/{TEMPORARY}growing-{file}")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = parquet.writer(self.path, self.schema, compression_level=1)
        self.file.write_table(pa.Table.from_batches(self.waiting), row_group_size=FLUSH_ROWS)
        self.waiting = []
        self.waiting_rows = self.waiting_bytes = 0


def commit_parts(task: ScoreWork, files: list[dict[str, Any]]) -> bool:
    """Make the new scores count. An attempt that comes late, for rows that are committed by now, is discarded."""
    manifest = task.work.manifest
    records = [
        {
            **file,
            "run": task.work.run,
            "attempt": task.work.attempt,
            "created_at": now(),
        }
        for file in files
    ]
    number = 0
    while True:
        earlier = manifest.get("scores", part_key(task, number))
        if earlier is None:
            if manifest.commit("scores", part_key(task, number), records):
                return True
            continue  # somebody was first, and can be read now
        covered = _covered(task, records, earlier)
        for data in covered:
            task.work.store.remove(data)
        records = [record for record in records if record["data"] not in covered]
        if not records:
            return False
        number += 1


def part_key(task: ScoreWork, number: int) -> str:
    """A shard's commits of one pass are numbered from 0, without gaps: whoever is late meets those before."""
    return f"{task.part.key[:16]}-{task.shard.key}-{number}"


def _covered(task: ScoreWork, records: list[dict[str, Any]], earlier: pa.Table) -> set[str]:
    """Files of ours of which an earlier commit, one that the task did not know of, holds every row."""
    store = task.work.store

    def rows(name: str) -> pa.Array:
        with store.reading(name) as source:
            table = parquet.read(source)
        row = table.column("row").cast(pa.string())
        if FILE in table.column_names:
            row = pc.binary_join_element_wise(table.column(FILE).cast(pa.string()), row, " ")
        return row.combine_chunks()

    ours = {record["data"]: record["fingerprint"] for record in records}
    theirs = {row["data"]: row["fingerprint"] for row in earlier.select(["data", "fingerprint"]).to_pylist()}
    covered = set()
    for data, fingerprint in ours.items():
        unplanned = theirs.keys() - task.shard_work.scores.get(fingerprint, {}).keys()
        rivals = sorted(name for name in unplanned if theirs[name] == fingerprint)
        if any(pc.all(pc.is_in(rows(data), value_set=rows(other))).as_py() for other in rivals):
            covered.add(data)
    return covered


def refreshed(task: ScoreWork) -> ScoreWork:
    """The task with what was committed for it since it was planned, by another run or by a worker that then died."""
    manifest = task.work.manifest
    scores = {fingerprint: dict(parts) for fingerprint, parts in task.shard_work.scores.items()}
    members = tuple(range(len(task.shard.members)))
    number = 0
    while (part := manifest.get("scores", part_key(task, number))) is not None:
        for record in part.select(["fingerprint", "data"]).to_pylist():
            scores.setdefault(record["fingerprint"], {}).setdefault(record["data"], members)
        number += 1
    return replace(task, shard_work=replace(task.shard_work, scores=scores))
