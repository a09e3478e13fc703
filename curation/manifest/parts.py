"""Commit records: immutable Parquet parts, created exclusively, read together and compacted as they grow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import failpoints, tally
from curation.store import Store
from schemas.manifest import PARTS

COMPACT_FROM = 256
"""Loose parts of one kind after which a compacted file is worth its while."""
COMPACT_FROM_FAR = 32
"""The same where each is a request."""
BULKY = ("sketches",)
"""Kinds that stay loose: few queries read them, and to merge them would read them all."""
SIDE_BY_SIDE = 16
"""Requests under way at once, where each takes long."""
KEY = "_part"
"""Column of a compacted file that names the part behind each record."""


class Manifest:
    """The commit records of one workspace. A unit of work is done if and only if its part exists."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._cache: dict[str, dict[str, pa.Table]] = {kind: {} for kind in PARTS}

    def commit(self, kind: str, key: str, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Create the part `key`. False when somebody else's is there already: then that one counts, not this."""
        table = to_table(kind, rows)
        failpoints.hit("before-part")
        won = self.store.create(f"manifest/parts/{kind}/{key}.parquet", table)
        failpoints.hit("after-part")
        tally.add(tally.COMMITS if won else tally.LOST, kind)
        return won

    def has(self, kind: str, key: str) -> bool:
        return self.store.exists(f"manifest/parts/{kind}/{key}.parquet")

    def keys(self, kind: str) -> list[str]:
        """Keys of all parts of a kind, sorted."""
        return [name.removesuffix(".parquet") for name in self.store.names(f"manifest/parts/{kind}")]

    def get(self, kind: str, key: str) -> pa.Table | None:
        """One part's records, or None."""
        if key in self._cache[kind]:
            return self._cache[kind][key]
        try:
            source = self.store.source(f"manifest/parts/{kind}/{key}.parquet")
            table = pq.read_table(source, schema=PARTS[kind])
        except FileNotFoundError:
            return None
        self._cache[kind][key] = table
        return table

    def read(self, kind: str) -> pa.Table:
        """All records of a kind, in the order of their parts' keys; the column KEY names the part."""
        keys = self.keys(kind)
        cache = self._cache[kind]
        if any(key not in cache for key in keys):
            for name in self.store.names(f"manifest/compacted/{kind}")[-1:]:  # it holds what the older ones held
                table = pq.read_table(self.store.source(f"manifest/compacted/{kind}/{name}"))
                parts = table.column(KEY).combine_chunks()
                starts = pc.run_end_encode(parts)
                begin = 0
                for value, end in zip(starts.values.to_pylist(), starts.run_ends.to_pylist(), strict=True):
                    cache.setdefault(value, table.slice(begin, end - begin).drop_columns([KEY]))
                    begin = end
        missing = [key for key in keys if key not in cache]
        if self.store.far and len(missing) > 1:
            with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                list(pool.map(partial(self.get, kind), missing))
        tables = []
        for key in keys:
            part = self.get(kind, key)
            if part is not None:
                tables.append(part.append_column(KEY, pa.repeat(key, part.num_rows)))
        schema = PARTS[kind].append(pa.field(KEY, pa.string()))
        return pa.concat_tables(tables) if tables else schema.empty_table()

    def where(self, kind: str, **equal: Any) -> pa.Table:
        """Records whose columns equal the given values."""
        table = self.read(kind)
        for column, value in equal.items():
            table = table.filter(pc.equal(table.column(column), value))
        return table

    def files(self, kind: str) -> list[str]:
        """Paths or URLs that together hold every record exactly once: compacted files, then the loose rest."""
        folder = f"manifest/compacted/{kind}"
        compacted = self.store.names(folder)
        paths, covered = [], set()
        if compacted:  # the newest holds what the older ones held
            newest = f"{folder}/{compacted[-1]}"
            table = pq.read_table(self.store.source(newest), columns=[KEY])
            covered = set(pc.unique(table.column(KEY)).to_pylist())
        keys = self.keys(kind)
        if covered <= set(keys):
            paths += [self.store.uri(newest)] if covered else []
        else:  # it holds a part that `gc` has removed since
            covered = set()
        base = self.store.uri(f"manifest/parts/{kind}")
        paths += [f"{base}/{key}.parquet" for key in keys if key not in covered]
        return paths

    def compact(self) -> None:
        """Merge the loose parts of each kind that has many. Their names stay, since a name taken is a commit made."""
        enough = COMPACT_FROM_FAR if self.store.far else COMPACT_FROM
        for kind in PARTS:
            loose = len(self.files(kind))
            if loose >= enough and kind not in BULKY:
                table = self.read(kind)
                name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{loose}.parquet"
                self.store.write(f"manifest/compacted/{kind}/{name}", partial(pq.write_table, table))


def to_table(kind: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Records as a table of the kind's schema. Raises KeyError for a column that the schema does not have."""
    schema = PARTS[kind]
    rows = list(rows)
    for row in rows:
        for column in row:
            if column not in schema.names:
                raise KeyError(f"{kind} records have no column {column!r}")
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def now() -> datetime:
    return datetime.now(UTC)
