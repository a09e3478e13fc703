"""What the library counts in a process, for whoever publishes it."""

from __future__ import annotations

from pathlib import Path

from curation import tally
from curation.manifest.parts import Manifest
from curation.store import open_store


def test_a_commit_and_a_lost_race_are_counted_by_kind_and_taken_once(tmp_path: Path) -> None:
    tally.take()
    first, second = Manifest(open_store(tmp_path)), Manifest(open_store(tmp_path))
    assert first.commit("failures", "a", [])
    assert not second.commit("failures", "a", [])
    assert first.commit("runs", "a", [])
    assert tally.take() == {
        (tally.COMMITS, "failures"): 1,
        (tally.LOST, "failures"): 1,
        (tally.COMMITS, "runs"): 1,
    }
    assert tally.take() == {}
