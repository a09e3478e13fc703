"""How much of a document stands in evaluation sets, by word n-grams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation import parquet
from curation.models.locate import sha256
from curation.scorers import base
from curation.scorers.base import Context, Scorer
from curation.sources import rows
from curation.sources.files import ENDINGS, format_of
from curation.sources.rows import UnusableError
from curation.text import overlap

BENCHMARK = pa.struct(
    [
        pa.field("name", pa.string()),
        pa.field("overlap", pa.float64()),
        pa.field("items", pa.int32()),
        pa.field("rows", pa.list_(pa.int32())),
    ]
)
SPAN = pa.struct([pa.field("start", pa.uint32()), pa.field("end", pa.uint32()), pa.field("benchmark", pa.string())])
_TEXT = pa.large_string()
_WHAT = "the evaluation set "


class Against(base.Settings):
    """One evaluation set."""

    name: str = Field(min_length=1)
    path: str
    """Parquet, JSON or CSV, as input is; a row is an item."""
    columns: list[str] | None = None
    """Columns whose text must not leak; all that hold text when not given. Lists and structs of text are text too."""


class Settings(base.Settings):
    """What must not leak, and what counts as a leak."""

    against: list[Against] = Field(min_length=1)
    """Evaluation sets: `name`, `path`, and the `columns` whose texts must not leak. A row is an item."""
    ngram: int = Field(default=13, ge=1, le=64)
    """Words in an n-gram: 13 after Brown et al. 2020 (arXiv 2005.14165), appendix C; datatrove takes 12."""
    shortest: int = Field(default=5, ge=1)
    """Words from which a text that is shorter than an n-gram is looked for as a whole; below, it is not."""


class Decontaminate(Scorer):
    """Word n-grams that a document shares with evaluation sets (`curation.text.overlap`).

    Columns: `overlap` float64 in [0, 1], the share of the document's words that lie in a shared n-gram (0 where there
    are no words); `longest` int32, the longest run of such words; `benchmark` string, the set that covers most words,
    the first given on a tie, null for none; `benchmarks`, for each set met in the order given, its `name`, `overlap` as
    above for this set alone, the number of its `items` that share an n-gram, and their `rows` in the file from 0;
    `spans`, for each set the bytes [start, end), in the text as this stage sees it, of the runs of words it covers.

    N-grams do not run from one column, or one text of a list, into the next. Every n-gram of an item counts, however
    common: Brown et al. spare those that are in more than ten documents, which no document can know by itself.

    Raises ValueError for a name given twice, a file that does not exist or lacks a column, and on loading for one that
    cannot be read, or has no text in a column that was named.
    """

    kind = "decontaminate"
    version = 1
    Settings = Settings

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        self._loaded: tuple[dict[str, Any], overlap.Index] | None = None
        self._sets = [(each, context.resolve(each.path)) for each in self.settings.against]
        names = [each.name for each, _ in self._sets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two evaluation sets are called '{name}'")
        for each, path in self._sets:
            _check(path, each.columns)

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("overlap", pa.float64()),
            pa.field("longest", pa.int32()),
            pa.field("benchmark", pa.string()),
            pa.field("benchmarks", pa.list_(BENCHMARK)),
            pa.field("spans", pa.list_(SPAN)),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("overlap", -1, "prob")

    def identity(self) -> dict[str, Any]:
        """Name, columns and hash of every set."""
        return {"against": [[each.name, each.columns, sha256(path)] for each, path in self._sets]}

    def lists(self) -> list[Path]:
        return [path for _, path in self._sets]

    def load(self) -> None:
        self.score(pa.record_batch({"text": pa.array(["A few words."], _TEXT)}))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        index = self._index()
        overlaps = overlap.overlaps(batch.column("text"), index)
        names = pa.array([each.name for each, _ in self._sets], pa.string())
        words = np.maximum(overlaps.words, 1)
        documents = np.repeat(np.arange(batch.num_rows), np.diff(overlaps.set_bounds))
        first = np.repeat(index.firsts[overlaps.sets], np.diff(overlaps.item_bounds))
        benchmarks = [
            names.take(pa.array(overlaps.sets)),
            pa.array(overlaps.set_covered / words[documents]),
            pa.array(np.diff(overlaps.item_bounds), pa.int32()),
            _lists(overlaps.item_bounds, pa.array(overlaps.items - first, pa.int32())),
        ]
        spans = [pa.array(overlaps.span_starts), pa.array(overlaps.span_ends), names.take(pa.array(overlaps.span_sets))]
        return pa.RecordBatch.from_arrays(
            [
                pa.array(overlaps.covered / words),
                pa.array(overlaps.longest),
                names.take(pa.array(overlaps.most, mask=overlaps.most < 0)),
                _lists(overlaps.set_bounds, pa.StructArray.from_arrays(benchmarks, fields=list(BENCHMARK))),
                _lists(overlaps.spans, pa.StructArray.from_arrays(spans, fields=list(SPAN))),
            ],
            schema=pa.schema(self.fields),
        )

    def _index(self) -> overlap.Index:
        # A process may outlive a set: the object that it keeps follows the files.
        identity = self.identity()
        if self._loaded is None or self._loaded[0] != identity:
            self._loaded = identity, self._build()
        return self._loaded[1]

    def check(self) -> None:
        """Read every set."""
        self._read()

    def _build(self) -> overlap.Index:
        texts, items, firsts = self._read()
        settings = self.settings
        text = pa.array(texts, _TEXT)
        return overlap.build(text, np.array(items, np.int64), np.array(firsts), settings.ngram, settings.shortest)

    def _read(self) -> tuple[list[str], list[int], list[int]]:
        """All texts of all sets, the item of each, numbered throughout, and the first item of each set and an end."""
        texts: list[str] = []
        items: list[int] = []
        firsts = [0]
        for each, path in self._sets:
            item = firsts[-1]
            seen: set[str] = set()
            for row in rows.objects(path, _WHAT):
                for column in each.columns or row:
                    row_texts = list(_texts(row.get(column)))
                    texts += row_texts
                    items += [item] * len(row_texts)
                    if row_texts:
                        seen.add(column)
                item += 1
            if missing := [column for column in each.columns or () if column not in seen]:
                raise UnusableError(f"{_WHAT}{path} has no text in column '{missing[0]}'")
            if item == firsts[-1]:
                raise UnusableError(f"{_WHAT}{path} has no row", "leave it out, or name another file")
            firsts.append(item)
        return texts, items, firsts


def _lists(bounds: np.ndarray, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(bounds, pa.int32()), values)


def _check(path: Path, columns: Iterable[str] | None) -> None:
    rows.check(path, _WHAT)
    if format_of(path.name) is None:
        raise UnusableError(f"{_WHAT}{path} is of no known format; known endings: {ENDINGS}")
    names = rows.names(path, _WHAT)
    for column in columns or ():
        if names is not None and column not in names:
            raise UnusableError(f"{_WHAT}{path} has no column '{column}'; its columns: {', '.join(names)}")
        if format_of(path.name) == "parquet":
            kind = parquet.schema_of(path).field(column).type
            if not rows.textual(kind):
                raise UnusableError(f"column '{column}' of {_WHAT}{path} is {kind}, not text")


def _texts(value: Any) -> Iterator[str]:
    """Every string in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
