"""Where it is known what can be gained, the gap says so (methods.md §3.5 and Corrections)."""

from __future__ import annotations

import pytest
from weak_to_strong.simulate import run


def test_a_student_on_clean_features_recovers_most_of_the_gap() -> None:
    gaps = [run("clean", number) for number in range(5)]
    for gap in gaps:
        assert gap.recovered is not None
        assert 0.82 <= gap.recovered.value <= 0.94
        assert abs(gap.weak.value - 0.668) < 0.015
        assert abs(gap.student.value - 0.846) < 0.015
        assert abs(gap.ceiling.value - 0.870) < 0.01


@pytest.mark.long
def test_a_student_on_the_supervisors_view_gains_nothing_and_the_gap_is_not_identifiable() -> None:
    gaps = [run("same view", number) for number in range(100)]
    assert sum(gap.recovered is None for gap in gaps) >= 80
    assert 0 < sum(gap.attainable.value for gap in gaps) / 100 < 0.006
    assert all(abs(gap.gained.value) < 0.003 for gap in gaps)


def test_a_student_of_permuted_labels_loses() -> None:
    for number in range(3):
        gap = run("permuted", number)
        assert gap.recovered is not None
        assert gap.recovered.high < 0
        assert abs(gap.student.value - 0.5) < 0.08
