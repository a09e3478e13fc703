"""Specification → labels, students, report. Every unit of work is committed; what is committed is not done again.

Rows are held in memory, and units in an executor of this process: a run is one machine's work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from curation.flow import Failure, system_failure
from curation.manifest.parts import Manifest, now
from curation.manifest.snapshot import publish_missing, publish_snapshot
from curation.store import Store
from curation.weak_to_strong.label_model import ABSTAIN
from pipelines.running.events import Notice, Report, RunStarted
from pipelines.running.latest import point_latest
from pipelines.running.records import allot_numbers
from pipelines.weak_to_strong.data import Data, read
from pipelines.weak_to_strong.features import embed
from pipelines.weak_to_strong.labels import combine_votes
from pipelines.weak_to_strong.phases import Phases, Run, StoppedError
from pipelines.weak_to_strong.plan import Resolved
from pipelines.weak_to_strong.publish import publish
from pipelines.weak_to_strong.report import Completed
from pipelines.weak_to_strong.result import Result, finished
from pipelines.weak_to_strong.splits import draw_splits
from pipelines.weak_to_strong.students import fit_students
from pipelines.weak_to_strong.units import UnitStore
from pipelines.weak_to_strong.votes import collect_votes
from schemas.errors import CurationError
from workers.executor import Executor


def execute(resolved: Resolved, store: Store, executor: Callable[[], Executor], report: Report) -> Result:
    """Bring a specification to its labels and report. A finished run is a no-op."""
    began = time.monotonic()
    result = finished(resolved.run, Manifest(store))
    if result is not None:
        publish_missing(store)
        point_latest(store, result.name, result.run)
    else:
        result = _attempt(resolved, store, executor(), report)
    result.seconds = time.monotonic() - began
    return result


def _attempt(resolved: Resolved, store: Store, executor: Executor, report: Report) -> Result:
    result = Result(resolved.run, resolved.loaded.spec.name)
    phases = Phases(executor, report)
    stopped: list[Failure] = []
    try:
        result.folder, result.report = _flow(resolved, UnitStore(store, resolved.run), phases)
        publish_snapshot(store)
        result.outcome = "done"
    except KeyboardInterrupt:  # units that were under way have ended
        result.outcome = "interrupted"
    except StoppedError as stop:
        stopped = [stop.failure]
    except CurationError as failure:
        stopped = [Failure(finding.code, finding.message, finding.hint) for finding in failure.findings]
    except OSError as failure:
        stopped = [system_failure(failure)]
    finally:
        executor.close()
    result.failures = [*phases.left_out.items(), *(("run", failure) for failure in stopped)]
    return result


def _flow(resolved: Resolved, units: UnitStore, phases: Phases) -> tuple[Any, dict[str, Any]]:
    """Each step takes what the steps before it committed. Returns the published folder and the report."""
    loaded = resolved.loaded
    phases.report(RunStarted(resolved.run, resolved.input.rows, len(resolved.input.shards)))
    for line in resolved.input.notices:
        phases.report(Notice(line))
    run = Run(resolved, read(loaded, resolved.input), units, phases)
    numbers = _announce(resolved, run.data, units.manifest)
    splits = draw_splits(run)
    features = embed(run, loaded.supervisors, {})
    votes = collect_votes(run, splits, features)
    labels = combine_votes(run, splits, votes)
    features = embed(run, loaded.students, features)
    students = fit_students(run, splits, labels, features)
    return publish(Completed(run, splits, labels, students), numbers)


def _announce(resolved: Resolved, data: Data, manifest: Manifest) -> dict[int, int]:
    """Record what is asked, and of which files. Returns the number of each file, by its index in the input."""
    loaded, shards = resolved.loaded, resolved.input.shards
    allotted = allot_numbers(manifest, shards)
    files: dict[int, dict[str, Any]] = {}
    for shard in shards:
        number = allotted[(shard.path, shard.fingerprint)]
        facts = {"run": resolved.run, "file": shard.file, "file_no": number, "path": shard.path}
        row = files.setdefault(shard.file, {**facts, "fingerprint": shard.fingerprint, "rows": 0})
        row["rows"] += shard.rows
    manifest.commit("weak_files", resolved.run, files.values())
    manifest.commit(
        "weak_runs",
        resolved.run,
        [
            {
                "run": resolved.run,
                "name": loaded.spec.name,
                "spec": loaded.source,
                "spec_path": str(loaded.path or ""),
                "spec_dir": str(loaded.base),
                "classes": list(loaded.spec.task.classes),
                "rows": len(data),
                "gold": int((data.gold != ABSTAIN).sum()),
                "created_at": now(),
            }
        ],
    )
    return {index: row["file_no"] for index, row in files.items()}
