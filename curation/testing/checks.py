"""The single checks, C1 to C9: each is given a scorer and documents, and raises AssertionError."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curation.scorers.base import Scorer, Transform
from curation.testing.rows import (
    Document,
    Row,
    described,
    number_columns,
    require,
    require_same,
    rows_of,
    shard_bounds,
    text_columns,
)
from schemas.documents import EDITS, ERROR, OK, STATUSES, TEXT

DEGENERATE = [
    "", " \n\t", "x", "😀", "a\r\nb\r\n", "a\x00b", "y" * 100_000, "word " * 20_000, "\ufeff", "\u200b", "[PAD]",
    "<|endoftext|>", "</s>", "0", "-", "\x01\x02",
]  # fmt: skip
"""Texts that every corpus holds and nobody thinks of."""
NUMBERS = [float("nan"), None, float("inf"), float("-inf"), 0.0, -1.5]
"""The same of columns of numbers."""
LONGER = "A much longer neighbour. " * 60


def check_contract(scorer: Scorer) -> None:
    """The contract speaks of fields that there are."""
    contract, names = scorer.contract, [item.name for item in scorer.fields]
    for role in ("score", "tokens", "truncated"):
        named = getattr(contract, role)
        require(named is None or named in names, f"the contract's {role} is '{named}', and the fields are {names}")
    require(
        (contract.scale is not None) == (contract.score is not None),
        f"the contract has score={contract.score!r} and scale={contract.scale!r}; one needs the other",
    )


def check_neighbours(scorer: Scorer, documents: Sequence[Document], alone: Sequence[int] | None = None) -> None:
    """C1 and C2. `alone`: which documents are scored without any other; default: at most eight."""
    together = rows_of(scorer, documents)
    count = len(documents)
    for row in range(0, count, max(count // 8, 1)) if alone is None else alone:
        require_same("C1: alone", [row], rows_of(scorer, [documents[row]]), together)
    for size in (4, 16):
        pieces = [rows_of(scorer, documents[begin : begin + size]) for begin in range(0, count, size)]
        require_same(f"C1: in batches of {size}", range(count), [row for piece in pieces for row in piece], together)
    lengths = [sum(len(str(value)) for value in document.values()) for document in documents]
    orders = {"shuffled": np.random.default_rng(0).permutation(count), "ordered by length": np.argsort(lengths)}
    for name, order in orders.items():
        require_same(f"C1: {name}", order, rows_of(scorer, [documents[row] for row in order]), together)
    longer = {**documents[0], **dict.fromkeys(text_columns(scorer), LONGER)}
    first = range(min(3, count))
    require_same("C2: beside a longer one", first, rows_of(scorer, [longer, *documents[: len(first)]])[1:], together)
    halves: Any = _Halves(scorer)  # which on a cluster run in two processes
    require_same("C1: by prepare and infer", range(count), rows_of(halves, documents), together)


def check_degenerate(scorer: Scorer, document: Document) -> list[Row]:
    """C3. `document` is the one whose texts are replaced, all of them and each by itself. Returns what was said of it
    with all its texts as in DEGENERATE."""
    texts = text_columns(scorer)
    numbers = [
        dict.fromkeys(sorted(number_columns(scorer)), NUMBERS[row % len(NUMBERS)]) for row in range(len(DEGENERATE))
    ]
    odd = [{**document, **dict.fromkeys(texts, text), **numbers[row]} for row, text in enumerate(DEGENERATE)]
    if len(texts) > 1:
        odd += [{**document, name: text} for name in texts for text in DEGENERATE]
    rows = [row for begin in range(0, len(odd), 16) for row in _survived(scorer, odd[begin : begin + 16])]
    field = scorer.contract.score
    for given, row in zip(odd, rows, strict=True):
        what = f"C3: {described(given, scorer)} has status '{row['status']}'"
        require(row["status"] in STATUSES, f"{what}, which is none of {', '.join(STATUSES)}")
        if row["status"] == OK and field is not None:
            value = row[field]
            require(value is not None and math.isfinite(value), f"{what} and {field} {value}; a score that there is "
                     "not is null, and the status says why")  # fmt: skip
        valued = [name for name, value in row.items() if value is not None and not name.endswith("status")]
        stored = set(valued) - {"message", "edits"}
        require(row["status"] == OK or not stored, f"{what} and values in {sorted(stored)}")
    require(rows_of(scorer, []) == [], "C3: no documents, and yet rows")
    return rows[: len(DEGENERATE)]


def check_repeated(scorer: Scorer, documents: Sequence[Document]) -> None:
    """C4 in this process: asked again, and another object of the same settings."""
    together = rows_of(scorer, documents)
    require_same("C4: asked again", range(len(documents)), rows_of(scorer, documents), together)
    other = type(scorer)(scorer.settings, scorer.context)
    require_same("C4: by a second object", range(len(documents)), rows_of(other, documents), together)


def check_oracle(
    scorer: Scorer,
    documents: Sequence[Document],
    expected: Sequence[float | str],
    field: str | None = None,
    tolerance: float = 1e-5,
) -> None:
    """C5. `expected`: a number for each document, or the status that it should have. `field`: default the contract's
    score, else the first field; of a list its first value. `tolerance` is relative."""
    field = field or scorer.contract.score or scorer.fields[0].name
    for document, row, value in zip(documents, rows_of(scorer, documents), expected, strict=True):
        what = f"C5: of {described(document, scorer)} the oracle says {value}"
        if isinstance(value, str):
            require(row["status"] == value, f"{what}, and the scorer says {row['status']}")
            continue
        require(row["status"] == OK, f"{what}, and the scorer says {row['status']}")
        score = row[field][0] if isinstance(row[field], list) else row[field]
        near = score is not None and math.isclose(score, value, rel_tol=tolerance, abs_tol=tolerance / 10)
        require(near, f"{what}, and {field} is {score}")


def check_orientation(scorer: Scorer, better: tuple[Sequence[Document], Sequence[Document]] | None) -> None:
    """C6: ROC-AUC of at least 0.9. None of a scorer that declares no orientation."""
    contract = scorer.contract
    if better is None or not contract.orientation:
        sense = "a higher" if contract.orientation > 0 else "a lower"
        require(not contract.orientation, f"C6: the contract says that {sense} {contract.score} is better: give "
                 "documents that should score better, and some that should not, as `better`")  # fmt: skip
        require(better is None, "C6: there are better and worse documents, and the contract declares no orientation")
        return
    from curation.statistics.metrics import auc  # and with it scipy, which takes a second of every process

    good, bad = better
    rows = rows_of(scorer, [*good, *bad])
    scores = np.array([row[str(contract.score)] for row in rows], dtype=np.float64)
    area = auc(contract.orientation * scores, np.arange(len(scores)) < len(good))
    require(area >= 0.9, f"C6: the better documents are told from the others with an AUC of {area:.3f}, below 0.9; "
             f"scores {scores[: len(good)].tolist()} and {scores[len(good) :].tolist()}")  # fmt: skip


def check_truncation(scorer: Scorer, long: tuple[Document, Document, int] | None) -> None:
    """C7. `long`: a document beyond the limit, one within it, and the tokens that are read of the first. None of a
    scorer that reads everything."""
    truncated, tokens = scorer.contract.truncated, scorer.contract.tokens
    if long is None or truncated is None:
        require(truncated is None, "C7: the contract has a field `truncated`: give settings with a limit, a document "
                 "beyond it, and the tokens that are then read, as `long`")  # fmt: skip
        require(long is None, "C7: there is a document that is too long, and the contract has no field `truncated`")
        return
    beyond, within, count = long
    cut, whole = rows_of(scorer, [beyond, within])
    require(cut[truncated] is True, f"C7: {truncated} is {cut[truncated]} of a document beyond the limit")
    require(whole[truncated] is False, f"C7: {truncated} is {whole[truncated]} of a document within the limit")
    if tokens is not None:
        require(cut[tokens] == count, f"C7: {tokens} is {cut[tokens]} of a document of which {count} are read")
        require(0 < whole[tokens] < count, f"C7: {tokens} is {whole[tokens]} of a document within the limit")


def check_cut(scorer: Scorer, documents: Sequence[Document]) -> None:
    """C8 and C9, of batches as of shards: with some documents twice, far apart."""
    twice = [*documents, *documents[:8]]
    shards = [rows_of(scorer, twice[begin:end]) for begin, end in shard_bounds(len(twice))]
    rows = [row for shard in shards for row in shard]
    count = len(documents)
    require_same("C8: the same document in another shard", range(len(rows) - count), rows[count:], rows)
    field, sign = scorer.contract.score, scorer.contract.orientation or 1
    if field is None:
        return
    together = rows_of(scorer, twice[::-1])[::-1]
    require(_best(rows, field, sign) == _best(together, field, sign), "C9: the best of all shards are not those of "
             "one sort")  # fmt: skip


def check_edits(transform: Transform, documents: Sequence[Document]) -> None:
    """A transform's edits are spans of the text it was given: ascending, disjoint, of whole characters."""
    from curation.text.edits import apply_edits

    for document in [*documents, *({**documents[0], "text": text} for text in DEGENERATE)]:
        [row] = rows_of(transform, [document])
        try:
            after = apply_edits(pa.array([document["text"]], TEXT), pa.array([row["edits"]], EDITS))
            after.validate(full=True)
        except (ValueError, pa.ArrowException) as failure:
            raise AssertionError(f"edits of {described(document, transform)}: {failure}") from failure


def _best(rows: list[Row], field: str, sign: int) -> list[int]:
    """The better half of the rows that have a score, best first, ties to the earlier."""
    scored = [row for row in range(len(rows)) if rows[row][field] is not None]
    return sorted(scored, key=lambda row: -sign * float(rows[row][field]))[: max(1, len(scored) // 2)]


def _survived(scorer: Scorer, documents: list[Row]) -> list[Row]:
    """The rows, or the first document on which the scorer raises."""
    try:
        return rows_of(scorer, documents)
    except AssertionError:
        raise
    except Exception:
        for document in documents:
            try:
                rows_of(scorer, [document])
            except Exception as failure:
                raise AssertionError(
                    f"C3: of {described(document, scorer)} it raises {type(failure).__name__}: {str(failure)[:200]};"
                    f" what is wrong with one document is its status ('{ERROR}', 'empty', …)"
                ) from failure
        raise


class _Halves:
    """A scorer that scores by its two halves."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self._scorer.infer(self._scorer.prepare(batch))
