"""A word n-gram language model with interpolated Kneser-Ney smoothing, its n-grams kept as 64-bit hashes.

Kneser and Ney 1995, in the interpolated form of Chen and Goodman 1999 with one discount for each order: for the counts
a of an order, with T(h) the sum of a(hw) over w and N(h) how many w there are,

    P(w | h) = (a(hw) - D)+ / T(h) + D N(h) / T(h) P(w | h'),   D = n1 / (n1 + 2 n2),

h' being h without its first word, and n1, n2 how many n-grams of the order have the count 1 and 2. The highest order
counts occurrences; lower ones, in how many different words' company an n-gram was met, and those at the start of a
document occurrences again, since nothing comes before them. Below the unigrams every token is equally probable, 1 / V.
Tokens are those of `curation.text.wordpunct` in lower case; a document begins with a mark of its own.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.analysis import analyse
from curation.text.characters import lower
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import mix64, xxh64
from curation.text.wordpunct import room, wordpunct, write_tokens

DISCOUNT = 0.75
"""D of an order without n-grams of count 1 or of count 2."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_LENGTH = np.uint64(0xD1B54A32D192ED03)
_START = np.uint64(0x8CB92BA72F3D8DD7)
"""The mark at the start of a document, as a hash."""


class Tokens(NamedTuple):
    """Tokens of n texts as hashes: those of text `i` have the numbers `documents[i]` to `documents[i + 1]`."""

    documents: NDArray[np.int64]
    hashes: NDArray[np.uint64]


class Fit(NamedTuple):
    """A fitted model as it is stored. Every n-gram is here once, as something to predict, as a context, or both."""

    keys: NDArray[np.uint64]
    """Shape (m,), ascending."""
    values: NDArray[np.float32]
    """Shape (m, 2): what the n-gram's own order adds to its probability, and, as a context, the weight of the shorter
    one."""
    base: NDArray[np.float64]
    """Shape (3,): order, the weight of 1 / V, and V."""


class Model(NamedTuple):
    """A model ready to ask, read-only."""

    slots: NDArray[np.int64]
    """Shape (power of two,): a hash table of places in `keys`, -1 where there is none."""
    keys: NDArray[np.uint64]
    values: NDArray[np.float32]
    order: int
    weight: float
    uniform: float


def tokens(text: pa.LargeStringArray) -> Tokens:
    """Hashes (XXH64) of the tokens of every text."""
    analysis = analyse(text)
    words = analysis.find(wordpunct)
    return Tokens(words.documents, _hashes(analysis.offsets, analysis.data, words, lower()))


def fit(seen: Tokens, order: int, vocabulary: int) -> Fit:
    """Count and smooth. `order` is 1 or more; `vocabulary` is V, the distinct tokens plus one for all unknown ones.

    Models that are to be compared need the same V. Memory: some 100 bytes a token and order. Raises ValueError where
    there is no token.
    """
    if not len(seen.hashes):
        raise ValueError("there is no word to learn from")
    order = min(order, int(np.diff(seen.documents).max()) + 1)  # of longer n-grams there are none
    keys: list[NDArray[np.uint64]] = []
    direct: list[NDArray[np.float64]] = []
    contexts: list[NDArray[np.uint64]] = []
    weights: list[NDArray[np.float64]] = []
    company: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
    for n in range(order, 0, -1):
        grams, before, behind, begins = _grams(seen.documents, seen.hashes, n)
        types, first, counts = np.unique(grams, return_index=True, return_counts=True)
        before, behind, begins = before[first], behind[first], begins[first]
        if company is not None:
            met, times = company
            places = np.minimum(np.searchsorted(met, types), len(met) - 1)
            counts = np.where(begins, counts, times[places])
        company = np.unique(behind, return_counts=True)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / (once + 2 * twice) if once and twice else DISCOUNT
        context_keys, context_index = np.unique(before, return_inverse=True)
        total = np.bincount(context_index, counts)
        keys.append(types)
        direct.append((counts - discount) / total[context_index])
        contexts.append(context_keys)
        weights.append(discount * np.bincount(context_index) / total)
    stored = np.unique(np.concatenate([*keys, *contexts[:-1]]))
    values = np.zeros((len(stored), 2), np.float32)
    values[:, 1] = 1
    for types, share in zip(keys, direct, strict=True):
        values[np.searchsorted(stored, types), 0] = share
    for context_keys, weight in zip(contexts[:-1], weights[:-1], strict=True):
        values[np.searchsorted(stored, context_keys), 1] = weight
    return Fit(stored, values, np.array([order, weights[-1][0], vocabulary], np.float64))


def opened(fit: Fit) -> Model:
    """The model of a fit. Raises ValueError where its arrays do not fit together."""
    if fit.values.shape != (len(fit.keys), 2) or fit.base.shape != (3,):
        raise ValueError(f"{len(fit.keys)} n-grams and values of shape {fit.values.shape} do not fit")
    slots = _table(_frozen(fit.keys))
    order, weight, vocabulary = fit.base.tolist()
    return Model(_frozen(slots), _frozen(fit.keys), _frozen(fit.values), int(order), weight, 1 / vocabulary)


def losses(seen: Tokens, model: Model) -> NDArray[np.float64]:
    """-log P of each token given those before it in its document, in nats, float64."""
    return _losses(_frozen(seen.documents), _frozen(seen.hashes), model)  # type: ignore[no-any-return]


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@njit(nogil=True, cache=True)
def means(documents, values):  # type: ignore[no-untyped-def]
    """Mean of each document's values, summed in their order; 0 where there are none."""
    out = np.zeros(len(documents) - 1, np.float64)
    for i in range(len(out)):
        total = 0.0
        for k in range(documents[i], documents[i + 1]):
            total += values[k]
        out[i] = total / max(documents[i + 1] - documents[i], 1)
    return out


@njit(nogil=True, cache=True)
def _hashes(offsets, data, words, lower):  # type: ignore[no-untyped-def]
    hashes = np.empty(len(words.starts), np.uint64)
    size, most = room(words.documents, words.starts, words.ends)
    written = np.empty(size, np.uint8)
    bounds = np.empty(most, np.int64)
    for i in range(len(offsets) - 1):
        first, last = words.documents[i], words.documents[i + 1]
        write_tokens(data, offsets[i], words.starts[first:last], words.ends[first:last], lower, written, bounds)
        for token in range(last - first):
            hashes[first + token] = xxh64(written, bounds[token], bounds[token + 1] - 1, np.uint64(0))
    return hashes


@njit(nogil=True, cache=True)
def _grams(documents, hashes, n):  # type: ignore[no-untyped-def]
    """Keys of all n-grams, of each without its last token and without its first, and whether it begins a document."""
    count = 0
    for i in range(len(documents) - 1):
        count += max(documents[i + 1] - documents[i] - max(n - 2, 0), 0)
    keys = np.empty(count, np.uint64)
    before = np.empty(count, np.uint64)
    behind = np.empty(count, np.uint64)
    begins = np.empty(count, np.bool_)
    row = 0
    for i in range(len(documents) - 1):
        first = documents[i]
        for token in range(first + max(n - 2, 0), documents[i + 1]):
            keys[row] = _key(hashes, first, token, n)
            before[row] = _key(hashes, first, token - 1, n - 1)
            behind[row] = _key(hashes, first, token, n - 1)
            begins[row] = token - n + 1 < first
            row += 1
    return keys, before, behind, begins


@njit_inline
def _key(hashes, first, last, n):  # type: ignore[no-untyped-def]
    """Key of the n tokens up to `last`, of which the start of the document at `first` may be one."""
    total = np.uint64(0)
    for token in range(last - n + 1, last + 1):
        total = total * _BASE + (_START if token < first else hashes[token])
    return mix64(total + np.uint64(n) * _LENGTH)


@njit(nogil=True, cache=True)
def _table(keys):  # type: ignore[no-untyped-def]
    size = 2
    while size < 2 * len(keys):
        size *= 2
    slots = np.full(size, -1, np.int64)
    for index in range(len(keys)):
        slot = keys[index] & np.uint64(size - 1)
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        slots[slot] = index
    return slots


@njit_inline
def _find(key, model):  # type: ignore[no-untyped-def]
    """Where a key is, or -1."""
    last = np.uint64(len(model.slots) - 1)
    slot = key & last
    while model.slots[slot] >= 0 and model.keys[model.slots[slot]] != key:
        slot = (slot + np.uint64(1)) & last
    return model.slots[slot]


@njit(nogil=True, cache=True)
def _losses(documents, hashes, model):  # type: ignore[no-untyped-def]
    out = np.empty(len(hashes), np.float64)
    # Places of the n-grams that end at the token before, by n: they are the contexts of this one's.
    held = np.empty(model.order + 1, np.int64)
    for i in range(len(documents) - 1):
        first = documents[i]
        held[:] = -1
        held[1] = _find(_key(hashes, first, first - 1, 1), model)
        for token in range(first, documents[i + 1]):
            p = model.uniform * model.weight
            context = held[1]
            held[1] = _find(_key(hashes, first, token, 1), model)
            if held[1] >= 0:
                p += np.float64(model.values[held[1], 0])
            for n in range(2, min(model.order, token - first + 2) + 1):
                index = np.int64(-1)
                if context >= 0:
                    p *= np.float64(model.values[context, 1])
                    index = _find(_key(hashes, first, token, n), model)
                    if index >= 0:
                        p += np.float64(model.values[index, 0])
                context, held[n] = held[n], index
            out[token] = -np.log(p)
    return out
