"""Which run is meant: by id, label, dataset's name, prefix of an id, or as the one that was last asked for."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from curation.manifest.parts import Manifest
from curation.store.seal import mend
from schemas.errors import CurationError, Finding, command

LATEST = "latest"
"""What users write for the run that was asked for last."""
ORDER = [("number", "descending"), ("started_at", "descending"), ("attempt", "descending")]
"""Of attempts, the latest first: by their number, since a clock may go back; nulls are those before numbers."""
_ID = re.compile(r"\w{1,64}", re.ASCII)
_MOST = 8
"""Runs that are listed where several may be meant."""


def choose_run(manifest: Manifest, run: str | None) -> str | None:
    """The run meant by an id, a label, a dataset's name, the beginning of an id, or `latest`, which nothing means, too.

    None where nothing was run yet. Raises C032 for one that is not there, or where several begin so.
    """
    runs = manifest.read("runs")
    every_run = runs.column("run").to_pylist()
    names = dict(zip(every_run, runs.column("name").to_pylist(), strict=True))
    if run is None or (run == LATEST and LATEST not in names.values()):
        return _latest(manifest, runs)
    labels = labelled_runs(manifest)
    if run in names:
        return run
    if labels.get(run) in names:
        return labels[run]
    named = runs.filter(pc.equal(runs.column("name"), run)).sort_by([("created_at", "ascending")])
    matches = named.column("run").to_pylist()[-1:] or sorted(item for item in every_run if item.startswith(run))
    if not matches and _ID.fullmatch(run):  # else no file is named so, and none is to be looked for
        manifest.refuse_damaged(run)
    if len(matches) == 1:
        return str(matches[0])
    of_run = {
        item: [name, *(label for label, labelled in labels.items() if labelled == item)] for item, name in names.items()
    }
    several = [f"{item} ({', '.join(of_run[item])})" for item in matches[:_MOST]]
    several += [f"{len(matches) - _MOST} more"] if len(matches) > _MOST else []
    what = "is not in this workspace" if not matches else f"may be any of {', '.join(several)}"
    listed = command('sql "SELECT run, name, status FROM runs"', manifest.store.root)
    raise CurationError(Finding("C032", f"run '{run}' {what}", f"list them: {listed}"))


def two_meanings(manifest: Manifest, run: str, name: str, label: str | None) -> str | None:
    """A sentence where what a run is called, by its label or its dataset's name, means another run, too."""
    if label is not None and label in {name, *manifest.read("runs").column("name").to_pylist()}:
        return f"'{label}' is a dataset's name, too: from now on `--run {label}` is run {run}, which has it for a label"
    other = labelled_runs(manifest).get(name)
    return None if other in (None, run) else f"`--run {name}` is run {other}, which has it for a label"


def _latest(manifest: Manifest, runs: pa.Table) -> str | None:
    """The run that was asked for last: begun, or asked for once more when there was nothing to do."""
    attempts, asked = manifest.read("attempts"), manifest.read("asked")
    asked = asked.filter(pc.is_in(asked.column("run"), runs.column("run")))  # not those of weak-to-strong
    if asked.num_rows:
        last = asked.sort_by([("number", "descending")]).slice(0, 1).to_pylist()[0]
        if last["run"] is not None and (last["after"] or 0) >= attempts_so_far(attempts):
            return str(last["run"])
    if not attempts.num_rows:  # none, or they are damaged
        if not runs.num_rows and manifest.keys("decisions"):
            what = f"{manifest.store.uri('manifest/parts/runs')} is damaged: what runs there were is gone from it"
            raise CurationError(Finding("C048", what, mend(manifest.store.root)))
        return next(iter(runs.sort_by([("created_at", "descending")]).column("run").to_pylist()), None)
    order = pc.sort_indices(attempts, sort_keys=ORDER)
    return str(attempts.column("run")[order[0].as_py()].as_py())


def attempts_so_far(attempts: pa.Table) -> int:
    """The greatest number among attempts; of those without one, which came before numbers, how many there are."""
    return int(pc.max(attempts.column("number")).as_py() or attempts.num_rows)


def labelled_runs(manifest: Manifest) -> dict[str, str]:
    """Run by label: of a label that several runs were given, the last."""
    asked = manifest.read("asked").sort_by([("number", "ascending")])
    pairs = zip(asked.column("label").to_pylist(), asked.column("run").to_pylist(), strict=True)
    return {label: run for label, run in pairs if label is not None}
