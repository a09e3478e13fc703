"""Which document fails is looked for; that a worker was lost is nobody's fault."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from curation.flow.faults import WorkerLostError
from curation.flow.isolate import score_rows
from curation.plan import StageSpec, Step
from schemas.documents import TEXT

STEP = Step("stage", StageSpec("stage", "scorer", "counts"), (), "print", (pa.field("x", pa.int64()),))
TEXTS = pa.RecordBatch.from_pydict({"text": pa.array(["a", "b", "bad", "c", "d"], TEXT)})


def scored(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
    if "bad" in batch.column("text").to_pylist():
        raise ValueError("not this one")
    return pa.RecordBatch.from_pydict({"x": pa.array([1] * batch.num_rows, pa.int64())})


def test_one_document_that_fails_is_an_error_and_the_others_are_scored() -> None:
    raised: Counter[str] = Counter()
    result = score_rows(STEP, TEXTS, scored, raised)
    assert result.column("status").to_pylist() == ["ok", "ok", "error", "ok", "ok"]
    assert result.column("x").to_pylist() == [1, 1, None, 1, 1]
    assert result.column("message").to_pylist()[2] == "ValueError"
    assert sum(raised.values()) == 1


def test_a_lost_worker_is_passed_on_after_one_try() -> None:
    tries = []

    def lost(step: Step, batch: pa.RecordBatch) -> pa.RecordBatch:
        tries.append(batch.num_rows)
        raise WorkerLostError("its node is gone")

    with pytest.raises(WorkerLostError):
        score_rows(STEP, TEXTS, lost)
    assert tries == [5]
