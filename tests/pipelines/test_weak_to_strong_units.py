"""Units of a weak-to-strong run through an executor: found or made, drained, and what becomes of those that fail."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.store import DamagedFileError, open_store
from pipelines.running.events import Event, Failed, PhaseEnded, UnitEnded
from pipelines.weak_to_strong.phases import Phases, StoppedError
from pipelines.weak_to_strong.units import Unit, UnitOutput, UnitStore
from schemas.errors import CurationError, Finding, Refusal
from workers.local import LocalExecutor

Make = Callable[[], Any]


class Bench:
    """A workspace, two threads, and units whose work a test writes."""

    def __init__(self, folder: Path) -> None:
        store = open_store(folder)
        store.prepare()
        self.units = UnitStore(store, "run")
        self.events: list[Event] = []
        self.phases = Phases(LocalExecutor(2), self.events.append)

    def unit(self, name: str, work: Make = lambda: None, member: str | None = None, heavy: bool = False) -> Unit:
        def make() -> UnitOutput:
            work()
            return UnitOutput(self.units.put_tensors({"name": np.frombuffer(name.encode(), np.uint8)}))

        return Unit("unit", name, f"key-{name}", make, self.units, members=(member,) if member else (), heavy=heavy)

    def committed(self) -> list[str]:
        return self.units.manifest.keys("weak_units")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "ws")
    yield bench
    bench.phases.executor.close()


def raising(failure: BaseException, after: float = 0.0) -> Make:
    def work() -> None:
        time.sleep(after)
        raise failure

    return work


def test_records_come_in_the_order_of_the_units_and_a_second_time_nothing_is_made(bench: Bench) -> None:
    work = [lambda: time.sleep(0.05), lambda: None, lambda: None]
    records = bench.phases.perform("first", [bench.unit(name, do) for name, do in zip("abc", work, strict=True)])
    assert [record["name"] for record in records if record] == ["a", "b", "c"]
    assert sum(isinstance(event, UnitEnded) for event in bench.events) == 3
    assert isinstance(bench.events[-1], PhaseEnded)
    again = bench.phases.perform("again", [bench.unit(name, raising(AssertionError())) for name in "abc"])
    assert [record["data"] for record in again if record] == [record["data"] for record in records if record]
    assert bytes(bench.units.tensors(records[1])["name"]) == b"b"  # type: ignore[arg-type]


def test_of_a_member_the_first_unit_that_failed_is_told_whichever_ended_first(bench: Bench) -> None:
    late, early = raising(ValueError("late"), after=0.1), raising(ValueError("early"))
    units = [bench.unit("a", late, "m"), bench.unit("b", early, "m"), bench.unit("c", member="other")]
    records = bench.phases.perform("units", units)
    assert [record and record["name"] for record in records] == [None, None, "c"]
    assert {member: failure.message for member, failure in bench.phases.left_out.items()} == {
        "m": "unit a: ValueError: late"
    }
    assert [event.failure.code for event in bench.events if isinstance(event, Failed)] == ["R003"]


def test_units_of_a_member_that_failed_are_not_begun(bench: Bench) -> None:
    begun: list[str] = []
    units = [bench.unit("0", raising(ValueError("x")), "m")]
    units += [bench.unit(str(number), lambda: time.sleep(0.02), "other") for number in range(1, 7)]
    units += [bench.unit(str(number), lambda: begun.append("x"), "m") for number in range(7, 9)]
    records = bench.phases.perform("units", units)
    assert begun == []
    assert [index for index, record in enumerate(records) if record is None] == [0, 7, 8]


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (OSError(errno.ENOSPC, "full"), "R005", "no space left"),
        (PermissionError(errno.EACCES, "no"), "R003", "PermissionError"),
        (MemoryError(), "R003", "unit a: not enough memory"),
        (DamagedFileError("ws", "file", "is gone"), "R011", "file is gone"),
    ],
)
def test_a_machine_s_fault_is_no_member_s_and_stops_the_run(
    bench: Bench, failure: Exception, code: str, says: str
) -> None:
    with pytest.raises(StoppedError) as stopped:
        bench.phases.perform("units", [bench.unit("a", raising(failure), "m")])
    assert stopped.value.failure.code == code
    assert says in stopped.value.failure.message
    assert bench.phases.left_out == {}


def test_a_unit_of_no_member_stops_the_run_with_its_own_code(bench: Bench) -> None:
    failure = CurationError(Finding("R009", "copies", "remove one"))
    with pytest.raises(StoppedError) as stopped:
        bench.phases.perform("units", [bench.unit("a", raising(failure)), bench.unit("b")])
    assert (stopped.value.failure.code, stopped.value.failure.hint) == ("R009", "remove one")
    assert stopped.value.failure.trace


@pytest.mark.parametrize(
    ("failure", "message", "hint"),
    [
        (Refusal("too fast", "lower the rate"), "unit a: too fast", "lower the rate; m is left out"),
        (CurationError(Finding("R007", "too large", "less")), "unit a: too large", "less; m is left out"),
        (KeyError("the text of a document"), "unit a: KeyError (at ", "m is left out"),
    ],
)
def test_what_a_member_failed_of_is_told_without_a_document_s_text(
    bench: Bench, failure: Exception, message: str, hint: str
) -> None:
    bench.phases.perform("units", [bench.unit("a", raising(failure), "m")])
    told = bench.phases.left_out["m"]
    assert told.message.startswith(message)
    assert told.hint is not None
    assert told.hint.startswith(hint)
    assert "document" not in told.message + told.trace


def test_networks_run_one_at_a_time(bench: Bench) -> None:
    busy, together = threading.Lock(), []

    def work() -> None:
        together.append(not busy.acquire(blocking=False))
        time.sleep(0.03)
        busy.release()

    bench.phases.perform("units", [bench.unit(name, work, heavy=True) for name in "abcd"])
    assert together == [False] * 4


def test_interrupted_units_under_way_end_and_commit_and_no_other_begins(bench: Bench) -> None:
    under_way = threading.Event()

    def long() -> None:
        under_way.set()
        time.sleep(0.2)

    units = [bench.unit("a"), bench.unit("b", long)]
    units += [bench.unit(name, lambda: time.sleep(0.05)) for name in "cdefghij"]

    def stop(event: Event) -> None:
        if isinstance(event, UnitEnded) and under_way.wait(5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Phases(bench.phases.executor, stop).perform("units", units)
    assert {"key-a", "key-b"} <= set(bench.committed())
    assert len(bench.committed()) < len(units)


def test_a_unit_whose_file_is_damaged_is_made_again(bench: Bench) -> None:
    [record] = bench.phases.perform("units", [bench.unit("a")])
    assert record is not None
    path = bench.units.store.path(record["data"])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError):
        bench.units.tensors(record)
    [again] = bench.phases.perform("units", [bench.unit("a")])
    assert again is not None
    assert again["data"] == record["data"]
    assert bytes(bench.units.tensors(again)["name"]) == b"a"
