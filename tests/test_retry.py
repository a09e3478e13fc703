"""How long is waited before a service is asked again."""

from __future__ import annotations

from curation.retry import pause


def test_pauses_double_up_to_the_most_and_no_two_callers_wait_the_same() -> None:
    for attempt, most in enumerate([0.5, 1.0, 2.0, 3.0, 3.0]):
        found = {pause(attempt, 0.5, 3.0) for _ in range(50)}
        assert len(found) > 1
        assert most / 2 <= min(found) <= max(found) <= most
