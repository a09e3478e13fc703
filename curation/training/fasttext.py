"""Training of fastText classifiers in one thread: the same bits for the same documents, in whatever order they come.

The model and its steps are fastText's (Joulin et al. 2017, arXiv 1607.01759; github.com/facebookresearch/fastText,
0.9.2, src/model.cc): a text's vector is the mean of those of its words and hashed n-grams, a softmax over labels reads
it, and stochastic gradient descent goes through the documents with a learning rate that falls linearly to zero.

Four things are done otherwise. Documents are visited in the order of a hash, another in each epoch, and first vectors
are hashes too, so that nothing depends on the order of the input. Each label gets as many visits as the most frequent
one, if wanted. Buckets that no training document reaches get no vector, instead of one of noise. And since the
classifier is linear until the softmax, what is kept of each vector is its product with the labels' ones: 2 numbers
instead of 100 for two labels, and the same answers up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.fasttext import FastText
from curation.text.arrow import buffers
from curation.text.compiling import njit
from curation.text.fasttext.dictionary import (
    EOS,
    EOS_BYTES,
    LABEL,
    LABEL_BYTES,
    LANES,
    MOST_GRAMS,
    SOFTMAX,
    ZERO,
    Grams,
    Network,
    Table,
    Words,
    begins,
    end_of_line,
    equal_bytes,
    frozen,
    separates,
    table,
)
from curation.text.fasttext.dictionary import (
    hashes as hashes_of,
)
from curation.text.fasttext.pieces import pieces
from curation.text.fasttext.predict import dot, fold
from curation.text.hashing import hash_spans, mix64, mixed
from schemas.errors import Refusal

_BLOCK = 4096
"""Documents whose pieces are listed at once: where they lie in the text is forgotten then."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

_SEED = np.uint64(0)

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Options:
    """How to train. The values are fastText's own for classifiers, word bigrams as in DCLM, and fewer buckets."""

    dim: int = 100
    """Length of vectors while training."""
    lr: float = 0.1
    """Learning rate at the start. Sets of hundreds or thousands of documents want 0.5 to 1, and up to 25 epochs."""
    epochs: int = 5
    """Visits to each document; where labels are balanced, of the most frequent label."""
    word_ngrams: int = 2
    min_count: int = 1
    """How often a word must occur to have a vector of its own."""
    min_chars: int = 0
    max_chars: int = 0
    """Lengths of n-grams of characters, from and to; 0 for none."""
    buckets: int = 1 << 18
    """Places for n-grams, at most. fastText has 2,000,000; these are 105 MB of vectors while training, not 800."""
    balanced: bool = True
    """Whether rarer labels are visited more often, until all have as many visits as the most frequent one."""
    seed: int = 0


def train(text: pa.Array, labels: NDArray[np.int32], names: list[str], options: Options) -> Tensors:
    r"""Train a classifier of texts (string or large_string [n]) with labels (int32 [n], indices into `names`).

    A text is one line of fastText's: a line feed is a space, and nothing after a token "</s>" is read. Returns arrays
    for safetensors, to be given to `opened`. Memory beside them: `options.dim` float32 values for each distinct word
    and bucket, and 4 bytes for each n-gram of each document.

    Raises ValueError: no documents, fewer than two labels, options out of their range, more than 1,000 distinct words
    of one 32-bit hash (as only somebody on purpose writes them), or a training that went to infinity.
    """
    _check(options, labels, names)
    offsets, data = buffers(text)
    word_names, ends = _vocabulary(offsets, data, options.min_count, names)
    words = len(ends) - len(names)
    if not words:
        raise Refusal("there is no word to learn from", "give more text, or a lower min_count")
    grams = np.array([options.min_chars, options.max_chars, options.word_ngrams, options.buckets], np.int64)
    nothing = np.empty((0, LANES), np.float32)
    bounds, rows, tokens = _listed(offsets, data, _network(word_names, ends, len(names), grams, None, nothing, nothing))
    buckets = np.unique(rows[rows >= words])
    rows = np.where(rows < words, rows, words + np.searchsorted(buckets, rows)).astype(np.int32)
    kept = buckets.astype(np.int64) - words

    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    keys = np.concatenate([hash_spans(word_names, starts[:words], ends[:words], _SEED), mixed(kept.astype(np.uint64))])
    vectors = _first(keys, options.dim, np.uint64(options.seed))
    output = np.zeros((len(names), options.dim), np.float32)
    hashes = hash_spans(data, offsets[:-1], offsets[1:], np.uint64(options.seed))
    orders = [_order(hashes, labels, options, epoch) for epoch in range(options.epochs)]
    total, seen = float(sum(int(tokens[order].sum()) for order in orders)), 0.0
    for order in orders:
        seen = _descend(bounds, rows, labels, order, tokens, vectors, output, options.lr, total, seen)
    if not (np.isfinite(output).all() and np.isfinite(vectors).all()):
        raise Refusal("the training went to infinity", "lower the learning rate")
    if len(names) < options.dim:
        vectors, output = _products(vectors, output), np.eye(len(names), dtype=np.float32)
    return {"names": word_names, "ends": ends, "grams": grams, "kept": kept, "rows": vectors, "output": output}


def opened(tensors: Tensors) -> FastText:
    """The model that `train` made, ready to predict. Raises ValueError where the arrays do not fit together."""
    names, ends, kept = tensors["names"], tensors["ends"], tensors["kept"]
    rows, output = _padded(tensors["rows"]), _padded(tensors["output"])
    labels = len(output)
    words = len(ends) - labels
    if words < 1 or len(rows) != words + len(kept) or rows.shape[1] != output.shape[1]:
        raise ValueError(f"{len(rows)} vectors do not fit {words} words and {len(kept)} n-grams")
    network = _network(names, ends, labels, tensors["grams"], kept, rows, output)
    sizes = network.words.sizes.copy()
    fold(rows, sizes, network)
    model_labels = [
        names[start + 1 : end].tobytes().decode().removeprefix(LABEL)
        for start, end in zip(ends[words - 1 : -1].tolist(), ends[words:].tolist(), strict=True)
    ]
    return FastText.of(model_labels, network._replace(words=network.words._replace(sizes=frozen(sizes))))


def _check(options: Options, labels: NDArray[np.int32], names: list[str]) -> None:
    if not len(labels) or len(names) < 2:
        raise ValueError(f"{len(labels)} documents and {len(names)} labels are nothing to learn from")
    if min(options.dim, options.epochs, options.word_ngrams, options.min_count, options.buckets) < 1:
        raise ValueError("dim, epochs, word_ngrams, min_count and buckets count from 1")
    if not 0 <= options.min_chars <= options.max_chars <= MOST_GRAMS or options.word_ngrams > MOST_GRAMS:
        raise ValueError(f"n-grams have up to {MOST_GRAMS} words or characters, and min_chars is not above max_chars")
    if (options.max_chars > 0) != (options.min_chars > 0):
        raise ValueError("min_chars and max_chars are both 0 or both above it")
    if not 0 < options.lr < np.inf:
        raise ValueError(f"the learning rate is {options.lr}, and must be above 0")


def _vocabulary(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], min_count: int, labels: list[str]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Names of words, the frequent ones first, and behind them of labels, a zero byte after each; and their ends."""
    none = np.empty(0, np.int64)
    count = _split(offsets, data, none, none)
    starts, ends = np.empty(count, np.int64), np.empty(count, np.int64)
    _split(offsets, data, starts, ends)
    hashes, first, counts = np.unique(hash_spans(data, starts, ends, _SEED), return_index=True, return_counts=True)
    order = np.lexsort((hashes, -counts))
    first = first[order[counts[order] >= min_count]]
    view = data.data
    # A loop over distinct words, not over documents.
    names = [bytes(view[start:end]) for start, end in zip(starts[first].tolist(), ends[first].tolist(), strict=True)]
    if len(offsets) - 1 >= min_count:
        names.insert(0, EOS.encode())
    names += [(LABEL + label).encode() for label in labels]
    joined = np.frombuffer(b"\0".join(names) + b"\0", np.uint8)
    return joined, np.flatnonzero(joined == 0)


def _network(
    names: NDArray[np.uint8],
    ends: NDArray[np.int64],
    labels: int,
    grams: NDArray[np.int64],
    kept: NDArray[np.int64] | None,
    rows: NDArray[np.float32],
    output: NDArray[np.float32],
) -> Network:
    """A network of these arrays; `kept` None for one in which every bucket has a row."""
    starts = np.concatenate([np.zeros(1, np.int64), ends[:-1] + 1])
    words = len(ends) - labels
    names, starts, ends = (frozen(array) for array in (names, starts, ends))
    entries = _table(hashes_of(names, starts, ends), np.arange(len(ends), dtype=np.int32))
    dictionary = Words(names, starts, ends, entries, frozen(np.ones(words, np.int64)))
    shortest, longest, word_ngrams, buckets = (int(value) for value in grams)
    if kept is None:
        places = Table(frozen(np.empty((0, 2), np.int32)), frozen(np.empty(0, np.uint32)))
    else:
        places = _table(kept.astype(np.uint32), np.arange(words, words + len(kept), dtype=np.int32))
    return Network(
        dictionary,
        Grams(shortest, longest, word_ngrams, np.uint64(buckets), words, places),
        frozen(rows),
        int(end_of_line(dictionary)),
        SOFTMAX,
        frozen(output),
        frozen(np.empty((0, 2), np.int32)),
    )


def _table(keys: NDArray[np.uint32], values: NDArray[np.int32]) -> Table:
    slots, bits = table(keys, values)
    if not len(slots):
        raise Refusal("too many words have one hash", "look for rows made to break hash tables")
    return Table(frozen(slots), frozen(bits))


def _listed(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], network: Network
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Bounds of each text's rows, the rows, and each text's words."""
    blocks = []
    for start in range(0, len(offsets) - 1, _BLOCK):
        found = pieces(frozen(offsets[start : start + _BLOCK + 1]), data, network, apart=True)
        blocks.append((np.diff(found.documents), found.rows, found.tokens))
    counts, rows, tokens = (np.concatenate(columns) for columns in zip(*blocks, strict=True))
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]), rows, tokens


def _order(hashes: NDArray[np.uint64], labels: NDArray[np.int32], options: Options, epoch: int) -> NDArray[np.int64]:
    """Documents in the order of an epoch's visits."""
    # Of equal texts with several labels, the label decides, so that the input's order never does.
    base = np.lexsort((labels, hashes))
    members = [base[labels[base] == label] for label in np.unique(labels)]
    most = max(len(group) for group in members)
    visits = [np.resize(group, most) if options.balanced else group for group in members]
    rounds = [np.arange(len(visit)) // len(group) for visit, group in zip(visits, members, strict=True)]
    visit, turn = np.concatenate(visits), np.concatenate(rounds).astype(np.uint64)
    keys = mixed(hashes[visit] ^ mixed(turn * np.uint64(options.epochs) + np.uint64(epoch + 1)))
    return visit[np.lexsort((labels[visit], keys))]


def _products(vectors: NDArray[np.float32], output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each vector with each label's, float32 [rows, labels]; no BLAS, whose sums depend on the number of threads."""
    products = np.empty((len(vectors), len(output)), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float64)
        for label, vector in enumerate(output):
            products[start : start + _BLOCK, label] = (block * vector).sum(axis=1)
    return products


def _padded(matrix: NDArray[Any]) -> NDArray[np.float32]:
    """The matrix with zeros behind its columns, up to a multiple of LANES; a copy."""
    padded = np.zeros((len(matrix), -(-matrix.shape[1] // LANES) * LANES), np.float32)
    padded[:, : matrix.shape[1]] = matrix
    return padded


@njit(nogil=True, cache=True)
def _split(offsets, data, starts, ends):  # type: ignore[no-untyped-def]
    """How many words there are; where they lie in `data` is written as far as the arrays reach."""
    count = 0
    for i in range(len(offsets) - 1):
        cursor, stop = offsets[i], offsets[i + 1]
        while True:
            while cursor < stop and separates(data[cursor]):
                cursor += 1
            start = cursor
            while cursor < stop and not separates(data[cursor]):
                cursor += 1
            if cursor == start or equal_bytes(data, start, cursor, EOS_BYTES, ZERO, len(EOS_BYTES)):
                break
            if begins(data, start, cursor, LABEL_BYTES):
                continue
            if count < len(starts):
                starts[count] = start
                ends[count] = cursor
            count += 1
    return count


@njit(nogil=True, cache=True)
def _first(keys, dim, seed):  # type: ignore[no-untyped-def]
    """First vectors, uniform between -1 / dim and 1 / dim, made from a key of each row and the seed."""
    vectors = np.empty((len(keys), dim), np.float32)
    for row in range(len(keys)):
        state = mix64(keys[row] + _GOLDEN * (seed + np.uint64(1)))
        for j in range(dim):
            state += _GOLDEN
            unit = np.float64(mix64(state) >> np.uint64(11)) / 9007199254740992.0  # 2^53
            vectors[row, j] = (2 * unit - 1) / dim
    return vectors


@njit(nogil=True, cache=True)
def _descend(bounds, features, labels, order, tokens, vectors, output, lr, total, seen):  # type: ignore[no-untyped-def]
    """One visit to each document of `order`. `seen` of `total` words were read before; returns how many now."""
    dim = vectors.shape[1]
    hidden = np.empty(dim, np.float32)
    gradient = np.empty(dim, np.float32)
    scores = np.empty(len(output), np.float32)
    for i in order:
        rate = np.float32(lr * (1 - seen / total))
        seen += tokens[i]
        begin, end = bounds[i], bounds[i + 1]
        if begin == end:
            continue
        scale = np.float32(1.0 / (end - begin))
        hidden[:] = 0
        for k in range(begin, end):
            row = features[k]
            for j in range(dim):
                hidden[j] += vectors[row, j]
        for j in range(dim):
            hidden[j] *= scale
        most = np.float32(-np.inf)
        for label in range(len(output)):
            scores[label] = dot(output[label], hidden)
            most = max(most, scores[label])
        norm = np.float32(0)
        for label in range(len(output)):
            scores[label] = np.exp(scores[label] - most)
            norm += scores[label]
        gradient[:] = 0
        for label in range(len(output)):
            step = rate * (np.float32(labels[i] == label) - scores[label] / norm)
            for j in range(dim):
                gradient[j] += step * output[label, j]
                output[label, j] += step * hidden[j]
        for j in range(dim):
            gradient[j] *= scale
        for k in range(begin, end):
            row = features[k]
            for j in range(dim):
                vectors[row, j] += gradient[j]
    return seen
