"""What is looked at before the first unit of a run: earlier deaths, and the class of machine that scored before."""

from __future__ import annotations

import os

import pyarrow as pa
import pyarrow.compute as pc

from curation.manifest.parts import Manifest
from curation.models.hardware import difference, says_libraries
from curation.plan import Plan
from pipelines.running.attempts import alive
from schemas.errors import CurationError, Finding


def deaths(manifest: Manifest, run: str) -> str | None:
    """A line about attempts of this machine that died: where units run in this process, a document that kills it ends
    the run each time anew, and Ray would find it."""
    ended = set(manifest.read("ends").column("attempt").to_pylist())
    here = [row for row in manifest.where("attempts", run=run).to_pylist() if row["attempt"] not in ended]
    dead = sum(alive(row) is False for row in here)
    if dead == 1:
        return "an attempt at this run died without a word; this one goes on from there"
    elif dead:
        what = f"{dead} attempts at this run died without a word; if it is a document that kills its process, "
        return f"{what}--executor ray finds it and goes on without it"
    return None


def check_hardware(manifest: Manifest, plan: Plan, hardware: str) -> str | None:
    """Raise C036 where models have scored these files on another class of machine; a line where it is not known."""
    heavy = {step.fingerprint for step in plan.steps() if step.heavy}
    files = {shard.fingerprint for shard in plan.shards}
    table = manifest.read("scores")
    if not heavy or not table.num_rows:
        return None
    of_this_run = pc.and_(
        pc.is_in(table.column("fingerprint"), pa.array(sorted(heavy))),
        pc.is_in(table.column("file_fingerprint"), pa.array(sorted(files))),
    )
    stored = set(table.filter(of_this_run).column("hardware").to_pylist())
    apart = [found for line in sorted(stored) if (found := difference(line, hardware))]
    if apart and not os.environ.get("CURATION_MIXED_HARDWARE"):
        theirs, ours = apart[0]
        raise CurationError(
            Finding(
                "C036",
                f"models have scored these files with {theirs}, and this run has {ours}",
                "the scores would differ in the last bits: go on with what began, begin another workspace, or to "
                "mix them set CURATION_MIXED_HARDWARE=1",
            )
        )
    if not all(map(says_libraries, stored)):
        return (
            "some scores here were made before versions of torch and its like were recorded: they are "
            "taken for these versions'; if you have upgraded since, score in another workspace"
        )
    return None
