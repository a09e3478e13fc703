"""Documents that have to leave, by id or by URL: the list that names each is on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curation.models.locate import sha256
from curation.rules import lists
from curation.rules.lists import Files, Lookup
from curation.rules.url import PARSER, normalized
from curation.scorers import base
from curation.scorers.base import Context, Scorer

_TEXT = pa.large_string()


class Settings(base.Settings):
    """Lists of what to take down: plain text, one a line, # at the start of a line for comments; or Parquet,
    CSV or JSON, as input is, with a column `id` or `url`."""

    ids: Files = Field(default_factory=list)
    """Ids, as the mapped column `id` has them; numbers as they are written in decimal."""
    urls: Files = Field(default_factory=list)
    """URLs, as the mapped column `url` has them."""


class _List(NamedTuple):
    """One file's entries."""

    name: str
    column: str
    written: pa.LargeStringArray
    exact: Lookup
    """Of the entries as they are written."""
    level: Lookup | None
    """Of the URLs among them as `normalized`; those that are none, as empty strings."""


class Takedown(Scorer):
    """Columns `listed` bool, `list` string, the name of the first file that names the document, ids before URLs and in
    the order given, and `entry` string, what it says there; both null where `listed` is false.

    An id is compared byte by byte. A URL is listed as it stands, or when both are the same once parsed (WHATWG): case
    of scheme and host, the scheme's own port, dots in the path and the fragment make no difference, all else does. A
    document without id or URL is not listed. An entry that no document has is no error.

    Raises ValueError without any list, for a file that does not exist or lacks the column, and on loading for one that
    cannot be read.
    """

    kind = "takedown"
    version = 1
    Settings = Settings
    default_keep = "not {id}.listed"

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        self._files = [
            (column, context.resolve(file))
            for column, files in (("id", self.settings.ids), ("url", self.settings.urls))
            for file in lists.names(files)
        ]
        self._loaded: tuple[dict[str, Any], list[_List]] | None = None
        self.reads = tuple(dict.fromkeys(column for column, _ in self._files))
        if not self._files:
            raise ValueError("takedown has no list: give `ids:`, `urls:` or both")
        for column, path in self._files:
            lists.check(path, column)

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("listed", pa.bool_()), pa.field("list", pa.string()), pa.field("entry", pa.string())]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("listed", -1, "ordinal")

    def identity(self) -> dict[str, Any]:
        """The parser, and name and hash of every list."""
        return {"parser": PARSER, "lists": [[column, path.name, sha256(path)] for column, path in self._files]}

    def lists(self) -> list[Path]:
        return [path for _, path in self._files]

    def check(self) -> None:
        """Read every list."""
        for column, path in self._files:
            lists.read(path, column)
        self._lists()

    def load(self) -> None:
        self.score(pa.record_batch({name: pa.array(["17"], _TEXT) for name in self.reads}))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        names = pa.nulls(batch.num_rows, _TEXT)
        entries = pa.nulls(batch.num_rows, _TEXT)
        listed = np.zeros(batch.num_rows, np.bool_)
        given = {name: batch.column(name) for name in self.reads}
        level = normalized(given["url"]).fill_null("") if "url" in given else None
        for listing in self._lists():
            entry = _find(given[listing.column], level, listing)
            new = (entry >= 0) & ~listed
            if new.any():
                taken = listing.written.take(pa.array(entry, mask=~new))
                names = pc.if_else(pa.array(new), listing.name, names)
                entries = pc.if_else(pa.array(new), taken, entries)
                listed |= new
        columns = [pa.array(listed), names.cast(pa.string()), entries.cast(pa.string())]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(self.fields))

    def _lists(self) -> list[_List]:
        # A process may outlive a list: the object that it keeps follows the files.
        identity = self.identity()
        if self._loaded is None or self._loaded[0] != identity:
            self._loaded = identity, [_read(path, column) for column, path in self._files]
        return self._loaded[1]


def _read(path: Path, column: str) -> _List:
    written = lists.read(path, column)
    level = lists.lookup(normalized(written).fill_null("")) if column == "url" else None
    return _List(path.name, column, written, lists.lookup(written), level)


def _find(given: pa.LargeStringArray, level: pa.LargeStringArray | None, listing: _List) -> NDArray[np.int64]:
    """The entry that names each document, or -1."""
    entry = lists.find_all(given, listing.exact)
    if listing.level is not None:
        parsed = lists.find_all(level, listing.level)
        valid = np.asarray(pc.not_equal(level, "")).astype(bool)
        entry = np.where((entry < 0) & valid, parsed, entry)
    return entry
