"""The longest run of words that two texts share, against every run of one looked for in the other."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.common_run import common_runs

WORDS = st.lists(st.sampled_from(["a", "b", "Äb", "σ9", "über-", ", ", "—"]), max_size=25).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=5)


def words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[^\W_]+", text)]


def longest(text: str, other: str) -> int:
    ours, theirs = words(text), words(other)
    runs = {tuple(theirs[i:j]) for i in range(len(theirs)) for j in range(i + 1, len(theirs) + 1)}
    return max(
        (j - i for i in range(len(ours)) for j in range(i + 1, len(ours) + 1) if tuple(ours[i:j]) in runs), default=0
    )


@settings(deadline=None)  # the first call compiles
@given(PAIRS)
def test_it_is_what_looking_for_every_run_finds(pairs: list[tuple[str, str]]) -> None:
    ours, theirs = (pa.array([pair[side] for pair in pairs], pa.large_string()) for side in (0, 1))
    found = common_runs(ours, theirs)
    assert found.words.tolist() == [len(words(text)) for text, _ in pairs]
    assert found.longest.tolist() == [longest(*pair) for pair in pairs]


def test_long_runs_slices_and_nulls() -> None:
    draw = np.random.default_rng(0)
    many = [f"w{number}" for number in draw.integers(0, 50, 200_000)]
    copied = ["start", *many[70_000:130_000], "end"]
    ours = pa.array(["x", " ".join(copied), None], pa.large_string()).slice(1)
    theirs = pa.array(["x", " ".join(many), "x"], pa.string()).slice(1)
    found = common_runs(ours, theirs)
    assert found.longest.tolist() == [60_000, 0]
    assert found.words.tolist() == [60_002, 0]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 texts, but 1"):
        common_runs(pa.array(["a", "b"]), pa.array(["a"]))
