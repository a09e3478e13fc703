"""Rows of a shard as the stage at a position sees them: the one way in which documents are read.

Row groups are read, columns mapped, text repaired, the edits of the transforms before the position applied, and
numbers given as float64. `rows_at` takes those edits as they are stored. Who reads documents that no transform was
given yet, or not all of them, reads them as the source has them (`source_rows`) and edits them with `edited_anew`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.flow.faults import faults_of
from curation.flow.stored import StoredColumns
from curation.flow.units import ShardWork, Work
from curation.formats.columns import Columns, Opened
from curation.plan import Plan, StagePlan
from curation.scorers.alone import run
from curation.scorers.base import Scorer
from curation.sources import AnyShard, Batch, Bundle, Shard, read_batches
from curation.sources.reading import BATCH_BYTES, BATCH_ROWS
from curation.text.analysis import take

Rows = NDArray[np.int64]


class Documents:
    """Some rows of one batch of a shard, n of them. Only `text` is ever edited."""

    def __init__(self, columns: Columns, batch: Batch, rows: Rows, counted: Rows | None = None) -> None:
        """`rows` counts in the batch, ascending; `counted` says which rows of the shard they are, where the batch is
        none of consecutive ones."""
        self.rows = rows + batch.start if counted is None else counted
        """[n]: counted in the shard."""
        self._taken, self._faults, self._replaced = rows, batch.faults, batch.replaced
        whole = len(rows) == batch.columns.num_rows
        self.opened: Opened = columns.open(batch.columns if whole else batch.columns.take(pa.array(rows)))
        self.edits: pa.ListArray | None = None
        """[n]: what was done to the text so far, in coordinates of the source."""
        self._narrow: tuple[Rows, pa.Array] | None = None

    def read(self) -> None:
        """Read now what is otherwise read when it is asked for: what the content makes of it is raised here."""
        _ = self.source, self.faults, self.replaced

    @property
    def source(self) -> pa.Array:
        """[n]: the text as the source has it, null where there is none."""
        return self.opened.text[0]

    @property
    def invalid(self) -> NDArray[np.bool_]:
        """[n]: where `source` is null for want of UTF-8."""
        return self.opened.text[1]

    @cached_property
    def faults(self) -> dict[int, str]:
        """By number of the document, why it cannot be read."""
        return self.opened.faults | renumbered(self._faults, self._taken)

    @cached_property
    def replaced(self) -> dict[int, int]:
        """By number of the document, characters of its text that were half a surrogate pair."""
        counts = dict(self.opened.replaced)
        for number, count in renumbered(self._replaced, self._taken).items():
            counts[number] = counts.get(number, 0) + count
        return counts

    @cached_property
    def text(self) -> pa.Array:
        """[n]: the text as edited so far, never null."""
        text = pc.fill_null(self.source, "")
        if self.edits is None:
            return text
        from curation.text.edits import apply_edits  # compiles, so only where something is edited

        return apply_edits(text, self.edits)

    def edit(self, edits: pa.ListArray) -> None:
        """Take these for all edits until now."""
        self.edits = edits
        self.__dict__.pop("text", None)
        self._narrow = None

    def edit_as_stored(self, stored: StoredColumns) -> None:
        """Take the edits of a transform's stored columns, which are those of all before it, too; for all n rows."""
        self.edit(pc.struct_field(stored.struct, "edits"))

    def field(self, name: str, number: bool = False, subset: Rows | None = None) -> pa.Array:
        """A column as stages see it, of all documents or of a `subset`, ascending."""
        if subset is None:
            return self.text if name == "text" else self.opened.field(name, number)
        if name == "text":
            return self._text_of(subset)
        column = self.opened.field(name, number)
        return column if len(subset) == len(self.rows) else column.take(pa.array(subset))

    def batch(self, names: Iterable[str], numbers: Collection[str]) -> pa.RecordBatch:
        """Some columns of all documents."""
        return pa.RecordBatch.from_pydict({name: self.field(name, name in numbers) for name in names})

    def _text_of(self, subset: Rows) -> pa.Array:
        """Taken from the narrowest text at hand, so that what kernels found goes along."""
        narrowed, text = self._narrow or (np.arange(len(self.rows)), self.text)
        if not np.array_equal(subset, narrowed):
            positions = np.searchsorted(narrowed, subset)
            if len(subset) > len(narrowed) or not np.array_equal(
                narrowed[np.minimum(positions, len(narrowed) - 1)], subset
            ):
                positions, text = subset, self.text
            text = take(text, positions)
        self._narrow = subset, text
        return text


def renumbered(by_row: dict[int, Any], rows: Rows) -> dict[int, Any]:
    """What is known by row, of `rows` alone, by their numbers among these."""
    if not by_row:
        return {}
    numbers = {int(row): number for number, row in enumerate(rows)}
    return {numbers[row]: value for row, value in by_row.items() if row in numbers}


def rows_at(shard_work: ShardWork, rows: Rows, position: int, wanted: pa.Schema) -> Iterator[Documents]:
    """Rows of a shard (counted in it, ascending) as the stage at `position` sees them, a batch at a time.

    `wanted`: source columns, of `wanted_columns`. What is stored is read now, so that its failures are told from those
    of the iterator, which are the input's: they are as `curation.sources.read_batches` has them.
    """
    work = shard_work.work
    last = last_transform(work.stages[:position])
    stored = None if last is None else shard_work.stored(last.steps[-1], ["edits"])
    return _edited(source_rows(shard_work.shard, rows, work.columns, wanted), stored)


def _edited(reading: Iterator[Documents], stored: StoredColumns | None) -> Iterator[Documents]:
    for documents in reading:
        if stored is not None:
            documents.edit(pc.struct_field(stored.rows(documents.rows), "edits"))
        yield documents


def source_rows(shard: AnyShard, rows: Rows, columns: Columns, wanted: pa.Schema) -> Iterator[Documents]:
    """The same as the first stage sees them: as they are in the source. Of a bundle, files' documents together."""
    if isinstance(shard, Bundle):
        yield from _of_bundle(shard, rows, columns, wanted)
        return
    for batch, taken in _batches(shard, rows, wanted):
        yield Documents(columns, batch, taken)


def _batches(shard: Shard, rows: Rows, wanted: pa.Schema) -> Iterator[tuple[Batch, Rows]]:
    """Batches of a shard that hold some of `rows`, with these counted in the batch."""
    mask = np.zeros(shard.rows, dtype=bool)
    mask[rows] = True
    needed: Callable[[int, int], bool] = lambda start, count: bool(mask[start : start + count].any())  # noqa: E731
    for batch in read_batches(shard, wanted, needed):
        taken = np.flatnonzero(mask[batch.start : batch.start + batch.columns.num_rows])
        if len(taken):
            yield batch, taken


def _of_bundle(bundle: Bundle, rows: Rows, columns: Columns, wanted: pa.Schema) -> Iterator[Documents]:
    """Documents of several files, read one file after another and handed on by BATCH_ROWS and BATCH_BYTES."""
    waiting: list[Batch] = []
    counted: list[Rows] = []
    size = count = 0
    bounds = np.searchsorted(rows, bundle.starts)
    for number, shard in enumerate(bundle.members):
        of_shard = rows[bounds[number] : bounds[number + 1]] - bundle.starts[number]
        if not len(of_shard):
            continue
        for batch, taken in faults_of(shard, _batches(shard, of_shard, wanted)):
            part = batch
            if len(taken) < batch.columns.num_rows:
                faults, replaced = renumbered(batch.faults, taken), renumbered(batch.replaced, taken)
                part = Batch(0, batch.columns.take(pa.array(taken)), faults, replaced)
            waiting.append(part)
            counted.append(taken + (batch.start + bundle.starts[number]))
            size, count = size + part.columns.nbytes, count + len(taken)
        if size >= BATCH_BYTES or count >= BATCH_ROWS:
            yield _joined(waiting, counted, columns)
            waiting, counted, size, count = [], [], 0, 0
    if waiting:
        yield _joined(waiting, counted, columns)


def _joined(batches: list[Batch], counted: list[Rows], columns: Columns) -> Documents:
    faults: dict[int, str] = {}
    replaced: dict[int, int] = {}
    start = 0
    for batch in batches:
        faults |= {start + row: why for row, why in batch.faults.items()}
        replaced |= {start + row: many for row, many in batch.replaced.items()}
        start += batch.columns.num_rows
    together = Batch(0, pa.concat_batches([batch.columns for batch in batches]), faults, replaced)
    return Documents(columns, together, np.arange(start), np.concatenate(counted))


def wanted_columns(read_by: Plan | Work, names: Iterable[str]) -> pa.Schema:
    """Source columns behind some of our names, as stages read them."""
    return pa.schema([read_by.reading.field(source) for source in read_by.columns.sources(names)])


def last_transform(stages: tuple[StagePlan, ...]) -> StagePlan | None:
    """The transform whose stored edits hold those of all before it."""
    return next((stage for stage in reversed(stages) if stage.family == "transform"), None)


def edited_anew(transform: Scorer, documents: pa.RecordBatch) -> pa.RecordBatch:
    """Documents with their `text` as a transform leaves it, which is run here."""
    from curation.text.edits import apply_edits

    text = apply_edits(documents.column("text"), run(transform, documents).column("edits"))
    return documents.set_column(documents.schema.get_field_index("text"), "text", text)
