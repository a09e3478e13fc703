"""An order that only the lines and the seed decide, however many files the lines go through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.formats.shuffle import BUCKET_BYTES, Shuffle
from schemas.documents import TEXT

LINES = [f"line {n % 900}" for n in range(1000)]


def shuffled(folder: Path, lines: list[str], batch: int = 100, size: int = 0, seed: int = 0) -> list[tuple[int, str]]:
    folder.mkdir()
    shuffle = Shuffle(folder, size, seed)
    for begin in range(0, len(lines), batch):
        part = pa.array(lines[begin : begin + batch], TEXT)
        shuffle.add(np.arange(begin, begin + len(part)), part)
    found = [pair for rows, out in shuffle for pair in zip(rows.tolist(), out.to_pylist(), strict=True)]
    assert list(folder.iterdir()) == []
    return found


@pytest.mark.parametrize("size", [0, 7 * BUCKET_BYTES, 10_000 * BUCKET_BYTES])
def test_neither_batches_nor_buckets_matter(tmp_path: Path, size: int) -> None:
    plain = shuffled(tmp_path / "plain", LINES)
    assert shuffled(tmp_path / "again", LINES, batch=7, size=size) == plain
    assert sorted(row for row, _ in plain) == list(range(1000))
    assert all(LINES[row] == line for row, line in plain)


def test_the_order_of_the_lines_does_not_matter_and_the_seed_does(tmp_path: Path) -> None:
    plain = [line for _, line in shuffled(tmp_path / "plain", LINES)]
    assert [line for _, line in shuffled(tmp_path / "back", LINES[::-1])] == plain
    assert [line for _, line in shuffled(tmp_path / "seed", LINES, seed=1)] != plain
    places = np.array([int(line.split()[1]) for line in plain])
    assert abs(np.corrcoef(places, np.arange(1000))[0, 1]) < 0.1


def test_lines_that_are_left_out_leave_the_others_in_order(tmp_path: Path) -> None:
    some = set(LINES[::3])
    kept = [line for line in LINES if line in some]
    whole = [line for _, line in shuffled(tmp_path / "whole", LINES) if line in some]
    assert [line for _, line in shuffled(tmp_path / "some", kept)] == whole
