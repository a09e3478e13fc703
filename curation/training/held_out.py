"""How well a scorer does on examples that it has not seen, beside what length alone achieves there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.statistics import metrics
from curation.statistics.metrics import Interval, bootstrap
from curation.training.cut import curve
from curation.training.examples import Examples, Floats, Task


def figures_on(
    scores: Floats,
    learned_from: Examples,
    held: Examples,
    groups: NDArray[np.int64],
    task: Task,
    cut: float,
    keep_from: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Figures on the held-out examples: rankings, each beside what the number of words achieves, and what keeping from
    the score `keep_from` on comes to."""
    say("measuring on the held-out examples")
    scores = np.where(np.isnan(scores), np.nanmean(scores), scores)  # without a known word: as good as any
    y, good = held.target, held.target >= cut
    length = _words(held)
    turn = -1.0 if metrics.spearman(_words(learned_from), learned_from.target) < 0 else 1.0
    named: dict[str, tuple[Callable[[NDArray[np.int64]], float], Callable[[NDArray[np.int64]], float] | None]] = {}
    if task in ("ordinal", "regression"):
        named["spearman"] = (
            lambda rows: metrics.spearman(scores[rows], y[rows]),
            lambda rows: metrics.spearman(turn * length[rows], y[rows]),
        )
    if 0 < good.sum() < len(good):
        named["accuracy" if task == "pairwise" else "auc"] = (
            lambda rows: _auc(scores[rows], good[rows]),
            lambda rows: _auc(turn * length[rows], good[rows]),
        )
        if task == "pairwise":
            named["accuracy"] = (
                lambda rows: float(np.mean((scores[rows] >= cut) == good[rows])),
                lambda rows: float(np.mean((turn * length[rows] >= 0) == good[rows])),
            )
        else:
            kept = scores >= keep_from
            named["f1"] = (lambda rows: metrics.f1(kept[rows], good[rows]), None)
            named["precision"] = (lambda rows: _share(good[rows][kept[rows]]), None)
            named["recall"] = (lambda rows: _share(kept[rows][good[rows]]), None)
            named["share_kept"] = (lambda rows: float(kept[rows].mean()), None)
    if task in ("binary", "pairwise"):
        named["calibration_error"] = (lambda rows: metrics.calibration_error(scores[rows], y[rows]), None)
    if task in ("ordinal", "regression"):
        named["mean_absolute_error"] = (lambda rows: float(np.abs(scores[rows] - y[rows]).mean()), None)
    figures: dict[str, Any] = {}
    for name, (ours, baseline) in named.items():
        figures[name] = _plain(bootstrap(ours, groups))
        if baseline is not None:
            figures[f"{name}_of_length"] = _plain(bootstrap(baseline, groups))
            gain: Callable[[NDArray[np.int64]], float] = lambda rows, a=ours, b=baseline: a(rows) - b(rows)  # type: ignore[misc]  # noqa: E731
            figures[f"{name}_gain_over_length"] = _plain(bootstrap(gain, groups))
    report: dict[str, Any] = {"held_out": figures, "share_of_good_examples": float(good.mean())}
    if task != "pairwise" and 0 < good.sum() < len(good):
        report["curve"] = curve(scores, good)
    if held.annotators is not None:
        report["ceiling"] = {"annotators_with_the_others": agreement(held.annotators)}
    return report


def agreement(labels: Floats) -> float:
    """Mean rank correlation of each annotator, [n, annotators], with the mean of the others: what a scorer may reach.

    NaN is no label; rows that the annotator or all others left out do not count.
    """
    correlations = []
    for rater in range(labels.shape[1]):
        others = np.delete(labels, rater, axis=1)
        there = ~np.isnan(labels[:, rater]) & ~np.isnan(others).all(axis=1)
        if there.sum() > 1:
            correlations.append(metrics.spearman(labels[there, rater], np.nanmean(others[there], axis=1)))
    return float(np.mean(correlations)) if correlations else float("nan")


def words_of(text: pa.LargeStringArray) -> Floats:
    """Words at white space, float64 [n]."""
    words = pc.list_value_length(pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text)))
    return np.asarray(words.to_numpy(zero_copy_only=False), dtype=np.float64)


def _words(examples: Examples) -> Floats:
    """Words at white space; of pairs, how many more the first has."""
    first = words_of(examples.text)
    return first if examples.other is None else first - words_of(examples.other)


def _auc(scores: Floats, good: NDArray[np.bool_]) -> float:
    return metrics.auc(scores, good) if 0 < good.sum() < len(good) else float("nan")


def _share(which: NDArray[np.bool_]) -> float:
    return float(which.mean()) if len(which) else float("nan")


def _plain(found: Interval) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in found._asdict().items()}


def figure_name(task: Task) -> str:
    return "rank correlation" if task in ("ordinal", "regression") else "AUC"


def main_figure(scores: Floats, y: Floats, task: Task, cut: float) -> float:
    """What a way of learning is chosen by: rank correlation, of two classes and of pairs the area under the curve."""
    scored = ~np.isnan(scores)
    if task in ("ordinal", "regression"):
        return metrics.spearman(scores[scored], y[scored])
    good = y[scored] >= cut
    return metrics.auc(scores[scored], good) if 0 < good.sum() < len(good) else 0.0
