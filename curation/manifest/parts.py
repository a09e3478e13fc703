"""Commit records: immutable Parquet parts, created exclusively, read together and compacted as they grow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import failpoints, parquet, tally
from curation.store import DamagedFileError, Store
from curation.store.seal import GONE, mend, sealed, unreadable, unsealed
from schemas.errors import CurationError, Finding
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
OF_A_RUN = (
    "runs", "stages", "shards", "scorers", "decisions", "sketches", "written", "datasets", "barriers", "entrants",
    "audit_labels", "audit_marks", "weak_runs", "weak_labels", "weak_supervisors", "weak_results",
)  # fmt: skip
"""Kinds whose parts are named by their run."""
_damaged: dict[str, Finding] = {}
"""What this process found damaged, by path or URL: told once, by whoever speaks to the user."""


class Manifest:
    """The commit records of one workspace. A unit of work is done if and only if its part exists, and is whole.

    A part that is damaged counts as not there: whoever does its work again takes its name. With `strict`, for those who
    only read, one that `where` would have to show raises C048 instead.
    """

    def __init__(self, store: Store, strict: bool = False) -> None:
        self.store = store
        self.strict = strict
        self.damaged: dict[tuple[str, str], str] = {}
        """Kind and key of damaged parts that were met, and what is wrong with them."""
        self._looked_at: set[str] = set()
        """Runs whose parts were looked for."""
        self._cached = {kind: _Cache() for kind in PARTS}

    def commit(self, kind: str, key: str, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Create the part `key`. False when somebody else's is there already: then that one counts, not this."""
        table = to_table(kind, rows)
        name = part_name(kind, key)
        failpoints.hit("before-part")
        won = self.store.create(name, table)
        if not won and self._part(kind, key) is None:
            self.set_aside(kind, key)
            won = self.store.create(name, table)
        failpoints.hit("after-part")
        tally.add(tally.COMMITS if won else tally.LOST, kind)
        return won

    def has(self, kind: str, key: str) -> bool:
        return self.get(kind, key) is not None

    def keys(self, kind: str) -> list[str]:
        """Keys of all parts of a kind, sorted, damaged ones too."""
        return [name.removesuffix(".parquet") for name in self.store.names(f"manifest/parts/{kind}")]

    def get(self, kind: str, key: str) -> pa.Table | None:
        """One part's records, or None."""
        cached = self._cached[kind]
        if key not in cached.spans:
            part = self._part(kind, key)
            if part is None:
                return None
            cached.add(part, {key: part.num_rows})
        return cached.table(kind, [key]).drop_columns([KEY])

    def add_cached(self, kind: str, parts: Mapping[str, list[dict[str, Any]]]) -> None:
        """Take the records of some parts, by key, from whoever committed them: they need not be read any more."""
        cached = self._cached[kind]
        fresh = {key: parts[key] for key in sorted(parts.keys() - cached.spans.keys())}
        if fresh:
            cached.add(to_table(kind, chain(*fresh.values())), {key: len(rows) for key, rows in fresh.items()})

    def records(self, kind: str, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Those of some parts with one record each that are there, by key."""
        return {row.pop(KEY): row for row in self.read(kind, self.whole(kind, keys)).to_pylist()}

    def whole(self, kind: str, keys: Iterable[str]) -> list[str]:
        """Those of some parts that are there and can be read."""
        names = set(self.keys(kind))
        there = [key for key in keys if key in names]
        self._load(kind, there)
        return [key for key in there if key in self._cached[kind].spans]

    def read(self, kind: str, keys: list[str] | None = None) -> pa.Table:
        """All records of a kind, or of some of its parts, in the order of their keys; the column KEY names the part."""
        keys = self.keys(kind) if keys is None else keys
        self._load(kind, keys)
        return self._cached[kind].table(kind, keys)

    def _load(self, kind: str, keys: list[str]) -> None:
        """Read those parts that are not known yet."""
        cached = self._cached[kind]
        if all(key in cached.spans for key in keys):
            return
        newest = self._compacted(kind)
        if newest is not None and newest != cached.compacted:
            table = unsealed(self.store.root, newest, self.store.read(newest))
            runs = pc.run_end_encode(table.column(KEY).combine_chunks())
            ends = runs.run_ends.to_pylist()
            rows = [end - start for start, end in zip([0, *ends], ends, strict=False)]
            table = _conformed(table.drop_columns([KEY]), PARTS[kind])
            cached.add(table, dict(zip(runs.values.to_pylist(), rows, strict=True)))
            cached.compacted = newest
        missing = [
            key for key in keys if key not in cached.spans
        ]  # damaged ones again, since their work may be done by now
        for start in range(0, len(missing), TOGETHER):
            batch = missing[start : start + TOGETHER]
            if self.store.far and len(batch) > 1:
                with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
                    parts = list(pool.map(partial(self._part, kind), batch))
            else:
                parts = [self._part(kind, key) for key in batch]
            found = {key: part for key, part in zip(batch, parts, strict=True) if part is not None}
            if found:
                cached.add(pa.concat_tables(found.values()), {key: part.num_rows for key, part in found.items()})

    def _part(self, kind: str, key: str) -> pa.Table | None:
        """One part's records from its file; None where it is not there, or damaged."""
        name = part_name(kind, key)
        try:
            table = _conformed(unsealed(self.store.root, name, self.store.read(name)), PARTS[kind])
            self.damaged.pop((kind, key), None)
            return table
        except FileNotFoundError:
            return None
        except DamagedFileError as failure:
            self._note(kind, key, failure.why)
        except OSError as failure:
            why = unreadable(failure)
            if why is None:
                raise
            self._note(kind, key, why)
        except (pa.ArrowException, NotImplementedError) as failure:
            self._note(kind, key, f"is damaged: {str(failure).splitlines()[0]}")
        return None

    def set_aside(self, kind: str, key: str) -> bool:
        """Move a damaged part out of the way, unless it is whole by now."""
        name = part_name(kind, key)

        def whole(content: bytes) -> bool:
            try:
                _conformed(unsealed(self.store.root, name, content), PARTS[kind])
            except (DamagedFileError, pa.ArrowException, NotImplementedError):
                return False
            return True

        return self.store.set_aside(name, whole)

    def _note(self, kind: str, key: str, why: str) -> None:
        self.damaged[kind, key] = why
        self._tell(part_name(kind, key), why)

    def _tell(self, name: str, why: str) -> None:
        place = self.store.uri(name)
        _damaged[place] = Finding("C048", f"{place} {why}", mend(self.store.root))

    def _compacted(self, kind: str) -> str | None:
        """The newest compacted file that can be read: it holds what the older ones held."""
        folder = f"manifest/compacted/{kind}"
        for name in reversed(self.store.names(folder)):
            why = self.store.broken(f"{folder}/{name}")
            if why == "":  # of an earlier version, which has no seal
                why = _unreadable(f"{folder}/{name}", self.store)
            if not why:
                return f"{folder}/{name}"
            self._tell(f"{folder}/{name}", why)
        return None

    def missing(self, run: str) -> list[tuple[str, str]]:
        """Kind and key of parts that a run which has its dataset must have, and that are not there or damaged."""
        if self.get("datasets", run) is None:
            return []
        lost = [(kind, run) for kind in ("runs", "stages", "shards") if self.get(kind, run) is None]
        stages, shards = self.get("stages", run), self.get("shards", run)
        if lost or stages is None or shards is None:
            return lost
        for stage in stages.to_pylist():
            if stage["family"] in ("dedup", "select"):
                barrier = self.get("barriers", f"{run}-{stage['stage']}")
                if barrier is None:
                    lost.append(("barriers", f"{run}-{stage['stage']}"))
                elif self.get("groups", barrier.column("group")[0].as_py()) is None:
                    lost.append(("groups", barrier.column("group")[0].as_py()))
        good = shards.filter(shards.column("error").is_null())
        first = pc.unique(pc.coalesce(good.column("bundle"), good.column("shard"))).to_pylist()
        decided = [f"{run}-{shard:08d}" for shard in first]
        whole = set(self.whole("decisions", decided))
        lost += [("decisions", key) for key in decided if key not in whole]
        sketched = set(self.keys("sketches"))
        if not sketched.isdisjoint(decided):  # earlier versions made none
            lost += [("sketches", key) for key in decided if key not in sketched or ("sketches", key) in self.damaged]
        return lost

    def refuse_damaged(self, run: str | None) -> None:
        """Raise C048 where a damaged part was met that a run's views need; others are told of, and stop nobody."""
        if run is not None and run not in self._looked_at:
            self._looked_at.add(run)
            for kind, key in self.missing(run):
                if (kind, key) not in self.damaged:
                    self.damaged[kind, key] = GONE
        if not self.damaged:
            return
        barriers = self.read("barriers")
        groups = set(barriers.filter(pc.equal(barriers.column("run"), run or "")).column("group").to_pylist())
        findings = [
            Finding("C048", f"{self.store.uri(part_name(kind, key))} {why}", mend(self.store.root))
            for (kind, key), why in sorted(self.damaged.items())
            if kind == "audits"
            or (kind == "groups" and key in groups)
            or (run and kind in OF_A_RUN and key.startswith(run))
        ]
        if findings:
            raise CurationError(*findings)

    def where(self, kind: str, **equal: Any) -> pa.Table:
        """Records whose columns equal the given values."""
        table = self.read(kind)
        if self.strict:
            self.refuse_damaged(equal.get("run"))
        for column, value in equal.items():
            table = table.filter(pc.equal(table.column(column), value))
        return table

    def files(self, kind: str, keys: Collection[str] | None = None) -> list[str]:
        """Paths or URLs that together hold every record exactly once: compacted files, then the loose rest.

        With `keys`, of the loose ones only these. Damaged ones are left out, and noted.
        """
        newest, loose = self._loose(kind)
        paths = [] if newest is None else [self.store.uri(newest)]
        for key in loose if keys is None else (key for key in loose if key in keys):
            why = self.store.broken(part_name(kind, key))
            if why:
                self._note(kind, key, why)
            elif why is None or self._part(kind, key) is not None:  # without a seal: of an earlier version, or foreign
                paths.append(self.store.uri(part_name(kind, key)))
                self.damaged.pop((kind, key), None)
        return paths

    def _loose(self, kind: str) -> tuple[str | None, list[str]]:
        """The compacted file to be read, if any, and the keys of the parts that it does not hold."""
        newest, stored = self._compacted(kind), self.keys(kind)
        if newest is None:
            return None, stored
        table = parquet.read(self.store.source(newest), columns=[KEY])
        covered = set(pc.unique(table.column(KEY)).to_pylist())
        if not covered <= set(stored):  # it holds a part that was removed since
            return None, stored
        return newest, [key for key in stored if key not in covered]

    def compact(self) -> None:
        """Merge the loose parts of each kind that has many. Their names stay, since a name taken is a commit made."""
        enough = COMPACT_FROM_FAR if self.store.far else COMPACT_FROM
        for kind in PARTS:
            loose = len(self._loose(kind)[1])
            if loose >= enough and kind not in BULKY:
                table = self.read(kind)
                name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{loose}.parquet"
                newest = max(self.store.names(f"manifest/compacted/{kind}"), default="")
                if name <= newest:  # the clock went back, and the last name is taken for the newest
                    name = f"{newest.removesuffix('.parquet')}z-{loose}.parquet"
                name = f"manifest/compacted/{kind}/{name}"
                content = sealed(name, table)
                self.store.write(name, partial(Path.write_bytes, data=content))


class _Cache:
    """What was read of one kind, in blocks, and where in them each part's records are."""

    def __init__(self) -> None:
        self.blocks: list[pa.Table] = []
        self.spans: dict[str, tuple[int, int, int]] = {}
        """Key: block, first record, the one after the last."""
        self.compacted = ""
        """The compacted file that is among the blocks."""

    def add(self, table: pa.Table, rows: Mapping[str, int]) -> None:
        """Take the records of several parts, one after another, so many of each."""
        ends = np.cumsum([0, *rows.values()])
        keys = pa.array(list(rows), pa.string()).take(pa.array(np.repeat(np.arange(len(rows)), np.diff(ends))))
        self.blocks.append(table.append_column(KEY, keys).combine_chunks())
        for key, start, end in zip(rows, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            self.spans.setdefault(key, (len(self.blocks) - 1, start, end))

    def table(self, kind: str, keys: list[str]) -> pa.Table:
        """The records of some parts, in the order of `keys`; parts that are not known have none."""
        spans: list[list[int]] = []
        for key in keys:
            block, start, end = self.spans.get(key, (-1, 0, 0))
            if spans and spans[-1][0] == block and spans[-1][2] == start:
                spans[-1][2] = end
            elif start < end:
                spans.append([block, start, end])
        tables = [self.blocks[block].slice(start, end - start) for block, start, end in spans]
        table = pa.concat_tables([PARTS[kind].append(pa.field(KEY, pa.string())).empty_table(), *tables])
        if len(spans) > SCATTERED and self.spans.keys() <= set(keys):
            rows = {key: self.spans[key][2] - self.spans[key][1] for key in keys if key in self.spans}
            self.blocks, self.spans = [], {}
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


def _unreadable(name: str, store: Store) -> str | None:
    """Why a file of records cannot be read; None where it can."""
    try:
        unsealed(store.root, name, store.read(name))
    except FileNotFoundError:
        return GONE
    except DamagedFileError as failure:
        return failure.why
    return None


def part_name(kind: str, key: str) -> str:
    return f"manifest/parts/{kind}/{key}.parquet"


def told_damage() -> list[Finding]:
    """What this process found damaged and has not been told yet."""
    found = list(_damaged.values())
    _damaged.clear()
    return found


def _conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The declared columns of a part that was perhaps written before some of them were declared.

    Raises pa.ArrowInvalid for one of another kind or version.
    """
    if schema.names[0] not in table.schema.names:
        raise pa.ArrowInvalid(f"it has no column '{schema.names[0]}'")
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
