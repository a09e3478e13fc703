"""One judgement out of columns that are there already: groups of measurements, other models' scores, and length.

Stacked generalisation (Wolpert 1992) with linear parts. Each group of columns is made one score first, by a ridge head
of its own; a learned member is one already. All of them are scores of examples that their makers had not seen. A head
on these scores, shrunk towards equal weights rather than towards none, is the stack; multiplied out, it is one weight
for each column. A group without which the stack does better is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.statistics.metrics import bootstrap
from curation.training.examples import Floats, Task
from curation.training.held_out import figure_name, main_figure
from curation.training.linear import Linear, best_head
from curation.training.logistic import sigmoid
from schemas.errors import Refusal

LENGTH = "length"
PLAIN, LOG, LOGIT, LOG_SQUARED = range(4)
"""How a column is read: as it is, log(1 + x / unit), log(x / (1 - x)), or log(1 + x)²."""
EDGE = 0.01
"""Values beyond these quantiles of a column count as the quantiles: one odd page moves no weight."""
SKEWED = 3.0
"""Columns without negative values whose highest is above so many times their median are read on a log scale."""
EQUAL = 10.0
"""How much cheaper, in the penalty, weight is that all groups have alike."""
HARM = 0.002
"""What a group has to take from the figure to be left out. One that adds little stays: on few examples its gain is not
told from luck, and stacks without it did worse on others."""
SURE = 1e-5
"""Probabilities are kept so far from 0 and 1."""


@dataclass(frozen=True)
class Columns:
    """How columns become numbers about 0: arrays [k]. A missing value is the mean, 0."""

    reading: NDArray[np.int64]
    low: Floats
    high: Floats
    unit: Floats
    centre: Floats
    spread: Floats
    """0 of a column that says nothing."""

    @classmethod
    def fit(cls, X: Floats, reading: NDArray[np.int64] | None = None) -> Columns:
        """Of raw values [n, k], NaN where there is none. `reading` default: plain, or log where values are skewed."""
        count = X.shape[1]
        bounds = np.zeros((2, count))
        unit, chosen = np.ones(count), np.zeros(count, np.int64)
        for column in range(count):
            values = X[:, column][~np.isnan(X[:, column])]
            if not len(values):
                continue
            bounds[:, column] = np.quantile(values, [EDGE, 1 - EDGE])
            above = values[values > 0]
            if len(above) and values.min() >= 0 and bounds[1, column] > SKEWED * np.median(values):
                chosen[column], unit[column] = LOG, np.median(above)
        if reading is not None:
            chosen, unit = reading, np.ones(count)
        columns = cls(chosen, bounds[0], bounds[1], unit, np.zeros(count), np.ones(count))
        read = columns.read(X)
        valued = ~np.isnan(read)
        number = np.maximum(valued.sum(axis=0), 1)
        centre = np.where(valued, read, 0).sum(axis=0) / number
        spread = np.sqrt(np.where(valued, (read - centre) ** 2, 0).sum(axis=0) / number)
        return cls(
            chosen, bounds[0], bounds[1], unit, centre, np.where(spread > 1e-9 * (1 + np.abs(centre)), spread, 0.0)
        )

    def read(self, X: Floats) -> Floats:
        clipped = np.clip(X, self.low, self.high)
        out = clipped.copy()
        for column in np.flatnonzero(self.reading):
            values = clipped[:, column]
            if self.reading[column] == LOGIT:
                values = np.clip(values, SURE, 1 - SURE)
                out[:, column] = np.log(values / (1 - values))
            else:
                out[:, column] = np.log1p(np.maximum(values, 0) / self.unit[column])
                if self.reading[column] == LOG_SQUARED:
                    out[:, column] **= 2
        return out

    def __call__(self, X: Floats) -> Floats:
        scaled = (self.read(X) - self.centre) / np.where(self.spread > 0, self.spread, 1)
        return np.where(np.isnan(scaled) | (self.spread == 0), 0.0, scaled)

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {name: np.asarray(getattr(self, name)) for name in Columns.__dataclass_fields__}

    @classmethod
    def beside(cls, parts: list[Columns]) -> Columns:
        joined = (np.concatenate([getattr(part, name) for part in parts]) for name in Columns.__dataclass_fields__)
        return cls(*joined)


@dataclass(frozen=True)
class Group:
    """Columns that are judged as one."""

    name: str
    fields: list[tuple[str, str]]
    """Member and column of each."""
    X: Floats
    """Raw values of the examples, [n, k], NaN for none; of a learned member by models that did not see them."""
    reading: NDArray[np.int64] | None = None
    learned: bool = False
    """Whether it is one score that a member learned, rather than measurements."""


@dataclass(frozen=True)
class Stack:
    """What `curation.scorers.stack` runs."""

    task: Task
    fields: list[tuple[str, str, str]]
    """Group, member and column of each weight."""
    columns: Columns
    weight: Floats
    bias: float

    def scores(self, X: Floats) -> Floats:
        """Of raw values [n, columns]."""
        return judged(self.columns(X), self.weight, self.bias, self.task)

    def tensors(self) -> dict[str, NDArray[Any]]:
        return {**self.columns.tensors(), "weight": self.weight, "bias": np.array([self.bias])}

    def settings(self) -> dict[str, Any]:
        return {"columns": [list(field) for field in self.fields]}


def judged(Z: Floats, weight: Floats, bias: float, task: Task) -> Floats:
    """A probability, or a number, of scaled values [n, columns]."""
    logits = (Z * weight).sum(axis=1) + bias
    return sigmoid(logits) if task == "binary" else logits


@dataclass(frozen=True)
class _Judgement:
    """A group's one score, linear in its scaled columns: weight, bias, and the score of each example by others."""

    group: Group
    columns: Columns
    weight: Floats
    bias: float
    unseen: Floats


def best_stack(
    groups: list[Group],
    y: Floats,
    clusters: NDArray[np.int64],
    task: Task,
    cut: float,
    say: Callable[[str], None],
) -> tuple[Stack, dict[str, Any], Floats]:
    """The stack of the groups that it needs, how it was made, and its scores [n] of examples by models that did not see
    them. `task` binary or regression; one group is called LENGTH.

    Raises ValueError where it is not shown to know more than length, or where one group alone does as well.
    """

    def quiet(line: str) -> None:
        """Penalties of parts are of no interest."""

    judgements = [_judge(group, y, clusters, task, cut, quiet) for group in groups]
    alone = {item.group.name: main_figure(item.unseen, y, task, cut) for item in judgements}
    for name, figure in alone.items():
        say(f"{name} alone: {figure_name(task)} {figure:.3f} on examples that it did not see")

    def attempt(several: list[_Judgement]) -> tuple[Linear, dict[str, Any], Floats]:
        return best_head(_scaled(several), y, clusters, task, cut, quiet)

    chosen = list(judgements)
    best = attempt(chosen)
    left_out = []
    while len(chosen) > 1:
        fewer = [[other for other in chosen if other is not item] for item in chosen]
        tried = [attempt(several) for several in fewer]
        least = max(range(len(tried)), key=lambda number: tried[number][1]["figure"])
        if tried[least][1]["figure"] <= best[1]["figure"] + HARM:
            break
        left_out.append(chosen[least].group.name)
        say(f"without {left_out[-1]}: {figure_name(task)} {tried[least][1]['figure']:.3f}, better")
        chosen, best = fewer[least], tried[least]
    linear, how, unseen = best
    say(f"{' + '.join(item.group.name for item in chosen)}: {figure_name(task)} {how['figure']:.3f}")

    def difference(one: Floats, other: Floats) -> dict[str, float]:
        ahead = bootstrap(
            lambda r: main_figure(one[r], y[r], task, cut) - main_figure(other[r], y[r], task, cut), clusters
        )
        return {name: 0.0 if np.isnan(value) else value for name, value in ahead._asdict().items()}

    length = next(item for item in judgements if item.group.name == LENGTH)
    gain = difference(unseen, length.unseen)
    if not gain["low"] > 0:
        raise Refusal(
            f"the columns are not shown to add to length: {figure_name(task)} {how['figure']:.3f} where length has "
            f"{alone[LENGTH]:.3f}, a gain of {gain['value']:.3f} [{gain['low']:.3f}, {gain['high']:.3f}]",
            "give more examples, or other columns",
        )
    single = max((item.group for item in judgements), key=lambda group: alone[group.name])
    if alone[single.name] >= how["figure"]:
        way = f"the method {single.name}" if single.learned else f"a gate on the columns of {single.name}"
        raise Refusal(f"{single.name} alone does as well as all columns together", f"use {way}")
    adds = {
        item.group.name: {
            "alone": alone[item.group.name],
            "adds_to_length": None if item is length else difference(attempt([length, item])[2], length.unseen),
            "kept": item in chosen,
        }
        for item in judgements
    }
    facts = {**how, "groups": adds, "left_out": left_out, "gain_over_length": gain}
    return _multiplied_out(linear, chosen, task), facts, unseen


def _judge(
    group: Group, y: Floats, clusters: NDArray[np.int64], task: Task, cut: float, say: Callable[[str], None]
) -> _Judgement:
    columns = Columns.fit(group.X, group.reading)
    Z = columns(group.X)
    if group.learned:
        return _Judgement(group, columns, np.ones(1), 0.0, Z[:, 0])
    linear, _, unseen = best_head(Z, y, clusters, task, cut, say)
    if task == "binary":
        unseen = np.clip(unseen, SURE, 1 - SURE)
        unseen = np.log(unseen / (1 - unseen))
    return _Judgement(group, columns, linear.weight, float(linear.bias[0]), np.where(np.isnan(unseen), 0, unseen))


def _scaled(judgements: list[_Judgement]) -> Floats:
    """Their scores about 0 with spread 1 [n, groups], and the mean of these, which weighs little in a penalty."""
    scores = np.stack([(item.unseen - item.unseen.mean()) / _spread(item.unseen) for item in judgements], axis=1)
    return np.concatenate([scores, EQUAL * scores.mean(axis=1, keepdims=True)], axis=1)


def _spread(scores: Floats) -> float:
    return float(scores.std()) or 1.0


def _multiplied_out(linear: Linear, chosen: list[_Judgement], task: Task) -> Stack:
    """A weight for each column."""
    shares = linear.weight[:-1] + EQUAL * linear.weight[-1] / len(chosen)
    weights, bias = [], float(linear.bias[0])
    for share, item in zip(shares, chosen, strict=True):
        factor = share / _spread(item.unseen)
        weights.append(factor * item.weight)
        bias += factor * (item.bias - item.unseen.mean())
    fields = [(item.group.name, *field) for item in chosen for field in item.group.fields]
    return Stack(task, fields, Columns.beside([item.columns for item in chosen]), np.concatenate(weights), bias)
