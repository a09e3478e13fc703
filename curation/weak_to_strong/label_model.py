"""What the label probably is, from weak supervisors that vote or abstain, and how often each of them is right.

Four ways, from the plainest on: `majority`; `weighted`, by accuracies that are known; `triplet` (Fu et al. 2020,
arXiv 2002.11955), two classes, in closed form; `em` (Dawid and Skene 1979), any classes, a confusion matrix each. The
last two need no labels but three supervisors or more, which err independently of one another given the truth. A copy
among them ruins it: it looks like an accurate supervisor confirmed. So all four refuse duplicates. What most of the
supervisors have in common cannot be told from the truth without labelled rows; `dependence` takes such.

Equal rows of votes have equal posteriors, so all work is done on the distinct ones, in sorted order: results do not
depend on the order of rows. Sums are made in loops or elementwise, never by BLAS, whose order depends on threads. The
four stand in one file, longer than most, because all of them go over the same distinct rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit
from curation.training.logistic import dot, solve
from schemas.errors import CurationError, Finding

ABSTAIN = -1
TIE = 1e-9
"""Probabilities nearer to one another are equal: sums in another order differ by less."""
DUPLICATE = 0.8
"""Dependence beyond the label from which two supervisors count as one."""
TOLERANCE = 1e-10
"""Gain in log-likelihood a row at which EM ends."""
ROUNDS = 2000
_FLOOR_ROWS, _FLOOR_SHARE = 10, 0.02
"""What of a supervisor's votes is its own in `dependence`, at least: one error in common of two is no proof."""
_TOLD = 5
"""Standard errors by which others must go together before `dependence` tells anything from them."""
_SURE = 1e-6
"""No accuracy is nearer to 0 or 1 than this when votes are weighed: odds stay finite."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Votes:
    """Distinct rows of votes, and which row has which."""

    patterns: NDArray[np.int8]
    """[p, m], classes from 0 on, ABSTAIN for none; sorted."""
    count: NDArray[np.int64]
    """Rows of each pattern, [p]."""
    row: NDArray[np.int64]
    """Pattern of each row, [n]."""
    classes: int
    names: tuple[str, ...]
    """Of the supervisors, [m]."""


@dataclass(frozen=True)
class Combined:
    """What the supervisors say together."""

    posterior: Array
    """P(class | votes), [n, k]."""
    prior: Array
    """P(class), given or estimated, [k]: what a row gets on which all abstain."""
    accuracy: Array
    """P(right | votes) of each supervisor, [m]; NaN where it is not estimated, or could not be told."""
    error: Array
    """Standard error of each accuracy, [m]; right so far as the supervisors err independently."""


def distinct(votes: NDArray[np.int8], classes: int, names: Sequence[str] | None = None) -> Votes:
    """Group equal rows of votes int8 [n, m], with values from -1 (abstains) to classes - 1.

    Raises ValueError where a vote is outside, there is no row or column, or names do not fit.
    """
    if votes.ndim != 2 or 0 in votes.shape or votes.dtype != np.int8:
        raise ValueError(f"votes are int8 [n, m] with a row and a column at least, not {votes.dtype} {votes.shape}")
    if classes < 2 or votes.min() < ABSTAIN or votes.max() >= classes:
        raise ValueError(f"votes lie in {votes.min()} … {votes.max()}, and should in -1 … {classes - 1}")
    names = tuple(names) if names is not None else tuple(str(place) for place in range(votes.shape[1]))
    if len(names) != votes.shape[1]:
        raise ValueError(f"{len(names)} names for {votes.shape[1]} supervisors")
    code, used = np.zeros(len(votes), np.int64), 1
    for column in votes.T:
        if used > np.iinfo(np.int64).max // (classes + 1):  # make room, keep the order
            known, code = np.unique(code, return_inverse=True)
            used = len(known)
        code = code * (classes + 1) + (column - ABSTAIN)
        used *= classes + 1
    _, first, row, count = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    return Votes(np.ascontiguousarray(votes[first]), count, row, classes, names)


def likeliest(p: NDArray[np.floating[Any]]) -> NDArray[np.int8]:
    """The likeliest class of each row of probabilities [n, k]: ABSTAIN where two are equally so, or one is no number.

    To take the first of equals would make an answer of the order in which classes are written.
    """
    most = p.max(axis=1, keepdims=True)
    single = (p >= most - TIE).sum(axis=1) == 1
    return np.where(single & np.isfinite(most[:, 0]), p.argmax(axis=1), ABSTAIN).astype(np.int8)


# --- whether supervisors are several ---------------------------------------------------------------------------------


def agreement(votes: Votes) -> tuple[Array, NDArray[np.int64]]:
    """Share of rows on which two supervisors say the same, of those where both vote, and those rows: [m, m] each.

    NaN where they never vote on one row.
    """
    voted = votes.patterns != ABSTAIN
    both = _products(voted, votes.count)
    same = np.zeros_like(both)
    for c in range(votes.classes):
        same += _products(votes.patterns == c, votes.count)
    return np.where(both > 0, same / np.maximum(both, 1), np.nan), both


def dependence(votes: Votes, gold: NDArray[np.int8] | None = None) -> Array:
    """How far two supervisors go together beyond what the label explains, [m, m] from -1 to 1, on the diagonal 1.

    0 for supervisors that err independently, 1 for copies: the correlation of what is their own. A vote is coded by
    class as 0 or 1, an abstention as 1 / k; covariances C are summed over classes. With `gold` int8 [n] (-1 unknown)
    they are taken within each class. Without it, what the label explains of C_ij is told from all other k, l, since one
    common factor implies C_ij C_kl = C_ik C_jl (Spearman's tetrads); NaN where there are no others, or they hardly go
    together. For more than two classes a factor a class is an approximation. Copies that outnumber the others look
    like the truth, and cannot be seen without gold.
    """
    m = votes.patterns.shape[1]
    common, variances = np.zeros((m, m)), np.zeros((m, m))
    """What i and j have in common beyond the label, and what of i the label does not explain, as j is left out."""
    whole = np.zeros(m)
    rows = int(votes.count.sum()) if gold is None else int((gold != ABSTAIN).sum())
    for c in range(1 if votes.classes == 2 else 0, votes.classes):
        if gold is not None:
            for y in range(votes.classes):
                count = np.bincount(votes.row[gold == y], minlength=len(votes.count))
                C = _covariance(votes, c, count) * (count.sum() / max(rows, 1))
                common += C
                variances += np.diag(C)[:, None]
                whole += np.diag(C)
            continue
        C = _covariance(votes, c, votes.count)
        variance = np.diag(C)
        whole += variance
        for i, j in combinations(range(m), 2):
            others = np.setdiff1d(np.arange(m), (i, j))
            K = C[np.ix_(others, others)] * (1 - np.eye(m - 2))
            square, noise = (K * K).sum(), ((variance[others].sum() ** 2) - (variance[others] ** 2).sum()) / rows
            if square <= _TOLD**2 * noise:
                common[i, j] = common[j, i] = np.nan
                continue
            # Least squares over all k, l: those that hardly go together weigh little.
            ij, ii, jj = (
                float((C[x, others][:, None] * K * C[y, others]).sum() / square) for x, y in ((i, j), (i, i), (j, j))
            )
            most = float(np.sqrt(variance[i] * variance[j]))
            common[i, j] += C[i, j] - np.clip(ij, -most, most)
            common[j, i] = common[i, j]
            variances[i, j] += variance[i] - np.clip(ii, 0, variance[i])
            variances[j, i] += variance[j] - np.clip(jj, 0, variance[j])
    variances = np.maximum(variances, np.maximum(_FLOOR_SHARE * whole, _FLOOR_ROWS / max(rows, 1))[:, None])
    found = np.clip(common / np.sqrt(variances * variances.T), -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def refuse_duplicates(votes: Votes, gold: NDArray[np.int8] | None = None, limit: float = DUPLICATE) -> None:
    """Raise CurationError, naming them, where two supervisors are one.

    They are where they vote and abstain alike on all rows, where each is the other's opposite on all (two classes),
    or where `dependence` is above `limit`. One that never votes is no duplicate.
    """
    patterns = votes.patterns
    votes_at_all = (patterns != ABSTAIN).any(axis=0)
    beyond = dependence(votes, gold)
    findings = []
    for i, j in combinations(np.flatnonzero(votes_at_all), 2):
        same = (patterns[:, i] == patterns[:, j]).all()
        turned = np.where(patterns[:, j] == ABSTAIN, ABSTAIN, 1 - patterns[:, j])
        opposite = votes.classes == 2 and (patterns[:, i] == turned).all()
        if same or opposite or beyond[i, j] > limit:
            how = (
                "vote alike on every row"
                if same
                else "vote the opposite of each other on every row"
                if opposite
                else f"go together far beyond what the label explains (dependence {beyond[i, j]:.2f}, limit {limit:g})"
            )
            findings.append(
                Finding(
                    "R009",
                    f"supervisors {votes.names[i]} and {votes.names[j]} {how}",
                    hint="leave one of them out: counted twice, its errors outvote the others",
                )
            )
    if findings:
        raise CurationError(*findings)


# --- combinations ----------------------------------------------------------------------------------------------------


def mean(probabilities: Array, weight: Array | None = None) -> Array:
    """Linear pool of probabilities [n, m, k], NaN where a supervisor abstains: [n, k], uniform where all do.

    `weight` [m], not negative, weighs supervisors, by their reliability for instance.
    """
    given = np.asarray(np.isfinite(probabilities).all(axis=2))
    share = given * (np.ones(probabilities.shape[1]) if weight is None else weight)
    total = share.sum(axis=1)
    pooled = (np.where(given[:, :, None], probabilities, 0.0) * share[:, :, None]).sum(axis=1)
    pooled[total == 0] = 1 / probabilities.shape[2]
    return np.asarray(pooled / np.where(total > 0, total, 1.0)[:, None])


def majority(votes: Votes) -> Combined:
    """Share of the votes that each class got; uniform where all abstain. It estimates no accuracy."""
    refuse_duplicates(votes)
    cast = np.stack([(votes.patterns == c).sum(axis=1) for c in range(votes.classes)], axis=1).astype(np.float64)
    cast[cast.sum(axis=1) == 0] = 1.0
    unknown = np.full(votes.patterns.shape[1], np.nan)
    uniform = np.full(votes.classes, 1 / votes.classes)
    return Combined((cast / cast.sum(axis=1, keepdims=True))[votes.row], uniform, unknown, unknown)


def measured(votes: Votes, gold: NDArray[np.int8]) -> tuple[Array, Array]:
    """Accuracy of each supervisor on rows of known label, gold int8 [n] (-1 unknown), and its standard error: [m] each.

    Mean and deviation of Beta(right + 1, wrong + 1), so that a few rows make nobody infallible.
    """
    cell = np.bincount(
        votes.row[gold != ABSTAIN] * votes.classes + gold[gold != ABSTAIN], minlength=len(votes.count) * votes.classes
    ).reshape(len(votes.count), votes.classes)
    voted = ((votes.patterns != ABSTAIN) * cell.sum(axis=1)[:, None]).sum(axis=0)
    right = np.zeros(votes.patterns.shape[1], np.int64)
    for c in range(votes.classes):
        right += ((votes.patterns == c) * cell[:, c, None]).sum(axis=0)
    accuracy = (right + 1) / (voted + 2)
    return accuracy, np.sqrt(accuracy * (1 - accuracy) / (voted + 3))


def weighted(votes: Votes, accuracy: Array, error: Array | None = None, prior: Array | None = None) -> Combined:
    """Posterior of supervisors of known accuracy [m] that err independently, wrong votes falling on all classes alike.

    A vote adds log(a (k - 1) / (1 - a)) to its class. `prior` [k], uniform by default. NaN has no say.
    """
    refuse_duplicates(votes)
    k = votes.classes
    prior = np.full(k, 1 / k) if prior is None else prior
    a = np.clip(np.where(np.isnan(accuracy), 1 / k, accuracy), _SURE, 1 - _SURE)
    table = np.zeros((len(a), k, k + 1))
    table[:, :, 1:] = np.log((1 - a) / (k - 1))[:, None, None]
    table[:, np.arange(k), np.arange(k) + 1] = np.log(a)[:, None]
    posterior, _ = _expect(votes.patterns, votes.count, table, np.log(prior))
    return Combined(posterior[votes.row], prior, accuracy, np.full(len(a), np.nan) if error is None else error)


def triplet(votes: Votes, prior: Array | None = None) -> Combined:
    """Two classes: accuracies from how often supervisors agree in pairs, then `weighted`. `prior` [2] as there.

    With votes as ±1 and m_ij the mean product where both vote, independence gives m_ij = e_i e_j, e = 2 · accuracy - 1,
    hence e_i² = m_ij m_ik / m_jk. Of all pairs j, k of others the least-squares slope of m_ij m_ik on m_jk is taken, so
    that pairs which hardly agree weigh nothing. Signs follow from those of m_ij, and the sum of all e is positive: the
    supervisors are right more often than wrong. Accuracy is taken to be the same in both classes.

    Raises CurationError where fewer than three accuracies can be told or a supervisor names one class only, ValueError
    for another number of classes.
    """
    if votes.classes != 2:
        raise ValueError(f"triplets are for two classes, and there are {votes.classes}")
    refuse_duplicates(votes)
    single = _named(votes).sum(axis=1) == 1
    if single.any():
        lost = ", ".join(name for name, alone in zip(votes.names, single, strict=True) if alone)
        raise CurationError(
            Finding(
                "R009",
                f"these supervisors name one class only, and so agree whatever is true: {lost}",
                hint="combine by em, which reads their abstaining too",
            )
        )
    V = np.where(votes.patterns == ABSTAIN, 0, 2 * votes.patterns - 1).astype(np.int64)
    n = _products(np.abs(V), votes.count)
    m = _products(V, votes.count) / np.maximum(n, 1)
    np.fill_diagonal(n, 0)
    np.fill_diagonal(m, 0.0)
    size = len(m)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / n
    # Rows behind a triplet [i, j, k]: the harmonic sum of its pairs', 0 where a pair never votes together.
    w = 1.0 / (inverse[:, :, None] + inverse[:, None, :] + inverse[None, :, :])
    products = m[:, :, None] * m[:, None, :]
    top = (w * products * m).sum(axis=(1, 2)) / 2
    bottom = (w * m * m).sum(axis=(1, 2)) / 2
    noise = (w * np.where(n > 0, (1 - m * m) / np.maximum(n, 1), 0.0)).sum(axis=(1, 2)) / 2
    # Of others that agree by no more than two standard errors nothing can be learned.
    told = (bottom > 4 * noise) & (bottom > 0)
    if told.sum() < 3:
        lost = ", ".join(name for name, fine in zip(votes.names, told, strict=True) if not fine)
        raise CurationError(
            Finding(
                "R009",
                f"the accuracy of these supervisors cannot be told from their agreement: {lost}",
                hint="three that agree beyond chance are needed; combine by majority, or measure them on labelled rows",
            )
        )
    square = np.where(told, top / np.where(told, bottom, 1.0), 0.0)
    gradient = np.zeros((size, size, size))  # of e_i² by m_jk, both halves of a pair holding all of it
    for i in np.flatnonzero(told):
        gradient[i] = w[i] * (products[i] - 2 * square[i] * m)
        by_own = (w[i] * m[i][None, :] * m).sum(axis=1)
        gradient[i, i], gradient[i, :, i] = by_own, by_own
        gradient[i] /= bottom[i]
    variance = _triplet_variance(V, votes.count, m, gradient / np.maximum(n, 1))
    strength = np.sqrt(np.clip(square, 0.0, (1 - _SURE) ** 2))
    # The square root is no line near 0: there an error in e² of s is one in e of √s at most.
    spread = np.minimum(np.sqrt(variance) / np.maximum(2 * strength, 1e-300), variance**0.25)
    e = strength * _signs(m, strength)
    accuracy = np.where(told, (1 + e) / 2, np.nan)
    return weighted(votes, accuracy, np.where(told, spread / 2, np.nan), prior)


def em(votes: Votes, prior: Array | None = None) -> Combined:
    """Dawid and Skene's model by expectation maximisation: P(vote | class) of each supervisor, any number of classes.

    It starts from the majority and ends when a round gains less than TOLERANCE a row. One vote of each kind is added to
    those seen (Laplace), so that nothing is impossible. `prior` [k] is estimated unless given.
    Abstaining says nothing, except where a supervisor names one class only, such as a pattern that is found or not:
    there it is an answer, and the accuracy is the precision.

    Standard errors are from the observed information, the empirical covariance of scores (Louis 1982).

    Raises CurationError for fewer than three supervisors that vote, or where one that names one class only comes out as
    worse than chance, ArithmeticError after ROUNDS.
    """
    refuse_duplicates(votes)
    k, patterns = votes.classes, votes.patterns
    voting = (patterns != ABSTAIN).any(axis=0)
    if voting.sum() < 3:
        raise CurationError(
            Finding(
                "R009",
                f"{int(voting.sum())} supervisors vote, and accuracies without labels take three",
                hint="combine by majority, or measure them on labelled rows",
            )
        )
    named = _named(votes)
    single = named.sum(axis=1) == 1
    answers = np.column_stack([single, np.where(single[:, None], named, True)])
    estimated = prior is None
    prior = np.full(k, 1 / k) if prior is None else prior
    cast = np.stack([(patterns == c).sum(axis=1) for c in range(k)], axis=1) + 1e-300
    posterior = cast / cast.sum(axis=1, keepdims=True)
    rows, before = int(votes.count.sum()), -np.inf
    for _ in range(ROUNDS):
        tally = _tally(patterns, votes.count, posterior)
        theta = np.where(answers[:, None, :], tally + 1, 0.0)
        theta /= theta.sum(axis=2, keepdims=True)
        if estimated:
            prior = ((posterior * votes.count[:, None]).sum(axis=0) + 1) / (rows + k)
        log_theta = np.log(theta, out=np.zeros_like(theta), where=answers[:, None, :])
        posterior, likelihood = _expect(patterns, votes.count, log_theta, np.log(prior))
        likelihood += float(log_theta.sum()) + (float(np.log(prior).sum()) if estimated else 0.0)  # of Laplace's votes
        if likelihood - before <= TOLERANCE * rows:
            accuracy, error = _accuracies(votes, theta, prior, posterior, answers, estimated)
            _refuse_reversed(votes, single, accuracy, prior[named.argmax(axis=1)])
            known = np.where(voting, 1.0, np.nan)
            return Combined(posterior[votes.row], prior, accuracy * known, error * known)
        before = likelihood
    raise ArithmeticError(f"the label model did not settle in {ROUNDS} rounds")


# --- parts -----------------------------------------------------------------------------------------------------------


def _products(X: np.ndarray, count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Xᵀ diag(count) X in whole numbers, hence exact."""
    X = X.astype(np.int64)
    return np.asarray((X * count[:, None]).T @ X)


def _covariance(votes: Votes, c: int, count: NDArray[np.int64]) -> Array:
    """Covariance [m, m] of the indicators of class c, an abstention being 1 / k: in whole numbers, then over k²."""
    said, k, n = votes.patterns, votes.classes, max(int(count.sum()), 1)
    X = np.where(said == ABSTAIN, 1, np.where(said == c, k, 0)).astype(np.int64)
    middle = (X * count[:, None]).sum(axis=0) / n
    return np.asarray((_products(X, count) / n - middle[:, None] * middle) / k**2)


def _named(votes: Votes) -> NDArray[np.bool_]:
    """Which classes each supervisor votes for, [m, k]."""
    return np.stack([(votes.patterns == c).any(axis=0) for c in range(votes.classes)], axis=1)


def _refuse_reversed(votes: Votes, single: NDArray[np.bool_], accuracy: Array, prior: Array) -> None:
    """Rows on which many patterns are found and rows on which none is can pass for the classes: that shows here."""
    worse = single & (accuracy < prior)
    if worse.any():
        lost = ", ".join(name for name, bad in zip(votes.names, worse, strict=True) if bad)
        raise CurationError(
            Finding(
                "R009",
                f"these supervisors would be right less often than a guess at the one class that they name: {lost}",
                hint="leave them out, or combine by majority: they may all vote on the same rows, whatever is true",
            )
        )


def _signs(m: Array, strength: Array) -> Array:
    """±1 of each supervisor: agreeing with the strongest first, then with all, and right more often than wrong."""
    if not strength.any():
        return np.ones(len(m))
    sign = np.where(m[int(strength.argmax())] < 0, -1.0, 1.0)
    for _ in range(len(m)):
        pull = (m * (sign * strength)).sum(axis=1)
        sign = np.where(pull < 0, -1.0, np.where(pull > 0, 1.0, sign))
    return sign if float((sign * strength).sum()) >= 0 else -sign


@njit(nogil=True, cache=True)
def _triplet_variance(V, count, m, weight):  # type: ignore[no-untyped-def]
    """Variance [m] of statistics whose gradient by m_jk, divided by the rows behind m_jk, is `weight` [m, m, m]."""
    size = V.shape[1]
    variance_of = np.zeros(size)
    influence = np.empty(size)
    for p in range(len(V)):
        influence[:] = 0.0
        for j in range(size):
            for k in range(j):
                if V[p, j] != 0 and V[p, k] != 0:
                    off = V[p, j] * V[p, k] - m[j, k]
                    for i in range(size):
                        influence[i] += weight[i, j, k] * off
        variance_of += count[p] * influence * influence
    return variance_of


@njit(nogil=True, cache=True)
def _expect(patterns, count, log_theta, log_prior):  # type: ignore[no-untyped-def]
    """Posterior [p, k] and log-likelihood; `log_theta` [m, k, k + 1], a vote v standing at v + 1."""
    classes = len(log_prior)
    posterior = np.empty((len(patterns), classes))
    likelihood = 0.0
    for p in range(len(patterns)):
        for y in range(classes):
            score = log_prior[y]
            for j in range(patterns.shape[1]):
                score += log_theta[j, y, patterns[p, j] + 1]
            posterior[p, y] = score
        top = posterior[p].max()
        total = 0.0
        for y in range(classes):
            posterior[p, y] = np.exp(posterior[p, y] - top)
            total += posterior[p, y]
        for y in range(classes):
            posterior[p, y] /= total
        likelihood += count[p] * (top + np.log(total))
    return posterior, likelihood


@njit(nogil=True, cache=True)
def _tally(patterns, count, posterior):  # type: ignore[no-untyped-def]
    """Expected rows [m, k, k + 1] in which a supervisor says v + 1 and the class is y."""
    classes = posterior.shape[1]
    counts = np.zeros((patterns.shape[1], classes, classes + 1))
    for p in range(len(patterns)):
        for y in range(classes):
            rows = count[p] * posterior[p, y]
            for j in range(patterns.shape[1]):
                counts[j, y, patterns[p, j] + 1] += rows
    return counts


@njit(nogil=True, cache=True)
def _second_moments(patterns, count, posterior, counts):  # type: ignore[no-untyped-def]
    """Sum over rows of u uᵀ, u holding the posterior at each supervisor's vote [m · k · (k + 1)], then itself [k].

    `counts` bool [m], whether a supervisor's abstention is an answer.
    """
    supervisors, classes = patterns.shape[1], posterior.shape[1]
    cells = supervisors * classes * (classes + 1)
    moments = np.zeros((cells + classes, cells + classes))
    cell = np.empty((supervisors + 1) * classes, np.int64)
    value = np.empty(len(cell))
    for p in range(len(patterns)):
        used = 0
        for j in range(supervisors):
            if patterns[p, j] >= 0 or counts[j]:
                for y in range(classes):
                    cell[used] = (j * classes + y) * (classes + 1) + patterns[p, j] + 1
                    value[used] = posterior[p, y]
                    used += 1
        for y in range(classes):
            cell[used] = cells + y
            value[used] = posterior[p, y]
            used += 1
        for a in range(used):
            weight = count[p] * value[a]
            for b in range(a + 1):
                moments[cell[a], cell[b]] += weight * value[b]
    return moments


def _accuracies(
    votes: Votes, theta: Array, prior: Array, posterior: Array, answers: NDArray[np.bool_], estimated: bool
) -> tuple[Array, Array]:
    """Accuracy given a vote of each supervisor, and its standard error by the delta method: [m] each.

    Parameters are the logits of each row of theta and of the prior, one too many in each: the score of a logit is
    u - theta · (sum of u over the row). Conjugate gradients solve singular systems too, where they are consistent.
    """
    m, k, kinds = theta.shape
    cells = theta.size
    lower = _second_moments(votes.patterns, votes.count, posterior, answers[:, 0])
    information = lower + np.tril(lower, -1).T
    for _ in range(2):  # centre the rows, then, transposed, the columns
        block = information[:cells].reshape(m * k, kinds, -1)
        block -= theta.reshape(m * k, kinds, 1) * block.sum(axis=1, keepdims=True)
        information[cells:] -= prior[:, None] * information[cells:].sum(axis=0)
        information = np.ascontiguousarray(information.T)
    added = answers.sum(axis=1)  # Laplace's votes, of which a row of theta has this many
    for place, row in enumerate(theta.reshape(m * k, kinds)):
        at = slice(place * kinds, (place + 1) * kinds)
        information[at, at] += added[place // k] * (np.diag(row) - row[:, None] * row)
    if estimated:
        information[cells:, cells:] += k * (np.diag(prior) - prior[:, None] * prior)
    else:
        information[cells:], information[:, cells:] = 0.0, 0.0
    voted = theta[:, :, 1:].sum(axis=2)
    right = theta[:, np.arange(k), np.arange(k) + 1]
    share = (voted * prior).sum(axis=1)
    accuracy = (right * prior).sum(axis=1) / share
    error = np.zeros(m)
    for j in range(m):
        by_theta = np.zeros((m, k, kinds))
        by_theta[j, :, 1:] = prior[:, None] * (np.eye(k) - accuracy[j]) / share[j]
        by_theta = theta * (by_theta - (theta * by_theta).sum(axis=2, keepdims=True))
        by_prior = (right[j] - accuracy[j] * voted[j]) / share[j]
        by_prior = prior * (by_prior - (prior * by_prior).sum()) * float(estimated)
        gradient = np.concatenate([by_theta.ravel(), by_prior])
        tolerance = 1e-9 * max(float(np.abs(gradient).max()), 1e-300)
        found = solve(lambda v: np.asarray((information * v).sum(axis=1)), gradient, tolerance)
        error[j] = np.sqrt(max(dot(gradient, found), 0.0))
    return accuracy, error
