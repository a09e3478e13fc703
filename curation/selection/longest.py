"""`select: longest`: the documents with the longest answers ("Long Is More for Alignment", arXiv 2402.04833)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Facts
from curation.selection.top import Prefix


class Longest(Prefix):
    """A fraction, a count or a token budget of the documents, by bytes of the answer where rows hold one, else of the
    text.

    The paper counts tokens: for that, `select: top` by a stage `scorer: token-count` with `columns: [output]`.
    Characters and tokens choose about four fifths of the same thousand.
    """

    kind = "longest"
    reason = "shorter"

    def values(self, facts: Facts) -> NDArray[np.float64]:
        return facts.length.astype(np.float64)
