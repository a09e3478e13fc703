"""How far a phase is: counted where units have looked, expected of those that have not, and never taken back."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from curation import progress
from curation.flow import Outcome
from curation.flow.score import Scored
from curation.progress import StoppedError, UnitProgress, counting
from pipelines.running import pace as paces
from pipelines.running.events import Advanced, PhaseStarted
from pipelines.running.pace import Pace, paced
from workers.executor import UnderWay
from workers.local import LocalExecutor


def started(documents: int = 400) -> tuple[Pace, list[Advanced]]:
    """A phase of four shards of 100 documents."""
    told: list[Advanced] = []
    phase = PhaseStarted("score input + quality", 4, "score", documents=documents)
    return Pace(phase, told.append, lambda unit: 100), told  # type: ignore[arg-type]


def test_what_is_to_score_is_expected_of_shards_that_nobody_has_looked_into() -> None:
    pace, told = started()
    pace.watch(UnderWay(((1, UnitProgress(to_score=50, through=10, kept=5)), (2, UnitProgress()))))
    assert (told[-1].documents, told[-1].to_score, told[-1].exact, told[-1].kept) == (10, 200, False, 0.5)
    pace.ended(Outcome(1, Scored(50, 20, {}, 1.0, True, kept=20)))
    for unit in (2, 3):
        pace.ended(Outcome(unit, Scored(100, 100, {}, 1.0, True, kept=100)))
    pace.watch(UnderWay(((4, UnitProgress(to_score=10, part=2.0, weight=8.0, fraction=0.5)),)))
    assert (told[-1].documents, told[-1].to_score, told[-1].exact, told[-1].units) == (256, 260, True, 3)
    assert told[-1].kept == pytest.approx(220 / 250)
    pace.watch(UnderWay(((4, UnitProgress(to_score=10)),)))  # its process died, and it began anew
    assert told[-1].documents == 256
    pace.ended(Outcome(4, Scored(10, 10, {}, 1.0, True, kept=10)))
    pace.finish()
    assert (told[-1].documents, told[-1].to_score, told[-1].under_way) == (260, 260, 0)


def test_a_rate_is_of_late_and_of_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(paces.time, "monotonic", lambda: clock[0])
    pace, told = started(1000)
    pace.rows_of = lambda unit: 1000  # all of it in one shard
    unit = UnitProgress(to_score=1000, step="quality", loading=True)

    def after(seconds: float, documents: int, tokens: int = 0) -> Advanced:
        clock[0] += seconds
        unit.through = documents
        pace.watch(UnderWay(((1, unit),), tokens))
        return told[-1]

    assert after(20.0, 0).loading
    unit.loading = False
    assert after(1.0, 0).documents_per_second == 0
    assert after(10.0, 20).seconds_left is None  # too early to say
    begun = after(10.0, 100, 5000)
    assert begun.documents_per_second == pytest.approx(100 / 21)  # the model took 20 s to open
    assert begun.seconds_left == pytest.approx(900 / (100 / 21))
    for _ in range(40):
        last = after(1.0, unit.through + 20, 5000)
    assert last.documents_per_second == pytest.approx(20, rel=0.05)


def test_what_models_and_slow_code_have_done_of_a_batch_counts() -> None:
    seen: list[float] = []
    counts = UnitProgress(to_score=100, changed=lambda counts: seen.append(counts.scored))
    with counting(counts):
        with progress.working("quality", 80.0):
            progress.expect(1000)
            progress.read(250)
            progress.read(750)
        assert counts.tokens == 1000
        with progress.working("mine", 20.0):
            progress.documents(1, 2)
        assert seen == [0.0, 20.0, 80.0, 0.0, 10.0]
        counts.stopped = True  # the run was interrupted, and the time to drain is over
        with pytest.raises(StoppedError), progress.working("quality", 1.0):
            pass
    progress.read(1)  # where nobody counts, nothing happens


def test_own_code_gets_a_batch_in_pieces_of_about_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.flow import isolate

    class Step:
        name, fingerprint, columns = "mine", "f", pa.schema([("n", pa.int64()), ("status", pa.string())])

    clock, sizes = [0.0], []

    def scoring(step: Any, batch: pa.RecordBatch) -> pa.RecordBatch:
        sizes.append(batch.num_rows)
        clock[0] += 0.01 * batch.num_rows
        return pa.record_batch({"n": batch.column(0)})

    monkeypatch.setattr(isolate.time, "monotonic", lambda: clock[0])
    batch = pa.record_batch({"n": pa.array(range(500))})
    scored = isolate._in_slices(Step(), batch, scoring)  # type: ignore[arg-type]
    assert scored.column("n").to_pylist() == list(range(500))
    assert scored.column("status").to_pylist() == ["ok"] * 500
    assert sizes[0] == isolate.FIRST_SLICE
    assert all(0.01 * size <= 2 * isolate.SLICE_SECONDS for size in sizes)
    assert len(sizes) < 20
    isolate._in_slices(Step(), batch.slice(0, 0), scoring)  # type: ignore[arg-type]
    assert sizes[-1] == 0


def test_what_models_read_in_the_first_second_counts() -> None:
    pace, told = started()
    executor = LocalExecutor(1)
    with paced(executor, pace):
        assert list(executor.run([], [])) == []
    pace.watch(UnderWay((), 700))
    assert told[-1].tokens == 700
