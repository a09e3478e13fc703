"""What a unit of work is given: plain data that travels to any worker, and the stage objects built from it there."""

from __future__ import annotations

import json
import os
import pickle
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from curation.dedup.base import Dedup
from curation.flow.ledger import Grouped, Ledger, replay
from curation.flow.stored import Known, load_known
from curation.flow.verdicts import load_grouped
from curation.formats.columns import Columns
from curation.manifest.parts import Manifest
from curation.models.locate import sha256
from curation.plan import Pass, StagePlan, Step, fingerprint
from curation.plugins import contained
from curation.registry import find
from curation.scorers.base import Context, Scorer
from curation.scorers.turns import per_turn
from curation.selection.base import Selection
from curation.sources import Shard
from curation.store import TEMPORARY, Store, local_copy
from curation.store.files import StoreFiles
from schemas.documents import INPUT
from schemas.errors import CurationError, Finding
from schemas.manifest import LIST

Scoring = Callable[[Step, pa.RecordBatch], pa.RecordBatch]
"""How a step scores a batch: here, or in an actor that holds the model."""


@dataclass(frozen=True)
class Work:
    """What all units of one invocation share: pickled once, however many of them travel, and opened once a process."""

    root: str
    run: str
    attempt: str
    columns: Columns
    stages: tuple[StagePlan, ...]
    reading: pa.Schema
    writing: pa.Schema
    output_columns: tuple[str, ...]
    row_group_rows: int
    hardware: str
    origins: dict[str, str] = field(default_factory=dict)
    """Source column behind each output column that is not a stage's."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, (self._packed,)

    @cached_property
    def _packed(self) -> bytes:
        return pickle.dumps([getattr(self, item.name) for item in fields(self)])

    def place(self, stage: StagePlan) -> int:
        """Where a stage, one of the work's own, stands in it."""
        if self.stages[stage.position] is not stage:
            raise ValueError(f"stage '{stage.id}' is not one of this work's")
        return stage.position

    @property
    def store(self) -> Store:
        return Store(self.root)

    @property
    def manifest(self) -> Manifest:
        return Manifest(self.store)

    def mark(self) -> str:
        """For file names: the attempt, and this execution of it.

        Ray repeats a unit whose worker died, perhaps just after its commit: what the repetition writes, and removes
        again when it finds itself late, must not be what was committed.
        """
        return f"{self.attempt}-{os.urandom(4).hex()}"

    def settle(self, kind: str, key: str, record: dict[str, Any], files: Iterable[str]) -> dict[str, Any]:
        """Commit a unit's record and return it; where somebody was first, remove our files and return theirs."""
        if self.manifest.commit(kind, key, [record]):
            return record
        for name in files:
            self.store.remove(name)
        earlier = self.earlier(kind, key)
        assert earlier is not None
        return earlier

    def earlier(self, kind: str, key: str) -> dict[str, Any] | None:
        """The record of a unit that is done."""
        table = self.manifest.get(kind, key)
        return None if table is None else table.to_pylist()[0]


@lru_cache(maxsize=16)
def _opened(packed: bytes) -> Work:
    return Work(*pickle.loads(packed))


@dataclass(frozen=True)
class ShardWork:
    """A shard with everything stored about it that the unit needs."""

    work: Work
    shard: Shard
    scores: dict[str, list[str]]
    """Step fingerprint: score parts that may hold rows of this shard, relative to the workspace."""
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Stage id: the `groups` record of a dataset-wide stage that is resolved."""
    sample: tuple[int, ...] | None = None

    def known(self, step: Step, columns: list[str] | None = None) -> Known:
        shard = self.shard
        return load_known(
            self.work.store, self.scores.get(step.fingerprint, []), step, shard.row_start, shard.rows, columns
        )

    def ledger(self) -> Ledger:
        if self.sample is None:
            return Ledger(self.shard.rows)
        inside = np.zeros(self.shard.rows, dtype=bool)
        inside[list(self.sample)] = True
        return Ledger(self.shard.rows, inside)

    def replay(self, upto: int) -> Ledger:
        """What is decided by the stages before position `upto`, from stored columns alone."""
        return replay(
            self.work.stages[:upto],
            self.ledger(),
            lambda stage: self.known(stage.steps[-1], decisive(stage)),
            self.grouped,
        )

    def grouped(self, stage: StagePlan, ledger: Ledger) -> Grouped:
        return load_grouped(self.work.store, stage, stage_object(stage), self.groups[stage.id], self.shard, ledger)


@dataclass(frozen=True)
class ScoreWork:
    """Score one shard in one pass."""

    at: ShardWork
    part: Pass

    def __reduce__(self) -> tuple[Any, ...]:
        places = ([self.at.work.place(stage) for stage in some] for some in (self.part.stages, self.part.barriers))
        return _score_work, (self.at, self.part.number, *places)


def _score_work(at: ShardWork, number: int, *places: list[int]) -> ScoreWork:
    stages, barriers = (tuple(at.work.stages[place] for place in some) for some in places)
    return ScoreWork(at, Pass(number, stages, barriers))


@dataclass(frozen=True)
class EnterWork:
    """List the documents of one shard that reach a dataset-wide stage."""

    at: ShardWork
    stage: StagePlan
    prefixes: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _enter_work, (self.at, self.at.work.place(self.stage), self.prefixes)


def _enter_work(at: ShardWork, place: int, prefixes: int) -> EnterWork:
    return EnterWork(at, at.work.stages[place], prefixes)


@dataclass(frozen=True)
class PairWork:
    """Find candidate pairs in one range of bucket keys."""

    work: Work
    stage: StagePlan
    group: str
    prefix: int
    entrants: tuple[dict[str, Any], ...]
    """`entrants` records, in shard order."""


@dataclass(frozen=True)
class ResolveWork:
    """Decide a dataset-wide stage."""

    work: Work
    stage: StagePlan
    group: str
    shards: tuple[ShardWork, ...]
    entrants: tuple[dict[str, Any], ...]
    pairs: tuple[str, ...]


@dataclass(frozen=True)
class DecideWork:
    """Write down what became of each document of one shard."""

    at: ShardWork


@dataclass(frozen=True)
class WriteWork:
    """Write one file of the dataset, from neighbouring shards."""

    work: Work
    part: int
    shards: tuple[ShardWork, ...]
    decisions: tuple[str, ...]
    """Decision files, in the order of `shards`."""


MEMORY = "2GB"
"""DuckDB's limit while it merges pairs or sorts scores; beyond it, it spills to the workspace, or where that is a
store to the local disk."""


def database(store: Store, folder: str, mark: str) -> duckdb.DuckDBPyConnection:
    """For sorting what a dataset-wide stage has to sort: reads files of the store by their `uri`."""
    spill = store.scratch(f"{folder}/{TEMPORARY}spill-{mark}")
    connection = duckdb.connect(
        config={"memory_limit": MEMORY, "temp_directory": str(spill), "autoinstall_known_extensions": "false"}
    )
    if store.far:
        connection.register_filesystem(StoreFiles(store))
    return connection


def decisive(stage: StagePlan) -> list[str]:
    """Columns of a stage's own step that decisions need: edits stay on disk."""
    return [*(item.name for item in stage.fields), "status", "message"]


class Origin(NamedTuple):
    """All that a stage's object is built from, and so the key under which it is kept: other settings, other code or
    other files behind it are another object, in one process, too."""

    stage: str
    family: str
    kind: str
    settings: str
    recipe_dir: str
    content: str
    artifact: str | None = None
    cache: str | None = None
    turns: str | None = None


def stage_object(stage: StagePlan) -> Dedup | Selection | Scorer:
    """The stage's own object, from its recipe keys. Raises R017 where the files behind it are no longer those that
    were planned, C044 where this process does not have its code."""
    settings = _frozen(stage.settings)
    origin = Origin(stage.id, stage.family, stage.kind, settings, stage.recipe_dir, stage.content)
    return _build(origin)  # type: ignore[no-any-return]


def scorer_object(step: Step) -> Scorer:
    """A step's scorer, loaded; once a process. Raises as `stage_object`."""
    return _loaded(_origin(step), step.path)


def _origin(step: Step) -> Origin:
    stage = step.name.partition("/")[0]
    settings = _frozen(step.settings)
    return Origin(
        stage, step.family, step.kind, settings, step.recipe_dir, step.content, step.artifact, step.cache, step.turns
    )


def tokenising_object(step: Step) -> Scorer:
    """A step's scorer as `prepare` needs it, its models not opened; once a process. Raises as `stage_object`."""
    return _prepared(_origin(step), step.path)


def verify_object(step: Step) -> None:
    """Raise R017 where the files behind a step's scorer are not those that were planned: before anything is stored
    under its fingerprint."""
    if step.family != INPUT:
        origin = _origin(step)
        _verify(origin, _build(origin))


MACHINES = ("attention", "device", "dtype", "shapes")
"""Of an identity: what another machine may choose otherwise. The class of hardware says it, and is compared itself."""


def content_of(built: Any) -> str:
    """Hash of a stage object's version and of the content of all files behind it, its requirements' too."""
    return fingerprint(_content(built))


def _content(built: Any) -> list[Any]:
    identity = built.identity() if isinstance(built, Scorer | Selection) else {}
    required = sorted(built.requires().items())
    return [built.kind, built.version, _portable(identity), [[name, _content(other)] for name, other in required]]


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _portable(item) for key, item in value.items() if key not in MACHINES}
    return [_portable(item) for item in value] if isinstance(value, list | tuple) else value


def contract(step: Step) -> dict[str, Any]:
    """What a step's columns mean and what made them, as a row of the manifest's `scorers`."""
    scorer = tokenising_object(step)
    with contained():
        models, identity, meaning = scorer.models(), scorer.identity(), asdict(scorer.contract)
    tokenizer = next((row["sha256"] for row in models if row["file"].endswith("tokenizer.json")), None)
    weights = next((row for row in models if not row["file"].endswith("tokenizer.json")), None)
    return {
        "step": step.name,
        "kind": scorer.kind,
        "version": scorer.version,
        "fingerprint": step.fingerprint,
        **meaning,
        "model": weights["address"] if weights else None,
        "model_revision": weights["revision"] if weights else None,
        "weights": weights["sha256"] if weights else None,
        "tokenizer": tokenizer,
        "dtype": identity.get("dtype"),
        "device": step.device if step.heavy else None,
    }


def higher(stages: tuple[StagePlan, ...], chosen: Dedup) -> dict[str, bool]:
    """Of each column that a dedup's survivors go by, whether its scorer says that a higher value is better.

    What scorers do not say was asked of the recipe (`pipelines.recipe.survivor`)."""
    found = {}
    for name in chosen.columns:
        stage = next(stage for stage in stages if stage.id == name.partition(".")[0])
        found[name] = stage.family != "scorer" or tokenising_object(stage.steps[-1]).contract.orientation >= 0
    return found


def describe(step: Step) -> list[dict[str, Any]]:
    """Models and lists behind a step, without opening them: address, revision, file, sha256, bytes, licence."""
    scorer = tokenising_object(step)
    with contained():
        models, paths = scorer.models(), scorer.lists()
    lists = [
        {
            "address": f"{LIST}{path}",
            "revision": None,
            "file": path.name,
            "sha256": sha256(path),
            "bytes": path.stat().st_size,
            "licence": None,
        }
        for path in paths
    ]
    return [*models, *lists]


@lru_cache(maxsize=64)
def _loaded(origin: Origin, path: tuple[str, ...]) -> Scorer:
    scorer = _prepared(origin, path)
    scorer.load()
    _verify(origin, _build(origin))
    return scorer


@lru_cache(maxsize=64)
def _prepared(origin: Origin, path: tuple[str, ...]) -> Scorer:
    scorer = _build(origin)
    for name in path:
        scorer = scorer.requires()[name]
    return scorer  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _build(origin: Origin) -> Any:
    try:
        target = find(origin.family, origin.kind)
    except (KeyError, ImportError) as failure:
        what = f"there is no {origin.family} '{origin.kind}'" if isinstance(failure, KeyError) else str(failure)
        raise CurationError(
            Finding(
                "C044",
                f"stage '{origin.stage}': on {socket.gethostname()} {what}",
                "give all machines the same packages, or bring the code along: curate submit --code",
            )
        ) from failure
    artifact, cache = origin.artifact, origin.cache
    context = Context(
        Path(origin.recipe_dir),
        local_copy(artifact) if artifact else None,
        Path(cache) if cache else None,
        origin.turns,
    )
    with contained():
        built = target(target.Settings.model_validate_json(origin.settings), context)
        made = per_turn(built, origin.turns) if isinstance(built, Scorer) else built
    _verify(origin, made)
    return made


def _verify(origin: Origin, built: Any) -> None:
    with contained():
        same = not origin.content or content_of(built) == origin.content
    if not same:
        raise CurationError(
            Finding(
                "R017",
                f"stage '{origin.stage}': its code, or a model, list or example file of it, is not what was planned",
                "run again: the plan is made anew from what is there now",
            )
        )


def _frozen(settings: dict[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True)
