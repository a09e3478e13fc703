"""`dedup: minhash`: near-duplicates by MinHash signatures in bands, each candidate verified, clusters connected.

Broder 1997 (signatures); Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.4 (banding): two documents of
Jaccard similarity s meet in at least one of b bands of r rows with probability 1 - (1 - s^r)^b.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation.dedup.base import Dedup, DedupSettings, Sketch
from curation.duplicates.evidence import evidence_of
from curation.scorers.base import Scorer, Settings
from schemas.documents import TEXT


class MinHashSettings(DedupSettings):
    ngram: Annotated[int, Field(ge=1, le=64)] = 5
    """Words in a shingle."""
    bands: Annotated[int, Field(ge=1, le=256)] = 14
    """Bands of a signature: documents that agree in one are compared."""
    rows: Annotated[int, Field(ge=1, le=64)] = 8
    """Signature values in a band; bands * rows permutations in all."""
    seed: int = 1
    """Of the permutations."""
    verify: Annotated[float, Field(ge=0.0, le=1.0)] = 0.75
    """Jaccard similarity from which a candidate pair counts."""
    exact: bool = Field(default=False, exclude_if=lambda given: not given)
    """Whether that is the true similarity of the texts' n-grams instead of the signatures' estimate."""
    contains: Annotated[float, Field(ge=0.0, le=1.0)] = 0.9
    """The share of a document's word 3-grams that must stand in its twin for it to be dropped; 1.0 loses nothing."""


class MinHash(Dedup):
    """Near-duplicates in word n-grams; a text shorter than one n-gram equals only the same text.

    Several `columns` are compared as one text, so that a long answer weighs more than a short instruction.
    """

    kind = "minhash"
    Settings = MinHashSettings
    reason = "near_duplicate"
    members = 16

    @property
    def threshold(self) -> float:
        return float(self.settings.verify)

    @property
    def contains(self) -> float:
        return float(self.settings.contains)

    @property
    def ngram(self) -> int:
        return int(self.settings.ngram)

    @property
    def truly(self) -> bool:
        return bool(self.settings.exact)

    @property
    def margin(self) -> float:
        """Three standard errors of the estimate (`curation.text.minhash`), but at least 0.1."""
        verify = self.threshold
        return max(0.1, 3 * math.sqrt(verify * (1 - verify) / (self.settings.bands * self.settings.rows)))

    @property
    def buckets_each(self) -> int:
        return int(self.settings.bands)

    def requires(self) -> dict[str, Scorer]:
        chosen = self.settings
        settings = SignatureSettings(ngram=chosen.ngram, permutations=chosen.bands * chosen.rows, seed=chosen.seed)
        return {"sketch": Signature(settings, self.context, chosen.columns)}

    def buckets(self, evidence: np.ndarray) -> np.ndarray:
        from curation.text.minhash import bands

        return bands(_values(evidence), self.settings.bands, self.settings.rows)

    def similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        from curation.text.minhash import similarity

        return similarity(_values(first), _values(second))


class SignatureSettings(Settings):
    ngram: int
    permutations: int
    seed: int


BETWEEN = " columnboundaryqzvxkj "
"""Stands between columns: a word, since shingles are made of nothing else, and one that texts do not have."""


class Signature(Sketch):
    """MinHash signature in datasketch 2.0's `affine32` scheme, little-endian uint32 values as one binary.

    A text with fewer words than one n-gram has no shingle. Its evidence is drawn from the 128-bit digest of its
    normalised text instead: equal texts agree in every value, different ones in none.
    """

    kind = "minhash-signature"

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("evidence", pa.binary(4 * self.settings.permutations)),
            pa.field("bytes", pa.int64()),
            pa.field("shingles", pa.int32()),
        ]

    def evidence(self, columns: list[pa.Array]) -> dict[str, pa.Array]:
        chosen = self.settings
        text = columns[0] if len(columns) == 1 else pc.binary_join_element_wise(*columns, pa.scalar(BETWEEN, TEXT))
        values, shingles = evidence_of(text, chosen.ngram, chosen.permutations, chosen.seed)
        width = 4 * chosen.permutations
        data = np.ascontiguousarray(values.astype("<u4"))
        evidence = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(data), [None, pa.py_buffer(data)])
        return {"evidence": evidence, "shingles": pa.array(shingles, type=pa.int32())}


def _values(evidence: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(evidence).view("<u4")
