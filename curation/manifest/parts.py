"""Commit records: immutable Parquet parts, created exclusively, read together and compacted as they grow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import failpoints, parquet, tally
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
TOGETHER = 256
"""Parts that are put together in memory at once."""
SCATTERED = 1024
"""Pieces of what is known from which it is put together anew, in order."""
KEY = "_part"
"""Column of a compacted file that names the part behind each record."""


class Manifest:
    """The commit records of one workspace. A unit of work is done if and only if its part exists."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known = {kind: _Known() for kind in PARTS}

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
        known = self._known[kind]
        if key not in known.place:
            part = self._part(kind, key)
            if part is None:
                return None
            known.add(part, {key: part.num_rows})
        return known.table(kind, [key]).drop_columns([KEY])

    def learn(self, kind: str, parts: Mapping[str, list[dict[str, Any]]]) -> None:
        """Take the records of some parts, by key, from whoever committed them: they need not be read any more."""
        known = self._known[kind]
        fresh = {key: parts[key] for key in sorted(parts.keys() - known.place.keys())}
        if fresh:
            known.add(to_table(kind, chain(*fresh.values())), {key: len(rows) for key, rows in fresh.items()})

    def records(self, kind: str, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those of some parts with one record each that are there, by key."""
        there = set(self.keys(kind))
        return {row.pop(KEY): row for row in self.read(kind, [key for key in keys if key in there]).to_pylist()}

    def read(self, kind: str, keys: list[str] | None = None) -> pa.Table:
        """All records of a kind, or of some of its parts, in the order of their keys; the column KEY names the part."""
        keys = self.keys(kind) if keys is None else keys
        self._load(kind, keys)
        return self._known[kind].table(kind, keys)

    def _load(self, kind: str, keys: list[str]) -> None:
        """Read those parts that are not known yet."""
        known = self._known[kind]
        if all(key in known.place for key in keys):
            return
        for name in self.store.names(f"manifest/compacted/{kind}")[-1:]:  # it holds what the older ones held
            if name != known.compacted:
                table = parquet.read(self.store.source(f"manifest/compacted/{kind}/{name}"))
                runs = pc.run_end_encode(table.column(KEY).combine_chunks())
                ends = runs.run_ends.to_pylist()
                rows = [end - start for start, end in zip([0, *ends], ends, strict=False)]
                table = _conformed(table.drop_columns([KEY]), PARTS[kind])
                known.add(table, dict(zip(runs.values.to_pylist(), rows, strict=True)))
                known.compacted = name
        missing = [key for key in keys if key not in known.place]
        for start in range(0, len(missing), TOGETHER):
            some = missing[start : start + TOGETHER]
            if self.store.far and len(some) > 1:
                with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                    parts = list(pool.map(partial(self._part, kind), some))
            else:
                parts = [self._part(kind, key) for key in some]
            found = {key: part for key, part in zip(some, parts, strict=True) if part is not None}
            if found:
                known.add(pa.concat_tables(found.values()), {key: part.num_rows for key, part in found.items()})

    def _part(self, kind: str, key: str) -> pa.Table | None:
        """One part's records from its file."""
        try:
            with parquet.opened(self.store.source(f"manifest/parts/{kind}/{key}.parquet")) as file:
                return _conformed(file.read(use_threads=False), PARTS[kind])
        except FileNotFoundError:
            return None

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
            table = parquet.read(self.store.source(newest), columns=[KEY])
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
                newest = max(self.store.names(f"manifest/compacted/{kind}"), default="")
                if name <= newest:  # the clock went back, and the last name is taken for the newest
                    name = f"{newest.removesuffix('.parquet')}z-{loose}.parquet"
                self.store.write(f"manifest/compacted/{kind}/{name}", partial(parquet.write, table))


class _Known:
    """What was read of one kind, in blocks, and where in them each part's records are."""

    def __init__(self) -> None:
        self.blocks: list[pa.Table] = []
        self.place: dict[str, tuple[int, int, int]] = {}
        """Key: block, first record, the one after the last."""
        self.compacted = ""
        """The compacted file that is among the blocks."""

    def add(self, table: pa.Table, rows: Mapping[str, int]) -> None:
        """Take the records of several parts, one after another, so many of each."""
        ends = np.cumsum([0, *rows.values()])
        keys = pa.array(list(rows), pa.string()).take(pa.array(np.repeat(np.arange(len(rows)), np.diff(ends))))
        self.blocks.append(table.append_column(KEY, keys).combine_chunks())
        for key, start, end in zip(rows, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            self.place.setdefault(key, (len(self.blocks) - 1, start, end))

    def table(self, kind: str, keys: list[str]) -> pa.Table:
        """The records of some parts, in the order of `keys`; parts that are not known have none."""
        spans: list[list[int]] = []
        for key in keys:
            block, start, end = self.place.get(key, (-1, 0, 0))
            if spans and spans[-1][0] == block and spans[-1][2] == start:
                spans[-1][2] = end
            elif start < end:
                spans.append([block, start, end])
        tables = [self.blocks[block].slice(start, end - start) for block, start, end in spans]
        table = pa.concat_tables([PARTS[kind].append(pa.field(KEY, pa.string())).empty_table(), *tables])
        if len(spans) > SCATTERED and self.place.keys() <= set(keys):
            rows = {key: self.place[key][2] - self.place[key][1] for key in keys if key in self.place}
            self.blocks, self.place = [], {}
            self.add(table.drop_columns([KEY]), rows)
        return table


def to_table(kind: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Records as a table of the kind's schema. Raises KeyError for a column that the schema does not have."""
    rows = list(rows)
    declared = set(PARTS[kind].names)
    for row in rows:
        if not declared.issuperset(row):
            raise KeyError(f"{kind} records have no column {next(iter(row.keys() - declared))!r}")
    return pa.Table.from_pylist(rows, schema=PARTS[kind])


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The declared columns of a part that was perhaps written before some of them were declared."""
    if not table.schema.equals(schema):
        missing = [item for item in schema if item.name not in table.schema.names]
        for item in missing:
            table = table.append_column(item, pa.nulls(table.num_rows, item.type))
        table = table.select(schema.names).cast(schema)
    return table.replace_schema_metadata(None)


def now() -> datetime:
    return datetime.now(UTC)


def later(records: pa.Table) -> datetime:
    """When a record is made that is the latest of its kind: now, or just after the others where the clock went back."""
    latest = pc.max(records.column("created_at")).as_py()
    return now() if latest is None else max(now(), latest + timedelta(microseconds=1))
