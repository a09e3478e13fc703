"""fastText models: files of supervised classifiers, dense or product-quantised, read to be run by our own kernels.

The format (version 12: `.bin` and `.ftz`) is that of fastText 0.9.2, github.com/facebookresearch/fastText, src/args.cc,
dictionary.cc, densematrix.cc, quantmatrix.cc, productquantizer.cc; quantisation: Joulin et al. 2016, arXiv 1612.03651.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.compiling import njit
from curation.text.fasttext.dictionary import (
    EOS,
    HS,
    LABEL,
    LANES,
    MOST_GRAMS,
    NS,
    OVA,
    SOFTMAX,
    Grams,
    Network,
    Table,
    Words,
    end_of_line,
    frozen,
    hashes,
    table,
)
from curation.text.fasttext.predict import fold, predict

_MAGIC, _VERSION, _SUPERVISED = 793712314, 12, 3
_CENTROIDS = 256
_EXPANSION = 64
"""Most bytes of a matrix for each byte of its file: a quantised one may spend a byte on 16 float32 values."""


class Predictions(NamedTuple):
    """The most probable labels of n texts, best first; of equally probable ones, the later in the file first."""

    labels: NDArray[np.int32]
    """Shape (n, top): indices into `FastText.labels`, -1 where there is no label left."""
    probs: NDArray[np.float32]
    """Shape (n, top), in [0, 1]; 0 where there is no label."""


class FastText:
    """A supervised fastText model. `labels` are its labels without "__label__", in the file's order."""

    def __init__(self, path: Path) -> None:
        """Read a model file.

        A dense model takes about as much memory as its file, a quantised one eight times that with fastText's own
        settings, and 64 times at most.

        Raises ValueError for what is no fastText model of format version 12, was trained without labels, or is
        truncated, inconsistent or too long; OSError where the file cannot be opened.
        """
        try:
            self.labels, self._network = _read(path)
        except _MalformedError as error:
            raise ValueError(f"{path.name}: {error}") from None

    @classmethod
    def of(cls, labels: list[str], network: Network) -> FastText:
        """A model that lies in memory, its n-grams added to its words' rows (`curation.text.fasttext.predict.fold`)."""
        model = cls.__new__(cls)
        model.labels, model._network = labels, network
        return model

    def predict(self, text: pa.Array | pa.ChunkedArray, top: int = 1, characters: int | None = None) -> Predictions:
        r"""The `top` most probable labels of each text in a string or large_string array; releases the GIL.

        Each text is one line, its line feeds read as spaces: up to rounding, the answer is that of fastText's
        `model.predict(text.replace("\n", " "), k=top)`. So words end at " \n\r\t\v\f\0" only, label tokens are not
        read, nor what follows a token "</s>"; probabilities are 1e-5 too high (here cut at 1), and hierarchical
        softmax leaves out labels below 1e-5. A text that shares no word or n-gram with the model has no label.

        `characters`, if given, is how many leading ones are read, in place. Raises ValueError where `top` or
        `characters` is below 1.
        """
        if top < 1 or (characters is not None and characters < 1):
            raise ValueError(f"top and characters count from 1: {top}, {characters}")
        offsets, data = buffers(text)
        limit = len(data) if characters is None else min(characters, len(data))
        return Predictions(*predict(offsets, data, limit, self._network, top))


class _MalformedError(Exception):
    """What is wrong with a file."""


def check(path: Path) -> None:
    """See that a file begins as a model does, and is as long as its sizes ask for. Raises ValueError."""
    try:
        file = _File(path)
        magic, version, dim, *_ = file.integers("<i4", 14)
        file.take("<f8", 1)
        size, words, labels = file.integers("<i4", 3)
    except _MalformedError as error:
        raise ValueError(f"{path.name}: {error}") from None
    if magic != _MAGIC or version != _VERSION:
        raise ValueError(f"{path.name}: this is no fastText model of format version {_VERSION}")
    # An entry of the dictionary has ten bytes, and each word and label a row of at least a byte.
    if dim < 1 or words < 0 or labels < 1 or words + labels != size or 11 * size > file.size:
        raise ValueError(f"{path.name}: {size} words and labels of {dim} numbers do not fit into {file.size:,} bytes")


def _read(path: Path) -> tuple[list[str], Network]:
    file = _File(path)
    magic, version = file.integers("<i4", 2)
    if magic != _MAGIC:
        raise _MalformedError("this is no fastText model")
    if version != _VERSION:
        raise _MalformedError(f"fastText's format version {version} is not supported, only {_VERSION}")
    dim, _, _, _, _, word_grams, loss, kind, buckets, shortest, longest, _ = file.integers("<i4", 12)
    file.take("<f8", 1)
    if kind != _SUPERVISED:
        raise _MalformedError("the model was trained without labels, and only supervised ones classify")
    if loss not in (HS, NS, SOFTMAX, OVA):
        raise _MalformedError(f"no loss has the number {loss}")
    if not all(0 <= n <= MOST_GRAMS for n in (word_grams, shortest, longest)):
        raise _MalformedError(f"lengths of n-grams must lie between 0 and {MOST_GRAMS}")
    hashed = longest > 0 or word_grams > 1
    if hashed and buckets < 1:
        raise _MalformedError(f"there are n-grams, but {buckets} buckets")

    size, words, labels = file.integers("<i4", 3)
    _, kept = file.integers("<i8", 2)
    if words < 0 or labels < 1 or words + labels != size or kept < -1:
        raise _MalformedError("the sizes of the dictionary contradict each other")
    names, starts, ends, counts = file.dictionary(size, words)
    pairs = file.take("<i4", 2 * max(kept, 0)).reshape(-1, 2)

    quantised = file.flag()
    rows = file.matrix(quantised, dim)
    output = file.matrix(file.flag() and quantised, dim)
    if file.cursor != file.size:
        raise _MalformedError(f"the model ends at byte {file.cursor}, but the file at {file.size}")
    if len(output) != labels:
        raise _MalformedError(f"there are {labels} labels, but the output matrix has {len(output)} rows")
    last = int(pairs[:, 1].max(initial=-1)) if kept >= 0 else buckets - 1 if hashed else -1
    if words + last >= len(rows) or pairs.min(initial=0) < 0:
        raise _MalformedError(f"the dictionary points outside the {len(rows)} rows of the input matrix")
    if not (_finite(rows) and _finite(output)):
        raise _MalformedError("a matrix holds values that are no finite numbers")

    entries = _table(hashes(names, starts, ends), np.arange(size, dtype=np.int32))
    sizes = np.ones(words, np.int64)
    dictionary = Words(names, starts, ends, entries, frozen(sizes))
    eos = int(end_of_line(dictionary))
    if eos >= words:
        raise _MalformedError(f"{EOS} is a label")
    if kept < 0:
        places = Table(frozen(np.empty((0, 2), np.int32)), frozen(np.empty(0, np.uint32)))
    else:
        places = _table(pairs[:, 0].astype(np.uint32), words + pairs[:, 1].astype(np.int32))
    grams = Grams(shortest, longest, word_grams, np.uint64(max(buckets, 1)), words, places)
    children = _huffman(counts) if loss == HS else np.empty((0, 2), np.int32)
    network = Network(dictionary, grams, frozen(rows), eos, loss, frozen(output), frozen(children))
    fold(rows, sizes, network)
    spans = zip(starts[words:].tolist(), ends[words:].tolist(), strict=True)
    return [names[start:end].tobytes().decode(errors="replace").removeprefix(LABEL) for start, end in spans], network


class _File:
    """A model file, mapped into memory, and how far it has been read. What it does not hold is never allocated."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self.cursor = 0
        if not self.size:
            raise _MalformedError("the file is empty")
        self.data: NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, "r"))

    def take(self, dtype: str, count: int) -> NDArray[Any]:
        """A view of the next `count` values; it may be unaligned."""
        end = self.cursor + count * np.dtype(dtype).itemsize
        if count < 0 or end > self.size:
            raise _MalformedError(f"the file is truncated or damaged: byte {end} is needed of {self.size}")
        values = np.frombuffer(self.data, dtype, count, self.cursor)
        self.cursor = end
        return values

    def integers(self, dtype: str, count: int) -> list[int]:
        """The next `count` values as Python's own integers, which do not overflow."""
        return [int(value) for value in self.take(dtype, count)]

    def flag(self) -> bool:
        """A C++ bool."""
        return self.integers("u1", 1) != [0]

    def dictionary(
        self, size: int, words: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """`names`, `starts` and `ends` of the entries as in `Words`, and how often each label was seen."""
        if size * 10 > self.size - self.cursor:  # NUL, count and type of each
            raise _MalformedError(f"the file is truncated or damaged: it cannot hold {size} words and labels")
        starts, ends = _names(self.data, self.cursor, size)
        if len(ends) < size:
            raise _MalformedError(f"the file is truncated or damaged: its dictionary breaks off at entry {len(ends)}")
        begin, self.cursor = self.cursor, int(ends[-1]) + 10
        if (self.data[ends + 9] != (np.arange(size) >= words)).any():
            raise _MalformedError("the dictionary does not hold words first and then labels")
        counts = self.data[ends[words:, None] + np.arange(1, 9)].view("<i8")[:, 0]
        return frozen(self.data[begin : self.cursor].copy()), frozen(starts - begin), frozen(ends - begin), counts

    def matrix(self, quantised: bool, dim: int) -> NDArray[np.float32]:
        """A matrix of `dim` columns, padded to a multiple of LANES."""
        normed = quantised and self.flag()
        count, columns = self.integers("<i8", 2)
        if count < 0 or columns < 1 or columns != dim:
            raise _MalformedError(f"a matrix is {count} × {columns}, but vectors have {dim} values")
        padded = -(-dim // LANES) * LANES
        if 4 * count * padded > _EXPANSION * self.size:
            raise _MalformedError(f"a matrix is {count} × {columns}, too large for a file of {self.size} bytes")
        if not quantised:
            values = self.take("<f4", count * dim).reshape(count, dim)
            matrix = np.zeros((count, padded), np.float32)
            matrix[:, :dim] = values
            return matrix
        [size] = self.integers("<i4", 1)
        codes = self.take("u1", size)
        codebooks = self.codebooks(dim)
        if size != count * len(codebooks):
            raise _MalformedError(f"{count} rows in {len(codebooks)} parts do not make {size} codes")
        matrix = np.zeros((count, padded), np.float32)
        column_start = 0
        for codebook, column in zip(codebooks, codes.reshape(count, len(codebooks)).T, strict=True):
            matrix[:, column_start : column_start + codebook.shape[1]] = codebook[column]
            column_start += codebook.shape[1]
        if normed:
            codes = self.take("u1", count)
            [norms] = self.codebooks(1)
            matrix *= norms[codes]
        return matrix

    def codebooks(self, dim: int) -> list[NDArray[np.float32]]:
        """A product quantiser of vectors of `dim` values: 256 centroids for each part of the vector."""
        whole, parts, width, last = self.integers("<i4", 4)
        if whole != dim or width < 1 or parts != -(-dim // width) or last != dim - (parts - 1) * width:
            raise _MalformedError("the sizes of a quantiser contradict each other")
        widths = [width] * (parts - 1) + [last]
        return [self.take("<f4", _CENTROIDS * width).reshape(_CENTROIDS, width) for width in widths]


def _table(keys: NDArray[np.uint32], values: NDArray[np.int32]) -> Table:
    slots, bits = table(keys, values)
    if not len(slots):
        raise _MalformedError("too many keys of the dictionary have one hash")
    return Table(frozen(slots), frozen(bits))


def _huffman(counts: NDArray[np.int64]) -> NDArray[np.int32]:
    """`Network.children` of the labels' Huffman tree, made as fastText does from counts that descend."""
    unmade = 10**15  # fastText's count of a node to be: labels must be rarer, or the tree would have a cycle
    if counts.min() < 0 or counts.max() >= unmade:
        raise _MalformedError("the count of a label is impossible")
    labels = len(counts)
    weights = [*counts.tolist(), *[unmade] * (labels - 1)]
    children = np.empty((labels - 1, 2), np.int32)
    leaf, node = labels - 1, labels
    for parent, pair in enumerate(children, start=labels):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                pair[side] = leaf
                leaf -= 1
            else:
                pair[side] = node
                node += 1
        weights[parent] = weights[pair[0]] + weights[pair[1]]
    return children


@njit(nogil=True, cache=True)
def _names(data, cursor, size):  # type: ignore[no-untyped-def]
    """Where the names of `size` entries start and end, or of fewer if the data ends before."""
    starts = np.empty(size, np.int64)
    ends = np.empty(size, np.int64)
    for entry in range(size):
        starts[entry] = cursor
        while cursor < len(data) and data[cursor]:
            cursor += 1
        if cursor + 10 > len(data):
            return starts[:entry], ends[:entry]
        ends[entry] = cursor
        cursor += 10
    return starts, ends


@njit(nogil=True, cache=True)
def _finite(matrix):  # type: ignore[no-untyped-def]
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            if not np.isfinite(matrix[i, j]):
                return False
    return True
