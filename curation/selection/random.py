"""`select: random`: so many documents by chance, the baseline that every selection has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Facts
from curation.selection.top import Prefix, PrefixSettings
from curation.sources.shards import scramble


class RandomSettings(PrefixSettings):
    seed: int = 0
    """Of the draw."""


class Random(Prefix):
    """A fraction, a count or a token budget of the documents, each as likely as any other.

    Chance is a hash of seed, file content and row: the same documents on any machine, and mostly the same when input is
    added. Copies of a file are chosen alike.
    """

    kind = "random"
    Settings = RandomSettings
    reason = "not_drawn"

    def values(self, facts: Facts) -> NDArray[np.float64]:
        return (scramble(facts.key, self.settings.seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
