"""Which published dataset is meant by a run or a name."""

from __future__ import annotations

from typing import Any

from curation.manifest.parts import Manifest
from curation.manifest.runs import LATEST, choose_run, labelled_runs
from pipelines.dataset import Dataset
from pipelines.running.result import Result, finished
from schemas.errors import CurationError, Finding, command


def finished_run(manifest: Manifest, run: str | None = None) -> Result:
    """The result of a run that is finished. Raises C032 where there is none."""
    chosen = choose_run(manifest, run)
    result = None if chosen is None else finished(manifest, chosen)
    if result is None:
        raise _missing(manifest, chosen)
    result.outcome = "done"  # of the run; nobody asked for another
    return result


def find_dataset(manifest: Manifest, run: str | None = None) -> Dataset:
    """The dataset of a run by id, its beginning or a label, or the latest of a dataset's name; of the latest run.

    Runs of `curate weak-to-strong` have theirs, too: labels. Raises C032 where there is none.
    """
    store = manifest.store
    published = [*manifest.read("datasets").to_pylist(), *manifest.read("weak_results").to_pylist()]
    recorded = {row["run"]: row["path"] for row in sorted(published, key=lambda row: row["created_at"])}
    labels = labelled_runs(manifest)
    named = {row["run"] for row in published if row["name"] == run and run not in labels}
    chosen = None
    if named:  # the newest run of that name may have failed, and what it had published is there all the same
        led = store.pointed(f"datasets/{run}/{LATEST}")
        chosen = led if led in named else [key for key in recorded if key in named][-1]
    elif run not in (None, LATEST) and run not in labels and not _starts(manifest.read("runs").to_pylist(), run):
        begun = sorted({row["run"] for row in published if row["run"].startswith(str(run))})
        if len(begun) > 1:
            what = f"run '{run}' may be any of {', '.join(begun[:5])}{', …' if begun[5:] else ''}"
            raise CurationError(Finding("C032", what, "give more of its id"))
        chosen = begun[0] if begun else None
    chosen = chosen or choose_run(manifest, run) or next(reversed(recorded), None)
    path = recorded.get(str(chosen))
    if path is None or not store.exists(path):
        raise _missing(manifest, chosen)
    return Dataset(store.location(path))


def _missing(manifest: Manifest, run: str | None) -> CurationError:
    what = "there is no run yet" if run is None else f"run {run} has no dataset"
    start = command("run RECIPE" if run is None else f"retry {run}", manifest.store.root)
    return CurationError(Finding("C032", what, f"{'start one' if run is None else 'finish it'}: {start}"))


def _starts(rows: list[dict[str, Any]], run: str) -> bool:
    return any(row["run"].startswith(run) or row["name"] == run for row in rows)
