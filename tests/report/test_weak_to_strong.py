"""What people are told of a weak-to-strong run: a gap only where it may be, and no mark-up from data."""

from __future__ import annotations

import pytest
from weak_reports import GAP, INTERVAL, report, student

from curation.report.weak_to_strong import html, lines, shown, student_lines
from pipelines.weak_to_strong.report import share


def test_a_gap_that_is_not_identifiable_is_said_so_and_never_as_a_number() -> None:
    assert student_lines(student())[1] == "gap recovered: 0.500 [0.200, 0.900]"
    hidden = student(gap={**GAP, "recovered": None, "identifiable": False, "reason": "the ceiling is not above"})
    assert student_lines(hidden)[1] == "gap recovered: not identifiable: the ceiling is not above"
    none = student(gap=None, no_gap_because="no gold", accuracy=None)
    assert student_lines(none) == ["student 'head', 3 seeds: no gold"]


def test_one_seed_has_no_interval() -> None:
    assert shown({"value": 0.5, "low": None, "high": None}) == "0.500"


def test_names_and_messages_are_text_on_the_page() -> None:
    page = html(report(students=[student()]))
    assert "<b>" not in page
    assert "<i>" not in page
    assert "a &amp; b" in page
    assert "x: ValueError: &lt;i&gt;" in page
    assert "0.30 (c)" in page


def test_without_gold_the_terminal_tells_estimates_and_who_was_left_out() -> None:
    said = lines(report())
    assert "no gold to test on: estimated accuracies only: <b> 0.700" in said
    assert said[-1] == "left out: x: ValueError: <i>"
    assert not any("gap" in line for line in said)


def test_an_accuracy_stands_beside_its_counts_and_its_coverage() -> None:
    labels = report()["labels"] | {
        "accuracy": INTERVAL, "majority": 0.6, "right": 80, "labelled_rows": 100, "test_rows": 160,
        "accuracy_with_guesses": 0.7, "abstained": 40, "tied": 20, "ece_before": 0.1, "ece": 0.1, "brier": 0.2,
    }  # fmt: skip
    said = lines(report(labels=labels))
    assert said[1:3] == [
        "weak labels: accuracy 0.800 [0.750, 0.850] of labelled rows, largest class 0.600",
        "80 of 100 labelled test rows are right; 100 of 160 test rows with gold are labelled;"
        " with the commonest label for all others, accuracy 0.700 of all",
    ]
    for words in ("80 of 100", "100 of 160", "40 nobody voted on, 20 between two classes", "0.700"):
        assert words in html(report(labels=labels))
    none = {**labels, "accuracy": None, "right": 0, "labelled_rows": 0, "accuracy_with_guesses": None}
    assert "weak labels: none of the 160 test rows with gold has one: no accuracy" in lines(report(labels=none))


def test_a_share_has_an_interval_inside_of_it() -> None:
    for values, right, rows in (
        ([1.0, 0.99, 1.0], 10, 10),
        ([0.01, 0.0, 0.0], 0, 9),
        ([1.0], 10, 10),
        ([0.5] * 3, 5, 10),
    ):
        found = share(values, right, rows)
        assert found is not None
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1  # type: ignore[operator]
    assert share([1.0, 1.0], 10, 10) == {"value": 1.0, "low": pytest.approx(0.6915, abs=1e-4), "high": 1.0}
    assert share([0.45, 0.9], 9, 20) == {"value": pytest.approx(0.675), "low": None, "high": None}
    assert share([None], 0, 0) is None


def test_why_there_is_no_gain_is_said_in_words() -> None:
    copied = {"student_repeats_where_weak_is_wrong": 0.78, "ceiling_repeats_where_weak_is_wrong": 0.18}
    none = student(gap={**GAP, "gained": {"value": -0.01, "low": -0.05, "high": 0.03}}, errors=copied)
    [*_, words] = student_lines(none)
    assert words.startswith(
        "in words: the student cannot be told from its labels, -0.010 [-0.050, 0.030]: where a label"
    )
    assert "repeats it in 78% of rows (taught with gold, in 18%)" in words
    assert "Take another encoder" in html(report(students=[none]))
    [*_, words] = student_lines(
        student(gap={**GAP, "gained": {"value": 0.18, "low": -0.09, "high": 0.45}}, errors=copied)
    )
    assert words.endswith("0.180 [-0.090, 0.450]: its 3 seeds differ too much. Take more")
    [*_, words] = student_lines(student(gap={**GAP, "gained": {"value": 0.1, "low": 0.05, "high": 0.15}}))
    assert words == "in words: the student is better than its labels, by 0.100 [0.050, 0.150]"
