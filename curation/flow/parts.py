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
from curation.flow.units import ScoreWork, Work
from curation.manifest.parts import now
from curation.models.hardware import of_step
from curation.plan import Step
from curation.store import TEMPORARY
from schemas.documents import FAULTS

FLUSH_ROWS, FLUSH_BYTES = 65_536, 16 * 1024 * 1024


class StepWriter:
    """One step's new rows, written as they come; nothing on disk until the first."""

    def __init__(self, work: Work, mark: str, step: Step, shard: str) -> None:
        self.step = step
        self.store = work.store
        self.hardware = of_step(work.hardware, step.heavy)
        self.schema = pa.schema([pa.field("row", pa.int64(), nullable=False), *step.columns])
        self.name = f"scores/{step.fingerprint}/{shard}-{mark}.parquet"
        self.path: Path | None = None
        self.file: pq.ParquetWriter | None = None
        self.waiting: list[pa.RecordBatch] = []
        self.rows = self.errors = self.waiting_rows = self.waiting_bytes = 0
        self.seconds = 0.0

    def add(self, rows: np.ndarray, struct: pa.StructArray) -> None:
        arrays = [pa.array(rows, type=pa.int64()), *struct.flatten()]
        self.waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self.schema))
        self.rows += len(rows)
        faults = pc.is_in(pc.struct_field(struct, "status"), value_set=pa.array(FAULTS))
        self.errors += int(pc.sum(faults).as_py() or 0)
        self.waiting_rows += len(rows)
        self.waiting_bytes += self.waiting[-1].nbytes
        if self.waiting_rows >= FLUSH_ROWS or self.waiting_bytes >= FLUSH_BYTES:
            self._flush()

    def close(self) -> dict[str, Any] | None:
        if not self.rows:
            return None
        self._flush()
        assert self.file is not None
        assert self.path is not None
        self.file.close()
        self.file = None
        path, self.path = self.path, None
        written = self.store.add(self.name, lambda temporary: path.replace(temporary))
        return {
            "step": self.step.name,
            "fingerprint": self.step.fingerprint,
            "data": written.name,
            "rows": self.rows,
            "errors": self.errors,
            "bytes": written.bytes,
            "content": written.content,
            "hardware": self.hardware,
            "seconds": self.seconds,
        }

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
            "file_fingerprint": task.shard.fingerprint,
            "row_start": task.shard.row_start,
            "row_end": task.shard.row_end,
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
        for record in [record for record in records if _covered(task, record, earlier)]:
            task.work.store.remove(record["data"])
            records.remove(record)
        if not records:
            return False
        number += 1


def part_key(task: ScoreWork, number: int) -> str:
    """A shard's commits of one pass are numbered from 0, without gaps: whoever is late meets those before."""
    return f"{task.part.key[:16]}-{task.shard.key}-{number}"


def _covered(task: ScoreWork, record: dict[str, Any], earlier: pa.Table) -> bool:
    """Whether an earlier commit, one that the task did not know of, holds every row of ours."""
    store = task.work.store
    planned = task.shard_work.scores.get(record["fingerprint"], [])

    def rows(name: str) -> pa.ChunkedArray:
        with store.reading(name) as source:
            return parquet.read(source, columns=["row"]).column("row")

    written = rows(record["data"])
    for theirs in earlier.to_pylist():
        if theirs["fingerprint"] != record["fingerprint"] or theirs["data"] in planned:
            continue
        if pc.all(pc.is_in(written, value_set=rows(theirs["data"]).combine_chunks())).as_py():
            return True
    return False


def refreshed(task: ScoreWork) -> ScoreWork:
    """The task with what was committed for it since it was planned, by another run or by a worker that then died."""
    manifest = task.work.manifest
    scores = {fingerprint: list(names) for fingerprint, names in task.shard_work.scores.items()}
    number = 0
    while (part := manifest.get("scores", part_key(task, number))) is not None:
        for record in part.to_pylist():
            names = scores.setdefault(record["fingerprint"], [])
            if record["data"] not in names:
                names.append(record["data"])
        number += 1
    return replace(task, shard_work=replace(task.shard_work, scores=scores))
