"""What texts are compared by: MinHash signatures of their word n-grams, or of what has none, of the whole text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def evidence_of(
    text: pa.LargeStringArray, ngram: int, permutations: int, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Signature uint32 [n, permutations] of each text, or of one without a shingle what is drawn from its digest; and
    its shingles, int32 [n]."""
    from curation.text.minhash import signatures
    from curation.text.normalize import normalized_digest

    values, shingles = signatures(text, ngram=ngram, permutations=permutations, seed=seed)
    short = np.flatnonzero(shingles == 0)
    if len(short):
        digests = normalized_digest(text.take(pa.array(short)))
        words = np.frombuffer(b"".join(digests.to_pylist()), dtype=np.uint64).reshape(-1, 2)
        values[short] = _spread(words, permutations)
    return values, shingles


def _spread(digests: np.ndarray, count: int) -> np.ndarray:
    """Digests uint64 [n, 2] to uint32 [n, count]: splitmix64 (Steele et al. 2014) seeded by both halves in turn."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    state = digests[:, np.arange(count) % 2] + steps[None, :]
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(32)).astype(np.uint32)  # type: ignore[no-any-return]
