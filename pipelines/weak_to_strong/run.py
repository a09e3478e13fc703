"""Specification → labels, students, report. Every unit of work is committed; what is committed is not done again.

Units run in this process, on a few threads; those that run a network one after another. Nothing here needs Ray: rows
are held in memory, and a run is one machine's work.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curation import parquet
from curation.duplicates.groups import clusters as near_duplicates
from curation.flow import Failure, Outcome, system_failure
from curation.flow.faults import trace_of
from curation.manifest.parts import Manifest, now, part_name
from curation.manifest.snapshot import publish_missing, publish_snapshot
from curation.models.locate import ModelError
from curation.plan import fingerprint
from curation.plugins import kind_of
from curation.store import TEMPORARY, DamagedFileError, Store, digest
from curation.weak_to_strong.crossfit import QUARANTINED, UNSEEN, Protocol, folds, keyed, settle
from curation.weak_to_strong.features import View
from curation.weak_to_strong.label_model import ABSTAIN
from curation.weak_to_strong.labels import Evidence, Labels, label
from curation.weak_to_strong.students.base import Lesson, Student
from curation.weak_to_strong.supervisors.base import Fixed, Learning, Said, Supervisor
from pipelines.running.events import Failed, Notice, PhaseEnded, PhaseStarted, Report, RunStarted, UnitEnded
from pipelines.running.records import allot_numbers
from pipelines.weak_to_strong.data import read
from pipelines.weak_to_strong.plan import CHUNK, FULL, PORTION, REPORT, VERSION, Resolved, read_report
from schemas.errors import CurationError, Finding, Refusal, advice
from schemas.weak_to_strong import QUARANTINED as SET_ASIDE
from schemas.weak_to_strong import SPLITS

SET_ASIDE_BLANK = -3
"""In `split`: a row without text."""
VALIDATION = 10
"""One part in so many of the `transfer` split, by clusters, is not learned from: students choose their epoch and their
penalty by its weak labels."""
TARGETS = ("weak", "ceiling")


@dataclass
class Result:
    """What an invocation came to."""

    run: str
    name: str
    outcome: str = "failed"
    """done, nothing-to-do, failed or interrupted."""
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """Of supervisors and students that were left out, by name, and of what stopped the run."""
    folder: Path | None = None
    """Labels, students and report."""
    report: dict[str, Any] | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something was left out, or all of it."""
        return self.outcome == "failed" or bool(self.failures)


@dataclass(frozen=True)
class Unit:
    """A piece of work, for those who watch."""

    kind: str
    name: str
    seed: int | None = None
    part: str = ""

    @property
    def said(self) -> str:
        seed = "" if self.seed is None else f" seed {self.seed}"
        return f"{self.kind} {self.name}{seed} {self.part}".strip()


Job = tuple[str, Unit, Callable[[], Any]]
"""Whose unit it is, by `who`; the unit; and what makes or finds its record."""


def finished(resolved: Resolved, manifest: Manifest) -> Result | None:
    """The result of a run whose dataset is there, or None."""
    record = manifest.get("weak_results", resolved.run)
    if record is None:
        return None
    row = record.to_pylist()[0]
    folder = manifest.store.path(row["path"])
    if not (folder / REPORT).is_file():
        raise CurationError(Finding("C032", f"run {resolved.run} is recorded as done, but {folder} is gone"))
    report = read_report(folder / REPORT)
    failures = [(one["name"], Failure("R003", one["message"])) for one in report["left_out"]]
    return Result(resolved.run, row["name"], "nothing-to-do", failures, folder, report)


def execute(resolved: Resolved, store: Store, tell: Report, workers: int = 2) -> Result:
    """Bring a specification to its labels and report."""
    began = time.monotonic()
    manifest = Manifest(store)
    result = finished(resolved, manifest)
    if result is not None:
        publish_missing(store)
    else:
        result = Result(resolved.run, resolved.loaded.spec.name)
        invocation = Invocation(resolved, store, tell, workers, result)
        try:
            invocation.run()
            result.outcome = "done"
        except KeyboardInterrupt:
            result.outcome = "interrupted"
        except CurationError as failure:
            result.failures += [("run", Failure(one.code, one.message, one.hint)) for one in failure.findings]
        except OSError as failure:
            result.failures.append(("run", system_failure(failure)))
    result.seconds = time.monotonic() - began
    return result


class Invocation:
    def __init__(self, resolved: Resolved, store: Store, tell: Report, workers: int, result: Result) -> None:
        self.resolved = resolved
        self.loaded = resolved.loaded
        self.spec = resolved.loaded.spec
        self.classes = tuple(self.spec.task.classes)
        self.store = store
        self.manifest = Manifest(store)
        self.tell = tell
        self.workers = workers
        self.result = result
        self.network = threading.Lock()
        """One network at a time: torch's threads and switches are the process's."""
        self.views: dict[View, NDArray[np.float16]] = {}
        self.broken: dict[str, str] = {}
        """Supervisors and students that failed, by `who`, and why."""

    # --- the flow ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        self.tell(RunStarted(self.resolved.run, self.resolved.found.rows, len(self._shards)))
        for line in self.resolved.found.notices:
            self.tell(Notice(line))
        self.data = read(self.loaded, self.resolved.found)
        self._announce()
        self.splits = [self._split(seed) for seed in range(self.spec.seeds)]
        self._features(self.loaded.supervisors)
        said = self._supervise()
        if not said:
            raise CurationError(Finding("R003", "every supervisor failed", "see above for what each of them met"))
        self.evidence = [self._evidence(seed, said) for seed in range(self.spec.seeds)]
        self.labels = self._all("labels", [partial(self._label, seed) for seed in range(self.spec.seeds)])
        self._features(self.loaded.students)
        self.learned = self._teach()
        from pipelines.weak_to_strong.publish import publish

        self.result.folder, self.result.report = publish(self)
        publish_snapshot(self.store)

    @property
    def _shards(self) -> Sequence[Any]:
        return self.resolved.found.shards

    def _announce(self) -> None:
        self.numbers = allot_numbers(self.manifest, tuple(self._shards))
        files: dict[int, dict[str, Any]] = {}
        for shard in self._shards:
            number = self.numbers[(shard.path, shard.fingerprint)]
            facts = {"run": self.resolved.run, "file": shard.file, "file_no": number, "path": shard.path}
            row = files.setdefault(shard.file, {**facts, "fingerprint": shard.fingerprint, "rows": 0})
            row["rows"] += shard.rows
        self.manifest.commit("weak_files", self.resolved.run, files.values())
        facts = {
            "run": self.resolved.run,
            "name": self.spec.name,
            "spec": self.loaded.source,
            "spec_path": str(self.loaded.path or ""),
            "spec_dir": str(self.loaded.base),
            "classes": list(self.classes),
            "rows": len(self.data),
            "gold": int((self.data.gold != ABSTAIN).sum()),
            "created_at": now(),
        }
        self.manifest.commit("weak_runs", self.resolved.run, [facts])

    # --- units ---------------------------------------------------------------------------------------------------

    def _all(self, what: str, jobs: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run jobs on the threads, in order of their results."""
        self.tell(PhaseStarted(what, len(jobs)))
        with ThreadPoolExecutor(self.workers) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                results = [future.result() for future in futures]
            except BaseException:
                for future in futures:
                    future.cancel()
                raise
        self.tell(PhaseEnded(what))
        return results

    def unit(self, unit: Unit, key: str, make: Callable[[], dict[str, Any]], heavy: bool = False) -> dict[str, Any]:
        """The record of a unit: committed before, or made now. `make` returns tensors, and `facts` and `files`."""
        record = self._record(key)
        if record is None:
            began = time.monotonic()
            with self.network if heavy else nullcontext():
                made = make()
            facts, files = made.pop("facts", {}), made.pop("files", [])
            name, content, size = made.pop("stored", None) or self._tensors(made)
            row = {
                "unit": key,
                "run": self.resolved.run,
                "kind": unit.kind,
                "name": unit.name,
                "seed": unit.seed,
                "part": unit.part,
                "data": name,
                "files": files,
                "content": content,
                "bytes": size,
                "facts": json.dumps(facts, sort_keys=True),
                "seconds": time.monotonic() - began,
                "created_at": now(),
            }
            self.manifest.commit("weak_units", key, [row])
            record = self._record(key)
            assert record is not None
        self.tell(UnitEnded(Outcome(unit, record)))
        return record

    def _record(self, key: str) -> dict[str, Any] | None:
        """A unit's record; None too where a file of it is gone or damaged, which is set aside: it is made again."""
        table = self.manifest.get("weak_units", key)
        if table is None:
            return None
        record = dict(table.to_pylist()[0])
        for name in (record["data"], *record["files"]):
            try:
                self.store.check(name, record["content"] if name == record["data"] else None)
            except DamagedFileError:
                self.store.set_aside(name)
                self.store.set_aside(part_name("weak_units", key))
                for compacted in self.store.names("manifest/compacted/weak_units"):
                    self.store.remove(f"manifest/compacted/weak_units/{compacted}")
                self.manifest = Manifest(self.store)
                return None
        return record

    def _tensors(self, tensors: dict[str, NDArray[Any]]) -> tuple[str, str, int]:
        """Name, content hash and size of the file that holds them; its name is its content's."""
        from safetensors.numpy import save

        data = save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
        return self.put("units", ".safetensors", lambda path: path.write_bytes(data))

    def put(self, folder: str, suffix: str, produce: Callable[[Path], Any]) -> tuple[str, str, int]:
        """Write a file under its content's name."""
        with self._scratch() as scratch:
            path = scratch / "data"
            produce(path)
            content, size = digest(path), path.stat().st_size
            name = f"weak_to_strong/{folder}/{content}{suffix}"
            if self.store.content(name) != content:
                self.store.write(name, lambda final: os.replace(path, final))
        return name, content, size

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder of the workspace that is gone afterwards; `curate gc` sweeps what a kill leaves."""
        folder = self.store.path("weak_to_strong")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=folder) as made:
            yield Path(made)

    def open(self, record: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """A unit's tensors."""
        from safetensors.numpy import load_file

        self.store.check(record["data"], record["content"])
        return dict(load_file(self.store.path(record["data"])))

    def _guarded(self, who: str, unit: Unit, job: Callable[[], Any]) -> Any:
        """A member's unit; a Failure where it crashes, so that the others go on."""
        try:
            return job()
        except (OSError, MemoryError, DamagedFileError):
            raise
        except Exception as failure:
            said, what_to_do = advice(failure)
            kind = "" if isinstance(failure, Refusal | ModelError) else f"{kind_of(failure)}: "
            message = f"{unit.said}: {kind}{(said.strip().splitlines() or ['no reason given'])[0]}"
            hint = "; ".join([*([what_to_do] if what_to_do else []), f"{who} is left out, the others go on"])
            return Failure("R003", message, hint, trace_of(failure))

    def _each(self, what: str, jobs: Sequence[Job]) -> list[Any]:
        """Results of members' units; members of which one fails are noted as broken.

        The first failure in the order of the jobs is told, whichever came first: a report is the same each time. So
        only what comes after a failed unit is skipped.
        """
        failed: dict[str, int] = {}

        def attempt(place: int) -> Any:
            who, unit, job = jobs[place]
            if failed.get(who, place) < place:
                return None
            done = self._guarded(who, unit, job)
            if isinstance(done, Failure):
                failed[who] = min(failed.get(who, place), place)
            return done

        results = self._all(what, [partial(attempt, place) for place in range(len(jobs))])
        for who, place in sorted(failed.items(), key=lambda one: one[1]):
            self._break(who, results[place])
        return results

    def _break(self, who: str, failure: Failure) -> None:
        if who not in self.broken:
            self.broken[who] = failure.message
            self.result.failures.append((who, failure))
            self.tell(Failed(failure))

    # --- splits --------------------------------------------------------------------------------------------------

    @cached_property
    def clusters(self) -> NDArray[np.int64]:
        """Cluster of near-duplicates of each row."""
        key = fingerprint(["clusters", VERSION, hashed(self.data.keys)])
        record = self.unit(Unit("clusters", ""), key, lambda: {"clusters": near_duplicates(self.data.rows.text)})
        return self.open(record)["clusters"]

    def _split(self, seed: int) -> NDArray[np.int8]:
        """Place of each row in `SPLITS`, or QUARANTINED, or SET_ASIDE_BLANK; as an earlier run drew it."""
        run, task = self.resolved.run, self.spec.task
        shares = Protocol(tuple(self.spec.splits.shares.items()), seed)
        named = [self.spec.name, task.text, sorted(self.loaded.mapping.items()), shares.freeze()]
        protocol = fingerprint(named)[:16]
        while True:
            records = self.manifest.where("weak_splits", protocol=protocol).sort_by("generation").to_pylist()
            own = next((row for row in records if row["run"] == run), None)
            if own is not None:
                return np.asarray(self.open(own)["split"])
            split, facts = self._drawn(shares, records[-1] if records else None)
            name, content, _ = self._tensors({"keys": self.data.keys, "split": split})
            generation = 1 + max((row["generation"] for row in records), default=-1)
            row = {
                "protocol": protocol,
                "generation": generation,
                "run": run,
                "seed": seed,
                "drawn": json.dumps(shares.freeze()),
                "data": name,
                "content": content,
                "rows": len(split),
                "created_at": now(),
                **facts,
            }
            self.manifest.commit("weak_splits", f"{protocol}-{generation:06d}", [row])

    def _drawn(self, shares: Protocol, before: dict[str, Any] | None) -> tuple[NDArray[np.int8], dict[str, int]]:
        data = self.data
        frozen = np.full(len(data), UNSEEN, np.int8)
        if before is not None:
            past = self.open(before)
            order = np.argsort(past["keys"], kind="stable")
            at = np.minimum(np.searchsorted(past["keys"][order], data.keys), len(order) - 1)
            same = past["keys"][order][at] == data.keys
            frozen = np.where(same, past["split"][order][at], UNSEEN).astype(np.int8)
            frozen[frozen == SET_ASIDE_BLANK] = UNSEEN
        settled = settle(shares, self.clusters, data.keys, frozen)
        split = settled.split.copy()
        _, place = np.unique(self.clusters, return_inverse=True)
        taught = np.bincount(place, data.gold != ABSTAIN) > 0  # clusters with gold
        placed = np.bincount(place, frozen != UNSEEN) > 0
        split[~taught[place] & ~placed[place]] = SPLITS.index("transfer")
        split[data.blank] = SET_ASIDE_BLANK
        quarantined = int((split == QUARANTINED).sum())
        if len(settled.straddling):
            clusters = f"{len(settled.straddling):,} clusters of near-duplicates came to span splits"
            self.tell(Notice(f"warning: {clusters}; {quarantined:,} rows are quarantined"))
        return split, {"quarantined": quarantined, "straddling": len(settled.straddling)}

    def _ordered(self, rows: NDArray[np.bool_], seed: int, most: int | None) -> NDArray[np.int64]:
        """Row numbers, ascending, of at most so many rows, chosen by hash."""
        chosen = np.flatnonzero(rows)
        if most is None or len(chosen) <= most:
            return chosen
        drawn = keyed(self.data.keys[chosen], 7919 + seed)
        return np.sort(chosen[np.lexsort((chosen, drawn))[:most]])

    # --- features ------------------------------------------------------------------------------------------------

    def _features(self, members: Iterable[Supervisor | Student]) -> None:
        """Embeddings of all rows for each encoder that is not yet read."""
        wanted: dict[View, list[str]] = {}
        for one in members:
            if one.view is not None and one.view not in self.views and who(one) not in self.broken:
                wanted.setdefault(one.view, []).append(who(one))
        for view, names in wanted.items():
            jobs = [self._portion(view, names[0], begin) for begin in range(0, len(self.data), PORTION)]
            parts = self._each(f"embedding with {view.name}", jobs)
            failure = next((part for part in parts if isinstance(part, Failure)), None)
            if failure is not None:
                for name in names:
                    self._break(name, failure)
                continue
            self.views[view] = np.concatenate([self.open(part)["vectors"] for part in parts])

    def _portion(self, view: View, name: str, begin: int) -> Job:
        text = self.data.rows.text.slice(begin, PORTION)
        keys = self.data.keys[begin : begin + PORTION]
        key = fingerprint(["features", VERSION, view.identity(), hashed(keys)])
        unit = Unit("features", view.name, part=str(begin))
        return name, unit, partial(self.unit, unit, key, lambda: {"vectors": view.vectors(text)}, heavy=True)

    # --- supervisors ---------------------------------------------------------------------------------------------

    def _supervise(self) -> dict[str, list[Said]]:
        """What each supervisor that did not fail says, by name: one for each seed, or one for all."""
        jobs: list[Job] = []
        places: list[tuple[Supervisor, int]] = []
        for one in self.loaded.supervisors:
            if who(one) in self.broken:
                continue
            if isinstance(one, Fixed):
                size = PORTION if one.heavy else CHUNK
                own = [(0, self._fixed(one, begin, size)) for begin in range(0, len(self.data), size)]
            else:
                assert isinstance(one, Learning)
                turns = (*range(self.spec.combine.folds), FULL)
                own = [(seed, self._learning(one, seed, fold)) for seed in range(self.spec.seeds) for fold in turns]
            jobs += [job for _, job in own]
            places += [(one, seed) for seed, _ in own]
        done = self._each("supervisors", jobs)
        found: dict[str, list[Said]] = {}
        for one in self.loaded.supervisors:
            if who(one) in self.broken:
                continue
            parts = [(seed, record) for (other, seed), record in zip(places, done, strict=True) if other is one]
            if isinstance(one, Fixed):
                whole = [self.open(record) for _, record in parts]
                p = np.concatenate([part["p"] for part in whole]) if "p" in whole[0] else None
                found[one.name] = [Said(np.concatenate([part["votes"] for part in whole]), p)]
            else:
                found[one.name] = [
                    self._spread([record for own, record in parts if own == seed]) for seed in range(self.spec.seeds)
                ]
        return found

    def _fixed(self, one: Fixed, begin: int, size: int) -> Job:
        rows = self.data.rows.slice(begin, size)
        key = fingerprint(["supervisor", VERSION, *_named(one), self.classes, self.data.identity, begin, len(rows)])

        def make() -> dict[str, Any]:
            said = one.says(rows)
            return {"votes": said.votes} | ({} if said.p is None else {"p": said.p})

        unit = Unit("supervisor", one.name, part=str(begin))
        return who(one), unit, partial(self.unit, unit, key, make, heavy=one.heavy)

    def _learning(self, one: Learning, seed: int, fold: int) -> Job:
        drawn = [self._split_id(seed), seed, fold, self.spec.combine.folds if fold != FULL else 0]
        key = fingerprint(["supervisor", VERSION, *_named(one), self.classes, self.data.identity, *drawn])
        unit = Unit("supervisor", one.name, seed, "all" if fold == FULL else f"fold {fold}")
        return who(one), unit, partial(self.unit, unit, key, partial(self._learn, one, seed, fold), one.heavy)

    def _learn(self, one: Learning, seed: int, fold: int) -> dict[str, Any]:
        known = self._ordered(self._known("weak", seed), seed, one.settings.rows)
        if not len(known):
            raise ValueError("there is no row with gold to learn from")
        if fold == FULL:
            asked = np.setdiff1d(np.flatnonzero(self.splits[seed] >= 0), known)
        else:
            parts = folds(self.clusters[known], self.data.keys[known], self.spec.combine.folds, seed)
            known, asked = known[parts != fold], known[parts == fold]
        if not len(asked):
            return {"rows": asked, "votes": np.zeros((0, 1), np.int8), "p": np.zeros((0, 1, len(self.classes)), "f4")}
        p = one.learn(self._inputs(one, known), self.data.gold[known], self._inputs(one, asked))
        said = Said.of(p)
        assert said.p is not None
        return {"rows": asked, "votes": said.votes, "p": said.p}

    def _spread(self, records: list[dict[str, Any]]) -> Said:
        """One learning supervisor on all rows: abstaining on those that it learnt from, where nothing was held out."""
        n = len(self.data)
        votes, p = np.full((n, 1), ABSTAIN, np.int8), np.full((n, 1, len(self.classes)), np.nan, np.float32)
        for part in map(self.open, records):
            votes[part["rows"]], p[part["rows"]] = part["votes"], part["p"]
        return Said(votes, p)

    def _inputs(self, one: Supervisor | Student, rows: NDArray[np.int64]) -> Any:
        return self.views[one.view][rows] if one.view is not None else self.data.rows.text.take(pa.array(rows))

    def _known(self, split: str, seed: int) -> NDArray[np.bool_]:
        return np.asarray((self.splits[seed] == SPLITS.index(split)) & (self.data.gold != ABSTAIN))

    def _split_id(self, seed: int) -> str:
        return fingerprint([hashed(self.splits[seed]), hashed(self.data.keys)])

    # --- labels --------------------------------------------------------------------------------------------------

    def _evidence(self, seed: int, said: dict[str, list[Said]]) -> Evidence:
        chosen = [one for one in self.loaded.supervisors if one.name in said]
        own = [said[one.name][seed if len(said[one.name]) > 1 else 0] for one in chosen]
        split = self.splits[seed]
        votes = np.concatenate([part.votes for part in own], axis=1)
        votes[split < 0] = ABSTAIN
        p = np.concatenate([part.probabilities(len(self.classes)) for part in own], axis=1)
        names = tuple(name for one in chosen for name in one.voters)
        return Evidence(votes, p, names, self.data.gold, split, self.clusters, self.data.keys)

    def _label(self, seed: int) -> dict[str, Any]:
        evidence = self.evidence[seed]
        combine, certify = self.spec.combine, self.spec.certify
        content = [hashed(part) for part in (evidence.votes, evidence.p)]
        settings = [combine.model_dump(), certify.model_dump(), self.classes, evidence.names]
        key = fingerprint(["labels", VERSION, content, settings, self.data.identity, self._split_id(seed), seed])

        def make() -> dict[str, Any]:
            found = label(evidence, combine, certify, len(self.classes), seed)
            table = self._table(found, evidence)
            stored = self.put("labels", ".parquet", lambda path: _write(table, path))
            return {"facts": found.facts, "stored": stored}

        return self.unit(Unit("labels", "", seed), key, make)

    def _table(self, labels: Labels, evidence: Evidence) -> pa.Table:
        """The label file of one seed."""
        names = [*SPLITS, SET_ASIDE, "blank"]
        split = np.where(
            evidence.split >= 0,
            evidence.split,
            np.where(evidence.split == QUARANTINED, len(SPLITS), len(SPLITS) + 1),
        )
        classes = pa.array(self.classes, pa.string())
        none = labels.hard == ABSTAIN
        chosen = np.where(none[:, None], False, labels.sets)
        sets = pa.ListArray.from_arrays(
            pa.array(np.append(0, np.cumsum(chosen.sum(axis=1))), pa.int32()),
            classes.take(pa.array(np.nonzero(chosen)[1])),
            mask=pa.array(none),
        )
        votes = [
            pa.DictionaryArray.from_arrays(pa.array(column, mask=column == ABSTAIN), classes)
            for column in evidence.votes.T
        ]
        given = [place for place in range(len(evidence.names)) if not _is_sure(evidence.p[:, place])]
        probabilities: pa.Array = pa.nulls(len(none), pa.string())
        if given:
            columns = [_lists(evidence.p[:, place], evidence.votes[:, place] == ABSTAIN) for place in given]
            probabilities = pa.StructArray.from_arrays(columns, [evidence.names[place] for place in given])
        return pa.table(
            {
                "file": pa.array(self.data.file),
                "row": pa.array(self.data.row),
                "id": self.data.ids,
                "split": pa.DictionaryArray.from_arrays(pa.array(split.astype(np.int8)), pa.array(names)),
                "soft_label": _lists(labels.soft, evidence.split < 0),
                "hard_label": pa.DictionaryArray.from_arrays(pa.array(labels.hard, mask=none), classes),
                "confidence": pa.array(labels.confidence, mask=none),
                "margin": pa.array(labels.margin, mask=none),
                "entropy": pa.array(labels.entropy, mask=none),
                "agreement": pa.array(labels.agreement, mask=none),
                "automatic": pa.array(labels.automatic),
                "conformal_set": sets,
                "abstain": pa.array(none),
                "weight": pa.array(np.where(none, 0, 1).astype(np.float32)),
                "votes": pa.StructArray.from_arrays(votes, list(evidence.names)),
                "probabilities": probabilities,
            }
        )

    def soft(self, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
        """Soft labels [n, k] and hard ones [n] of a seed, as they are committed."""
        record = self.labels[seed]
        table = parquet.read(self.store.path(record["data"]), columns=["soft_label", "hard_label"])
        lists = table["soft_label"].combine_chunks()
        soft = np.full((len(lists), len(self.classes)), np.nan, np.float32)
        soft[lists.is_valid().to_numpy(zero_copy_only=False)] = (
            lists.flatten().to_numpy(zero_copy_only=False).reshape(-1, len(self.classes))
        )
        from curation.weak_to_strong.task import codes

        return soft, codes(table["hard_label"].combine_chunks().cast(pa.string()), self.classes)

    # --- students ------------------------------------------------------------------------------------------------

    def _teach(self) -> dict[tuple[str, int, str], dict[str, Any]]:
        """Records of all students, by name, seed and target."""
        places = [
            (student, seed, target)
            for student in self.loaded.students
            if who(student) not in self.broken
            for seed in range(self.seeds(student))
            for target in TARGETS
            if target == "weak" or self._known("transfer", seed).any()
        ]
        done = self._each("students", [self._taught(*place) for place in places]) if places else []
        return {
            (student.name, seed, target): record
            for (student, seed, target), record in zip(places, done, strict=True)
            if who(student) not in self.broken
        }

    def seeds(self, student: Student) -> int:
        return min(student.settings.seeds or self.spec.seeds, self.spec.seeds)

    def asked(self, seed: int) -> NDArray[np.int64]:
        """Rows that students answer: the test rows with gold, or without any the weak validation rows."""
        known = np.flatnonzero(self._known("test", seed))
        return known if len(known) else np.flatnonzero(self._validation(seed))

    def _validation(self, seed: int) -> NDArray[np.bool_]:
        """Rows of the transfer split that nothing learns from, whole clusters of them."""
        rows = np.flatnonzero(self.splits[seed] == SPLITS.index("transfer"))
        found = np.zeros(len(self.data), bool)
        found[rows[folds(self.clusters[rows], self.data.keys[rows], VALIDATION, seed) == 0]] = True
        return found

    def _taught(self, student: Student, seed: int, target: str) -> Job:
        publish = seed == 0 and target == "weak"
        given = [self.labels[seed]["content"], self._split_id(seed), seed, target]
        key = fingerprint(["student", VERSION, *_named(student), self.classes, self.data.identity, *given])
        unit = Unit("student", student.name, seed, target)
        work = partial(self._lesson, student, seed, target, publish)
        return who(student), unit, partial(self.unit, unit, key, work, student.heavy)

    def _lesson(self, student: Student, seed: int, target: str, publish: bool) -> dict[str, Any]:
        soft, hard = self.soft(seed)
        there = hard != ABSTAIN
        if target == "ceiling":
            there = self.data.gold != ABSTAIN
            soft = np.eye(len(self.classes), dtype=np.float32)[np.maximum(self.data.gold, 0)]
        transfer = (self.splits[seed] == SPLITS.index("transfer")) & there
        held = self._validation(seed)
        known = self._ordered(transfer & ~held, seed, student.settings.rows)
        most = None if student.settings.rows is None else max(1, student.settings.rows // (VALIDATION - 1))
        validation = self._ordered(transfer & held, seed, most)
        if not len(known):
            raise ValueError("no row of the transfer split has a label")
        lesson = Lesson(
            self._inputs(student, known),
            soft[known],
            self._inputs(student, validation),
            soft[validation],
            self._inputs(student, self.asked(seed)),
            self.data.keys[known],
            seed,
        )
        with self._scratch() as scratch:
            folder = scratch / "model"
            learned = student.learn(lesson, folder)
            if not np.isfinite(learned.p).all():
                raise ValueError("it answered NaN or infinity")
            left = sorted(folder.iterdir()) if publish else []
            files = [self.put("models", f"-{path.name}", partial(shutil.copyfile, path))[0] for path in left]
        facts = {**learned.facts, "learned_from": len(known), "validation_rows": len(validation)}
        return {"p": learned.p.astype(np.float32), "facts": facts, "files": files}


def who(one: Supervisor | Student) -> str:
    """How a member is called in what is said of it."""
    return f"{'student' if isinstance(one, Student) else 'supervisor'} '{one.name}'"


def hashed(values: NDArray[Any]) -> str:
    """XXH3-128 of an array's bytes."""
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(values).data)


def _named(one: Supervisor | Student) -> list[Any]:
    """What decides a member's answers beside its rows; not its name."""
    operational = {"seeds"} if isinstance(one, Student) else set()
    settings = one.settings.model_dump(mode="json", exclude=operational)
    return [one.kind, one.version, settings, one.identity()]


def _is_sure(p: NDArray[np.float32]) -> bool:
    """Whether a voter gave classes only."""
    return bool(((p == 0) | (p == 1) | np.isnan(p)).all())


def _lists(p: NDArray[np.float32], missing: NDArray[np.bool_]) -> pa.ListArray:
    """[n, k] as lists, null where it is missing."""
    counts = np.where(missing, 0, p.shape[1])
    offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(p[~missing].ravel()), mask=pa.array(missing))


def _write(table: pa.Table, path: Path) -> None:
    parquet.write(table, path)
