"""Comparing every file of a workspace with what is recorded of it, and setting aside what is damaged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from curation.flow.fit import CARD, card_of, head_differs
from curation.manifest.parts import KEY, SIDE_BY_SIDE, Manifest, part_name
from curation.manifest.snapshot import NAME as SNAPSHOT
from curation.manifest.snapshot import broken_snapshot, publish_snapshot
from curation.scorers.base import HEAD
from curation.store import DamagedFileError, Store
from curation.store.dataset import FOLDER, DatasetFiles
from curation.store.seal import CHANGED, GONE, unreadable
from pipelines.running.latest import mend_latest
from schemas.errors import CurationError, Finding, command
from schemas.manifest import PARTS

DATA = {
    "scores": ("data",),
    "entrants": ("data", "buckets"),
    "groups": ("members", "links", "choice"),
    "pairs": ("data",),
    "decisions": ("data",),
    "written": ("data",),
    "weak_units": ("data", "files"),
    "weak_splits": ("data",),
}
"""Columns that name data files; `content`, where a kind has it, is the hash of `data`."""


@dataclass(frozen=True)
class Damage:
    """A file that is gone, or not what was written."""

    location: str
    """Path or URL."""
    why: str
    code: str = "R011"


@dataclass
class Verified:
    files: int = 0
    damaged: list[Damage] = field(default_factory=list)
    set_aside: int = 0
    """Files that were moved below `damaged/`."""
    forgotten: int = 0
    """Records that name what is damaged, and do not count any more."""


def verify(store: Store, dry_run: bool = False, report: Callable[[str], None] = lambda what: None) -> Verified:
    """Look at every file of a workspace: records, data, datasets, fitted heads, snapshot.

    Unless `dry_run`, what is damaged is moved below `damaged/`, and what recorded it does not count any more, so that
    the next run does it again. Raises OSError where the workspace cannot be written.
    """
    return _Verification(store, dry_run, report).all()


def mend_run(store: Store, run: str, steps: Collection[str], files: Collection[str]) -> Verified:
    """The same of what a run that is under way reads: its scores by step and file fingerprint, and its own records."""
    return _Verification(store, False, lambda what: None).of_run(run, set(steps), set(files))


def check_dataset(manifest: Manifest, run: str, folder: str) -> None:
    """Raise C049 unless the files of a finished dataset are those that were written."""
    [count] = manifest.where("datasets", run=run).column("files").to_pylist()
    files = DatasetFiles.of(manifest.store, folder)
    for part in manifest.where("written", run=run).to_pylist():
        try:
            manifest.store.check(f"{folder}/{files.name(part['part'], count)}", part["content"])
        except DamagedFileError as failure:
            raise damaged_dataset(manifest.store, run, f"{failure.location} {failure.why}") from None


def damaged_dataset(store: Store, run: str, why: str) -> CurationError:
    verify = command("verify", store.root)
    hint = f"run `{verify}`, which sets damaged datasets aside, and then run its recipe again"
    return CurationError(Finding("C049", f"the dataset of run {run} is damaged: {why}", hint))


class _Verification:
    def __init__(self, store: Store, dry_run: bool, report: Callable[[str], None]) -> None:
        self.store = store
        self.dry_run = dry_run
        self.report = report
        self.verified = Verified()
        self.touched: set[str] = set()
        """Kinds of which a record went: what was compacted of them holds it still."""

    def all(self) -> Verified:
        self.report("records")
        self._records()
        manifest = Manifest(self.store)
        published = self._datasets(manifest)
        for kind in DATA:  # groups before pairs: of one that was just forgotten, the pairs are wanted again
            self.report(kind)
            resolved = _resolved(self.store)
            barriers = manifest.read("barriers").to_pylist()
            passed = {(row["run"], row["stage"]) for row in barriers if row["group"] in resolved}
            self._data(manifest, kind, partial(_served, kind, resolved=resolved, passed=passed, published=published))
        self._heads(manifest)
        self._snapshot()
        self._drop_compacted()
        return self.verified

    def of_run(self, run: str, steps: set[str], files: set[str]) -> Verified:
        self._records()
        manifest = Manifest(self.store)
        done = manifest.has("datasets", run)
        groups = set(manifest.where("barriers", run=run).column("group").to_pylist())

        def others(row: dict[str, Any]) -> bool:
            if "step" in row:
                return row["fingerprint"] not in steps or row["file_fingerprint"] not in files
            if "prefix" in row:
                return row["group"] in resolved
            return row["group"] not in groups if "group" in row else row["run"] != run

        for kind in ("scores", "groups"):
            self._data(manifest, kind, others)
        resolved = _resolved(self.store)  # without those that were just forgotten: their pairs are wanted again
        for kind in ("pairs", "entrants", "decisions"):
            self._data(manifest, kind, others)
        if not done:
            folders = [row["data"] for row in manifest.where("written", run=run).to_pylist()]
            if any(not self.store.exists(name) for name in folders):  # published and lost, or never published
                self._data(manifest, "written", others)
        self._drop_compacted()
        return self.verified

    def _records(self) -> None:
        for kind in PARTS:
            names = [f"manifest/parts/{kind}/{name}" for name in self.store.names(f"manifest/parts/{kind}")]
            names += [f"manifest/compacted/{kind}/{name}" for name in self.store.names(f"manifest/compacted/{kind}")]
            for name, why in zip(names, self._many(self._broken, names), strict=True):
                if why:
                    self.verified.damaged.append(Damage(self.store.uri(name), why, "C048"))
                    if not self.dry_run and name.startswith("manifest/parts/"):
                        self.touched.add(kind)
                        self.verified.set_aside += Manifest(self.store).set_aside(kind, _key(name))
                    elif not self.dry_run:
                        self.verified.set_aside += self.store.set_aside(name)

    def _broken(self, name: str) -> str | None:
        why = self.store.broken(name)
        if not why and name.startswith("manifest/parts/"):
            manifest = Manifest(self.store)
            manifest.get(name.split("/")[2], _key(name))
            why = next(iter(manifest.damaged.values()), None)
        return why

    def _data(self, manifest: Manifest, kind: str, passed_over: Callable[[dict[str, Any]], bool]) -> None:
        """Compare the data files that the records of a kind name."""
        rows = manifest.read(kind).to_pylist()
        named: list[tuple[int, str, str | None]] = []
        for index, row in enumerate(rows):
            for column in () if passed_over(row) else DATA[kind]:
                names = row[column] if column == "files" else [row[column]]
                content = row.get("content") if column == "data" else None
                named += [(index, name, content) for name in names if name]
        bad: set[int] = set()
        for (index, name, _), why in zip(named, self._many(lambda one: self._differs(*one[1:]), named), strict=True):
            if why is not None:
                bad.add(index)
                self._damaged(name, why)
        if bad:
            self._forget(kind, rows, bad)

    def _differs(self, name: str, content: str | None) -> str | None:
        try:
            self.store.check(name, content)
        except DamagedFileError as failure:
            return failure.why
        return None

    def _datasets(self, manifest: Manifest) -> set[str]:
        """Compare the files of finished datasets; returns the runs that have one."""
        written = defaultdict(list)
        for row in manifest.read("written").to_pylist():
            written[row["run"]].append(row)
        published: set[str] = set()
        lost: set[str] = set()
        for row in manifest.read("datasets").to_pylist():
            run, folder = row["run"], row["path"]
            published.add(run)
            if not self.store.exists(folder):
                continue  # somebody removed it: `curate gc` forgets it
            self.report(folder)
            files = DatasetFiles.of(self.store, folder)
            parts = [(f"{folder}/{files.name(p['part'], row['files'])}", p["content"]) for p in written[run]]
            whys = self._many(lambda one: self._differs(*one), parts)
            bad = {name: why for (name, _), why in zip(parts, whys, strict=True) if why is not None}
            if not bad:
                continue
            for name, why in bad.items():
                self.verified.damaged.append(Damage(self.store.uri(name), why))
            if not self.dry_run:  # the whole folder: a dataset is there as a whole or not at all
                beside = (name for name in self.store.names(folder) if name not in (*files.sizes, FOLDER))
                for name in (*files.sizes, *beside):
                    self.verified.set_aside += self.store.set_aside(f"{folder}/{name}")
                self._set_record_aside("datasets", run)
                for part in written[run]:
                    self._set_record_aside("written", f"{run}-{part['part']:05d}")
                lost.add(row["name"])
            published.discard(run)
        if lost:  # folders that are empty now, and then those in which links were alone
            self.store.tidy()
            mend_latest(self.store, lost)
            self.store.tidy()
        return published

    def _heads(self, manifest: Manifest) -> None:
        """Compare fitted heads and their cards. A head that is set aside is fitted again, a card is written anew."""
        fits = defaultdict(list)
        for row in manifest.read("fits").to_pylist():
            fits[row["artifact"]].append(row)
        for folder, rows in fits.items():
            self.report(folder)
            self.verified.files += 2
            why = head_differs(self.store, folder, rows[-1]["sha256"])
            if why is not None:
                self._damaged(f"{folder}/{HEAD}", why)
            cards = [card_of(row["kind"], row["sha256"], json.loads(row["card"])) for row in rows]
            name = f"{folder}/{CARD}"
            why = self._misread(name, cards)
            if why is not None:
                self._damaged(name, why)
                if not self.dry_run:
                    self.store.write(name, partial(Path.write_bytes, data=cards[0]))

    def _misread(self, name: str, due: list[bytes]) -> str | None:
        try:
            return None if self.store.read(name) in due else CHANGED
        except FileNotFoundError:
            return GONE
        except OSError as failure:
            why = unreadable(failure)
            if why is None:
                raise
            return why

    def _snapshot(self) -> None:
        """Read the snapshot whole; one that is damaged or gone is published anew."""
        if not self.store.exists(SNAPSHOT):
            if not self.dry_run:
                publish_snapshot(self.store)
            return
        self.verified.files += 1
        if self.store.far:
            return
        why = broken_snapshot(self.store)
        if why is not None:
            self._damaged(SNAPSHOT, why, "C048")
            if not self.dry_run:
                publish_snapshot(self.store)

    def _many(self, check: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        every = list(items)
        self.verified.files += len(every)
        with ThreadPoolExecutor(SIDE_BY_SIDE if self.store.far else 4) as pool:
            return list(pool.map(check, every))

    def _damaged(self, name: str, why: str, code: str = "R011") -> None:
        self.verified.damaged.append(Damage(self.store.uri(name), why, code))
        if not self.dry_run:
            self.verified.set_aside += self.store.set_aside(name)

    def _forget(self, kind: str, rows: list[dict[str, Any]], bad: set[int]) -> None:
        """Make some records of a kind count no more; others in the same part stay."""
        if self.dry_run:
            return
        parts = defaultdict(list)
        lost = {rows[place][KEY] for place in bad}
        for place, row in enumerate(rows):
            if row[KEY] in lost and place not in bad:
                parts[row[KEY]].append({name: value for name, value in row.items() if name != KEY})
        for key in lost:
            self._set_record_aside(kind, key)
            if parts[key]:
                Manifest(self.store).commit(kind, key, parts[key])
        self.verified.forgotten += len(bad)

    def _set_record_aside(self, kind: str, key: str) -> None:
        self.touched.add(kind)
        self.store.set_aside(part_name(kind, key))

    def _drop_compacted(self) -> None:
        if self.dry_run:
            return
        for kind in self.touched:
            for name in self.store.names(f"manifest/compacted/{kind}"):
                self.store.remove(f"manifest/compacted/{kind}/{name}")


def _key(name: str) -> str:
    return name.rpartition("/")[2].removesuffix(".parquet")


def _resolved(store: Store) -> set[str]:
    return set(Manifest(store).read("groups").column("group").to_pylist())


def _served(
    kind: str, row: dict[str, Any], resolved: set[str], passed: set[tuple[str, str]], published: set[str]
) -> bool:
    """Whether a record's data has served, so that it may be gone."""
    if kind == "pairs":
        return row["group"] in resolved
    if kind == "entrants" and (row["run"], row["stage"]) in passed:  # of a run whose dataset somebody removed, too
        return True
    return kind in ("entrants", "written") and row["run"] in published
