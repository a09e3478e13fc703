"""What a run records of itself: its plan, its attempts, their failures and ends."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from curation.flow import Failure
from curation.flow.faults import to_be_stored
from curation.flow.objects import contract, describe
from curation.flow.score_index import recorded_bundles
from curation.manifest.parts import Manifest, later, now
from curation.manifest.runs import attempts_so_far, choose_run, labelled_runs
from curation.manifest.snapshot import publish_snapshot
from curation.plan import Plan
from curation.sources import Shard
from pipelines.running.attempts import process_mark
from pipelines.running.result import Result
from schemas.errors import CurationError


def new_attempt() -> str:
    """An id for an attempt: when it began, and eight characters of chance."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:8]}"


def next_number(attempts: pa.Table) -> int:
    """The number of the attempt that is made now: behind all that are there, whatever the clock says."""
    return 1 + attempts_so_far(attempts)


def record_asked(manifest: Manifest, run: str, label: str | None) -> str | None:
    """Record that a run was asked for, by a label or as the one that is now the latest; the run that had the label."""
    before = None if label is None else labelled_runs(manifest).get(label)
    if before == run or label is None:
        label = None
        with suppress(CurationError):  # where the records of runs are lost, the run that is made now is the latest
            if choose_run(manifest, None) == run:
                return None
    while True:
        number = 1 + int(pc.max(manifest.read("asked").column("number")).as_py() or 0)
        after = attempts_so_far(manifest.read("attempts"))
        row = {"number": number, "run": run, "label": label, "after": after, "asked_at": now()}
        if manifest.commit("asked", f"{number:012d}", [row]):
            return before if before != run else None


def announce_run(manifest: Manifest, plan: Plan) -> None:
    """Record a run before an executor is begun, which may take long, so that SQL shows it while it is under way.

    Stages are asked what they are here: a driver that joins a cluster may have another current folder afterwards, and
    the files that a job was sent stand below the first."""
    numbers = allot_numbers(manifest, plan.shards)
    key = plan.run
    bundles = list(recorded_bundles(manifest, plan))
    if len(bundles) == len(plan.good_shards):
        bundles = []
    bundle_of = {member.index: bundle.index for bundle in bundles for member in bundle.members}
    stage_rows = [
        {
            "run": key,
            "position": stage.position,
            "stage": stage.id,
            "family": stage.family,
            "kind": stage.kind,
            "settings": stage.spec.settings,
            "keep": stage.keep,
            "fingerprint": stage.fingerprint,
            "version": stage.version,
            "fields": pa.schema(stage.shown).serialize().to_pybytes(),
        }
        for stage in plan.stages
    ]
    shard_rows = [
        {
            "run": key,
            "shard": shard.index,
            "file": shard.file,
            "file_no": numbers[(shard.path, shard.fingerprint)],
            "path": shard.path,
            "source": shard.source,
            "fingerprint": shard.fingerprint,
            "row_start": shard.row_start,
            "rows": plan.rows_of(shard),
            "bytes": shard.bytes,
            "error": shard.error,
            "bundle": bundle_of.get(shard.index),
        }
        for shard in plan.shards
    ]
    manifest.commit("stages", key, stage_rows)
    manifest.commit("shards", key, shard_rows)
    scorers = [{"run": key, **contract(step)} for step in plan.steps() if step.family != "input"]
    manifest.commit("scorers", key, scorers)
    for step in plan.steps():
        scorer = None if step.family == "input" else describe(step)
        if scorer and not manifest.has("models", step.fingerprint):
            manifest.commit(
                "models",
                step.fingerprint,
                [{"fingerprint": step.fingerprint, "step": step.name, **facts} for facts in scorer],
            )
    manifest.commit(
        "runs",
        key,
        [
            {
                "run": key,
                "name": plan.name,
                "recipe": plan.source,
                "recipe_path": plan.recipe_path,
                "recipe_dir": plan.recipe_dir,
                "plan": json.dumps(
                    {
                        "columns": [column.name for column in plan.output_columns],
                        "steps": [[s.name, s.fingerprint] for s in plan.steps()],
                    }
                ),
                "sample": None if plan.sample is None else plan.rows,
                "rows": plan.rows,
                "created_at": later(manifest.read("runs")),
            }
        ],
    )


def announce_attempt(manifest: Manifest, run: str, attempt: str, executor: str, hardware: str) -> None:
    """Record an attempt before its first unit."""
    manifest.commit(
        "attempts",
        attempt,
        [
            {
                "attempt": attempt,
                "run": run,
                "executor": executor,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "process": process_mark(os.getpid()),
                "hardware": hardware,
                "started_at": now(),
                "number": next_number(manifest.read("attempts")),
            }
        ],
    )


def record_failure(
    manifest: Manifest, run: str, attempt: str, number: int, shard: Shard | None, step: str, failure: Failure
) -> None:
    """Record what a unit failed of; `number` is the failure's among those of the attempt."""
    manifest.commit(
        "failures",
        f"{attempt}-{number:06d}",
        [
            {
                "run": run,
                "attempt": attempt,
                "shard": shard.index if shard else -1,
                "path": shard.path if shard else "",
                "step": step,
                "code": failure.code,
                "message": to_be_stored(failure.message),
                "failed_at": now(),
            }
        ],
    )


def record_end(manifest: Manifest, attempt: str, outcome: str, result: Result) -> None:
    """Record how an attempt ended, and publish what SQL reads."""
    manifest.commit(
        "ends",
        attempt,
        [
            {
                "attempt": attempt,
                "run": result.run,
                "outcome": outcome,
                "scored": result.scored,
                "reused": result.reused,
                "seconds": result.seconds,
                "ended_at": now(),
            }
        ],
    )
    manifest.compact()
    publish_snapshot(manifest.store)


def allot_numbers(manifest: Manifest, shards: tuple[Shard, ...]) -> dict[tuple[str, str], int]:
    """A number for each (path, fingerprint), new ones after all that were ever allotted; safe between runs."""
    wanted = list(dict.fromkeys((shard.path, shard.fingerprint) for shard in shards))
    while True:
        number_of = {(row["path"], row["fingerprint"]): row["file_no"] for row in manifest.read("files").to_pylist()}
        if not number_of.keys() >= set(wanted):  # a record may be damaged or gone: what it allotted, runs still have
            used = manifest.read("shards").select(["path", "fingerprint", "file_no"])
            latest = pc.max(used.column("file_no")).as_py()
            if manifest.damaged or (latest is not None and latest > max(number_of.values(), default=-1)):
                number_of = {(row["path"], row["fingerprint"]): row["file_no"] for row in used.to_pylist()} | number_of
        missing = [pair for pair in wanted if pair not in number_of]
        if not missing:
            return {pair: number_of[pair] for pair in wanted}
        first = max(number_of.values(), default=-1) + 1
        rows = [
            {"file_no": first + number, "path": path, "fingerprint": print_}
            for number, (path, print_) in enumerate(missing)
        ]
        manifest.commit("files", f"{first:012d}", rows)
