"""How long an answer takes while a threshold of `curate ui` moves, and the memory that it takes, over a made-up run.

    python benchmarks/slider.py 1000000 10000000

One line a size, as JSON: documents, seconds to take the decisions into memory, bytes there, seconds of an answer about
one gate and about two at once (median and most of 20, each at another threshold), and the same as `curate what-if`
takes them from the files. Numbers are compared with what-if's.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.manifest.parts import now
from pipelines.ui.open_runs import OpenRuns
from pipelines.ui.slider import Sliders
from pipelines.workspace import Workspace
from schemas.documents import STATUS
from schemas.manifest import DECISION

RUN = "0123456789abcdef"
SHARD_ROWS = 250_000
STAGES = {
    "input": ("input", None, [pa.field("bytes", pa.int64())]),
    "language": (
        "language",
        "language.lang = 'en' and language.prob > 0.65",
        [pa.field("lang", pa.string()), pa.field("prob", pa.float32())],
    ),
    "gopher": (
        "rules",
        "gopher.words >= 50 and gopher.alpha_words_ratio >= 0.6 and gopher.stop_words >= 2",
        [
            pa.field("words", pa.int32()),
            pa.field("alpha_words_ratio", pa.float64()),
            pa.field("stop_words", pa.int32()),
        ],
    ),
}


def make_workspace(folder: Path, documents: int) -> Workspace:
    """A run of made-up scores, decided as its gates say."""
    workspace = Workspace(folder)
    workspace.create()
    manifest = workspace.manifest
    moment, generator = now(), np.random.default_rng(0)
    record = {"run": RUN, "name": "made-up", "recipe": "name: made-up\n", "recipe_dir": "/", "rows": documents}
    manifest.commit("runs", RUN, [{**record, "created_at": moment}])
    manifest.commit(
        "stages",
        RUN,
        [
            {
                "run": RUN, "position": position, "stage": stage, "family": "input" if not position else "scorer",
                "kind": kind, "settings": "{}", "keep": keep, "fingerprint": stage * 4, "version": 1,
                "fields": pa.schema([*fields, pa.field("status", STATUS)]).serialize().to_pybytes(),
            }
            for position, (stage, (kind, keep, fields)) in enumerate(STAGES.items())
        ],
    )  # fmt: skip
    starts = range(0, documents, SHARD_ROWS)
    manifest.commit(
        "shards",
        RUN,
        [
            {
                "run": RUN, "shard": shard, "file": shard, "file_no": shard, "path": f"/{shard}.parquet",
                "source": "web", "fingerprint": f"f{shard}", "row_start": 0,
                "rows": min(SHARD_ROWS, documents - start), "bytes": 1,
            }
            for shard, start in enumerate(starts)
        ],
    )  # fmt: skip
    for shard, start in enumerate(starts):
        rows = min(SHARD_ROWS, documents - start)
        table, tally = _decide(generator, rows)
        name = f"decisions/{RUN}/{shard:08d}.parquet"
        file = workspace.store.path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, file)
        kept = tally[None]
        entries = [
            {"stage": stage, "outcome": "dropped", "reason": "made up", "rows": count} for stage, count in tally.items()
        ]
        entries[-1] |= {"outcome": "kept", "reason": None}
        manifest.commit(
            "decisions",
            f"{RUN}-{shard:08d}",
            [
                {
                    "run": RUN, "shard": shard, "attempt": "a", "data": name, "rows": rows, "kept": kept,
                    "dropped": rows - kept, "errored": 0, "bytes": file.stat().st_size, "tally": entries,
                    "created_at": moment,
                }
            ],
        )  # fmt: skip
    return workspace


def _decide(generator: np.random.Generator, rows: int) -> tuple[pa.Table, dict[str | None, int]]:
    english = generator.random(rows) < 0.8
    prob = generator.random(rows, np.float32)
    words, stop_words = generator.integers(0, 1000, rows), generator.integers(0, 20, rows)
    ratio = generator.random(rows)
    reached = english & (prob > 0.65)
    kept = reached & (words >= 50) & (ratio >= 0.6) & (stop_words >= 2)
    tally = {"language": int((~reached).sum()), "gopher": int((reached & ~kept).sum()), None: int(kept.sum())}
    ok = pa.repeat("ok", rows)
    structs = {
        "input": _struct([pa.array(np.ones(rows, np.int64)), ok], ["bytes", "status"]),
        "language": _struct([pa.array(np.where(english, "en", "de")), pa.array(prob), ok], ["lang", "prob", "status"]),
        "gopher": _struct(
            [pa.array(words, pa.int32()), pa.array(ratio), pa.array(stop_words, pa.int32()), ok],
            ["words", "alpha_words_ratio", "stop_words", "status"],
            ~reached,
        ),
    }
    columns = {
        "row": pa.array(np.arange(rows)),
        "outcome": pa.array(np.where(kept, "kept", "dropped")),
        "dropped_by": pa.array(np.where(reached, "gopher", "language"), mask=kept),
    }
    for item in DECISION:
        columns.setdefault(item.name, pa.nulls(rows, item.type))
    return pa.table(columns | structs), tally


def _struct(arrays: list[pa.Array], names: list[str], missing: np.ndarray | None = None) -> pa.Array:
    mask = None if missing is None else pa.array(missing)
    return pa.StructArray.from_arrays(arrays, names, mask=mask)


def measure(documents: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder) / "ws", documents)
        sliders = Sliders(str(workspace.store.root), OpenRuns(str(workspace.store.root)))
        begun = time.monotonic()
        memory = sliders.judge(workspace, RUN, {"gates": {}})["memory"]
        figures: dict[str, object] = {"documents": documents, "load": time.monotonic() - begun, "memory": memory}
        for name, gates in (("one", ["language"]), ("two", ["language", "gopher"])):
            wall, cpu = [], []
            for number in range(20):
                every = {
                    "language": f"language.lang = 'en' and language.prob > {0.5 + number / 50}",
                    "gopher": f"gopher.words >= {60 + number} and gopher.alpha_words_ratio >= 0.6",
                }
                asked = {gate: every[gate] for gate in gates}
                begun, used = time.monotonic(), time.process_time()
                answer = sliders.judge(workspace, RUN, {"gates": asked})
                wall.append(time.monotonic() - begun)
                cpu.append(time.process_time() - used)
            figures[name] = {"median": statistics.median(wall), "most": max(wall), "cpu": statistics.median(cpu)}
            begun = time.monotonic()
            told = workspace.what_if(*asked.values(), run=RUN)
            figures[f"{name} from files"] = time.monotonic() - begun
            by_stage = [(row["rows_in"], row["rows_out"], row["unscored"]) for row in answer["by_stage"]]
            assert by_stage == [(row.rows_in, row.rows_out, row.to_score + row.to_decide) for row in told.stages]
        return figures


if __name__ == "__main__":
    for given in sys.argv[1:] or ["1000000"]:
        print(json.dumps(measure(int(given))))
