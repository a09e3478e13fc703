"""What is compiled once on a machine is known apart from work."""

from __future__ import annotations

import time

from curation.text import seconds_compiling
from curation.text.compiling import njit


def test_time_of_compiling_is_counted_once_and_calls_are_not() -> None:
    before = seconds_compiling()

    @njit()
    def total(count: int) -> int:
        summed = 0
        for number in range(count):
            summed += number
        return summed

    began = time.perf_counter()
    assert total(10) == 45
    took, compiled = time.perf_counter() - began, seconds_compiling() - before
    assert 0 < compiled <= took
    total(1000)
    assert seconds_compiling() - before == compiled
