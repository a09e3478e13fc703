"""Whoever reads documents again sees what the stage saw: files of both formats, gates, edits, samples."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import registry
from curation.flow.documents import edited_anew, rows_at, source_rows, wanted_columns
from curation.flow.objects import scorer_object
from curation.flow.score_index import Shards
from curation.scorers.base import Scorer, Settings
from pipelines.planning.resolve import resolve_recorded
from pipelines.workspace import Workspace

ROWS = 120
NAMES = ["text", "id", "weight"]
WORDS = "the sea and a harbour of ships in the long rain with many small lights on every quay".split()  # noqa: SIM905
LINES = ("We use cookie policy notices.", "Write to jane@example.org or to +1 212 555 0187.", "Plain {", "Voilà.")


class WitnessSettings(Settings):
    name: str


class Witness(Scorer):
    """Takes note of all that it is given."""

    kind = "witness"
    Settings = WitnessSettings
    reads = ("text", "id", "weight")
    numbers = ("weight",)
    seen: ClassVar[defaultdict[str, list[dict[str, Any]]]] = defaultdict(list)

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("value", pa.float64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.seen[self.settings.name] += batch.to_pylist()
        return pa.RecordBatch.from_pydict({"value": batch.column("weight")})


def corpus(folder: Path, seed: int) -> Path:
    """Two files of documents with lines that transforms take away, blanks, nulls, copies and a line that is no JSON."""
    folder.mkdir()
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(ROWS):
        lines = [" ".join(draw.choice(WORDS, int(draw.integers(3, 20)))) + "." for _ in range(int(draw.integers(1, 6)))]
        lines[1:1] = draw.choice(LINES, int(draw.integers(0, 3))).tolist()
        text = ["\n".join(lines), "", "  ", None][int(draw.choice(4, p=[0.9, 0.04, 0.03, 0.03]))]
        weight = None if number % 13 == 5 else float(draw.integers(0, 100))
        rows.append({"body": text, "key": f"k{number}", "w": weight})
    for number in range(0, 40, 5):
        rows[60 + number]["body"] = rows[number]["body"]
    pq.write_table(pa.Table.from_pylist(rows[:70]), folder / "a.parquet", row_group_size=11)
    broken = "{no json\n"
    lines = [json.dumps(row) + "\n" for row in rows[70:]]
    (folder / "b.jsonl").write_text("".join([*lines[:9], broken, *lines[9:]]))
    return folder


@pytest.mark.parametrize(("seed", "sample"), [(1, None), (2, None), (3, 50)])
def test_a_stage_s_documents_are_read_again_as_it_saw_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, sample: int | None
) -> None:
    monkeypatch.setitem(registry.BUILTIN["scorer"], "witness", f"{__name__}:Witness")
    Witness.seen.clear()
    recipe = {
        "name": "seen",
        "input": {
            "path": str(corpus(tmp_path / "in", seed)),
            "columns": {"text": "body", "id": "key", "weight": "w"},
            "shard_bytes": 2500,
        },
        "errors": {"documents": 1},
        "stages": [
            {"scorer": "witness", "id": "raw", "name": "raw", "keep": "raw.value > 8"},
            {"transform": "redact-pii", "id": "pii"},
            {"scorer": "witness", "id": "redacted", "name": "redacted"},
            {"transform": "remove-lines", "id": "lines", "profile": "c4@datatrove"},
            {"scorer": "witness", "id": "cut", "name": "cut", "keep": "cut.value < 95"},
            {"dedup": "exact"},
            {"scorer": "witness", "id": "last", "name": "last"},
        ],
    }
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe, executor="local", workers=2, sample=sample)
    assert result.outcome == "done", result.failures
    plan = resolve_recorded(workspace.manifest, result.run)
    shards = list(Shards.recorded(workspace.manifest, plan))
    assert len(shards) > 3
    wanted = wanted_columns(plan, NAMES)
    for stage in plan.stages:
        if stage.kind != "witness":
            continue
        reached = workspace.sql(f"SELECT id FROM documents WHERE {stage.id} IS NOT NULL").column(0).to_pylist()
        assert sorted(row["id"] for row in Witness.seen[stage.id]) == sorted(reached)
        again: dict[str, Any] = {}
        for shard in shards:
            rows = np.arange(shard.shard.rows) if shard.sample is None else np.array(shard.sample, dtype=np.int64)
            for documents in rows_at(shard, rows, stage.position, wanted):
                again |= {row["id"]: row for row in documents.batch(NAMES, {"weight"}).to_pylist()}
        assert [again[row["id"]] for row in Witness.seen[stage.id]] == Witness.seen[stage.id]
    texts = [{row["id"]: row["text"] for row in Witness.seen[name]} for name in ("raw", "redacted", "cut", "last")]
    for earlier, later in pairwise(texts[:3]):
        assert any(earlier[name] != text for name, text in later.items()), "nothing was edited"

    # Run anew, transforms do what is stored of them.
    transforms = [scorer_object(stage.steps[-1]) for stage in plan.stages if stage.family == "transform"]
    anew: dict[str, Any] = {}
    for shard in shards:
        for documents in source_rows(shard.shard, np.arange(shard.shard.rows), plan.columns, wanted):
            batch = documents.batch(NAMES, {"weight"})
            for transform in transforms:
                batch = edited_anew(transform, batch)
            anew |= {row["id"]: row for row in batch.to_pylist()}
    assert [anew[row["id"]] for row in Witness.seen["last"]] == Witness.seen["last"]
