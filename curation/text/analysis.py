"""What kernels found in a block of texts, each thing once, shared by every consumer of the block.

Rules, sentence counts and repetition all want the same words and lines. A stage asks `analyse(text)` for them, where
`text` is the array that it was given; the stages behind it in the same pass, given the same array or rows of it that
`take` took, get what is already there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers

KEPT = 2
"""Blocks remembered in each thread: the one at work and the one that it was taken from."""
_local = threading.local()
Spans = TypeVar("Spans", bound=tuple[Any, ...])


class Analysis:
    """One block of texts and what was found in it, computed when first asked for."""

    def __init__(self, text: pa.LargeStringArray) -> None:
        self.text = text
        self.offsets, self.data = buffers(text)
        self._results: dict[Callable[..., Any], Any] = {}

    def find(self, finder: Callable[[pa.LargeStringArray], Spans]) -> Spans:
        """What `finder` makes of the texts.

        `finder` returns a named tuple: `documents` int64[n + 1], ascending from 0, and arrays in which the rows
        `documents[i]:documents[i + 1]` belong to document i and depend on its text alone, positions in them counted
        from the start of the document. `curation.text.words.words` and `curation.text.lines.lines` are such finders.
        """
        if finder not in self._results:
            self._results[finder] = finder(self.text)
        return self._results[finder]  # type: ignore[no-any-return]

    def finders(self) -> list[Callable[..., Any]]:
        """Whose findings are at hand already."""
        return list(self._results)

    def take(self, rows: NDArray[np.int64]) -> Analysis:
        """Some of the documents, with whatever was found in them."""
        child = Analysis(self.text.take(pa.array(rows)))
        child._results = {finder: _gather(found, rows) for finder, found in self._results.items()}
        return child


def analyse(text: pa.LargeStringArray) -> Analysis:
    """The analysis of a block: the one made before in this thread where it is the same array, else a new one."""
    known: list[Analysis] = _local.__dict__.setdefault("known", [])
    for item in known:
        if _same(item.text, text):
            return item
    return _remember(Analysis(text))


def take(text: pa.LargeStringArray, rows: NDArray[np.int64]) -> pa.LargeStringArray:
    """`text.take(rows)`, of which `analyse` knows what it knew of `text`."""
    return _remember(analyse(text).take(rows)).text


def forget() -> None:
    """Give back the memory of this thread's blocks."""
    _local.__dict__.pop("known", None)


def _remember(analysis: Analysis) -> Analysis:
    known: list[Analysis] = _local.__dict__.setdefault("known", [])
    known[:] = [*known, analysis][-KEPT:]
    return analysis


def _same(a: pa.Array, b: pa.Array) -> bool:
    # The remembered array holds its buffers, so their addresses cannot have been given to anybody else.
    if a is b:
        return True
    if len(a) != len(b) or a.offset != b.offset or a.type != b.type:
        return False
    return all(
        (x is None and y is None) or (x is not None and y is not None and x.address == y.address)
        for x, y in zip(a.buffers(), b.buffers(), strict=True)
    )


def _gather(spans: Spans, rows: NDArray[np.int64]) -> Spans:
    documents, *columns = spans
    counts = (documents[1:] - documents[:-1])[rows]
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    places = np.arange(bounds[-1]) + np.repeat(documents[:-1][rows] - bounds[:-1], counts)
    return type(spans)(bounds, *(column[places] for column in columns))
