"""A text's words and n-grams, their mean vector, its labels."""

from __future__ import annotations

import math

import numpy as np

from curation.text.compiling import njit
from curation.text.fasttext.dictionary import (
    EOS_BYTES,
    FNV_OFFSET,
    HS,
    LABEL_BYTES,
    MOST_GRAMS,
    SOFTMAX,
    WORD_GRAM,
    ZERO,
    begins,
    bucket_row,
    equal_bytes,
    find_entry,
    fnv_step,
    name_hash,
    separates,
)

_PENDING = 4096
"""Rows found before they are added up: enough for the processor to overlap its cache misses."""
_FULL = _PENDING - 2 * MOST_GRAMS
"""Pending rows beyond which there may be no room for the next n-grams."""


@njit(nogil=True, cache=True)
def predict(offsets, data, characters, network, top):  # type: ignore[no-untyped-def]
    """Labels and probabilities of the texts, int32 and float32 of shape (n, top), for buffers as
    `curation.text.arrow.buffers` gives them. `characters` and `top` are 1 or more; labels that are missing are -1."""
    n = len(offsets) - 1
    labels = np.full((n, top), -1, np.int32)
    probs = np.zeros((n, top), np.float32)
    hidden = np.empty(network.rows.shape[1], np.float32)
    pending = np.empty(_PENDING, np.int64)
    running = np.empty(max(network.grams.words - 1, 0), np.uint64)
    scores = np.empty(len(network.output), np.float32)
    nodes = np.empty(len(network.output), np.int32)
    for i in range(n):
        stop = _head(data, offsets[i], offsets[i + 1], characters)
        if _embed(data, offsets[i], stop, network, hidden, pending, running):
            if network.loss == HS:
                _descend(hidden, network.output, network.children, nodes, scores, labels[i], probs[i])
            else:
                _classify(hidden, network.output, network.loss, scores, labels[i], probs[i])
    return labels, probs


@njit(nogil=True, cache=True)
def fold(rows, sizes, network):  # type: ignore[no-untyped-def]
    """Add to each word's row those of its n-grams, so that a known word costs one addition.

    `rows` and `sizes` are the network's, writable.
    """
    pending = np.empty(_PENDING, np.int64)
    for word in range(len(sizes)):
        if word != network.eos:
            start, end = network.words.starts[word], network.words.ends[word]
            count, subwords = _subwords(
                network.words.names, start, end, network.grams, network.rows, rows[word], pending, ZERO
            )
            _add(network.rows, pending, count, rows[word])
            sizes[word] += subwords


@njit(nogil=True, cache=True)
def _head(data, start, end, characters):  # type: ignore[no-untyped-def]
    """Where the first `characters` characters end; a text of no more bytes than that is not looked through."""
    if end - start <= characters:
        return end
    count = 0
    for i in range(start, end):
        if data[i] & 0xC0 != 0x80:
            if count == characters:
                return i
            count += 1
    return end


@njit(nogil=True, cache=True)
def _embed(data, cursor, stop, network, hidden, pending, running):  # type: ignore[no-untyped-def]
    """Set `hidden` to the mean vector of a text's words and n-grams; returns how many these are.

    `pending` holds rows to be added to `hidden`; `running`, the hashes of n-grams of words that may still grow.
    """
    words, grams, rows = network.words, network.grams, network.rows
    hidden[:] = 0
    features = 0
    tokens = 0
    count = 0
    ended = False
    while not ended:
        while cursor < stop and separates(data[cursor]):
            cursor += 1
        start = cursor
        h = FNV_OFFSET
        while cursor < stop and not separates(data[cursor]):
            h = fnv_step(h, data[cursor])
            cursor += 1
        ended = cursor == start or equal_bytes(data, start, cursor, EOS_BYTES, ZERO, len(EOS_BYTES))
        if ended:
            h = name_hash(EOS_BYTES, ZERO, len(EOS_BYTES))
            entry = np.int64(network.eos)
        else:
            entry = find_entry(data, start, cursor, h, words)
            if entry >= len(words.sizes) or (entry < 0 and begins(data, start, cursor, LABEL_BYTES)):
                continue
        if count > _FULL:
            _add(rows, pending, count, hidden)
            count = 0
        if entry >= 0:
            pending[count] = entry
            count += 1
            features += words.sizes[entry]
        elif not ended:
            count, found = _subwords(data, start, cursor, grams, rows, hidden, pending, count)
            features += found
        if len(running):
            signed = np.uint64(np.int64(np.int32(h)))
            for k in range(min(tokens, len(running))):
                running[k] = running[k] * WORD_GRAM + signed
                row = bucket_row(running[k] % grams.buckets, grams)
                if row >= 0:
                    pending[count] = row
                    count += 1
                    features += 1
            running[tokens % len(running)] = signed
            tokens += 1
    _add(rows, pending, count, hidden)
    if features:
        scale = np.float32(1.0 / features)
        for j in range(len(hidden)):
            hidden[j] *= scale
    return features


@njit(nogil=True, cache=True)
def _subwords(data, start, end, grams, rows, hidden, pending, count):  # type: ignore[no-untyped-def]
    """Put the rows of a word's n-grams into `pending`, adding those there to `hidden` whenever it gets full.

    The n-grams are those of the characters of "<word>", without "<" and ">" alone. Returns how many rows are pending,
    and how many were found.
    """
    total = -count
    cursor = start
    begins = True
    while cursor < end:
        if count > _FULL:
            _add(rows, pending, count, hidden)
            total += count
            count = 0
        h = FNV_OFFSET
        size = 0
        i = cursor
        if begins:
            h = fnv_step(h, np.uint8(60))
            size = 1
        while i <= end and size < grams.longest:
            if i == end:
                h = fnv_step(h, np.uint8(62))
            else:
                h = fnv_step(h, data[np.uint64(i)])  # unsigned, which spares a test for negative places
            i += 1
            while i < end and data[np.uint64(i)] & 0xC0 == 0x80:
                h = fnv_step(h, data[np.uint64(i)])
                i += 1
            size += 1
            if size >= grams.shortest:
                row = bucket_row(h % np.uint32(grams.buckets), grams)
                if row >= 0:
                    pending[np.uint64(count)] = row
                    count += 1
        if begins:
            begins = False
        else:
            cursor += 1
            while cursor < end and data[cursor] & 0xC0 == 0x80:
                cursor += 1
    return count, total + count


@njit(nogil=True, cache=True)
def _add(rows, pending, count, hidden):  # type: ignore[no-untyped-def]
    for k in range(count):
        row = pending[k]
        for j in range(len(hidden)):
            hidden[j] += rows[row, j]


@njit(nogil=True, cache=True)
def _classify(hidden, output, loss, scores, labels, probs):  # type: ignore[no-untyped-def]
    """Softmax, or a sigmoid of each label. No label where a sum of huge vectors overflows."""
    for label in range(len(output)):
        scores[label] = dot(output[label], hidden)
        if not math.isfinite(scores[label]):
            return
    if loss == SOFTMAX:
        most = scores.max()
        total = np.float32(0)
        for label in range(len(scores)):
            scores[label] = math.exp(scores[label] - most)
            total += scores[label]
        for label in range(len(scores)):
            scores[label] /= total
    else:
        for label in range(len(scores)):
            scores[label] = _sigmoid(scores[label])
    for label in range(len(scores)):
        _rank(label, scores[label], labels, probs)
    for place in range(len(labels)):
        if labels[place] >= 0:
            probs[place] = min(probs[place] + 1e-5, 1.0)  # what `_log` adds, in fastText's exp(log(x + 1e-5))


@njit(nogil=True, cache=True)
def _descend(hidden, output, children, nodes, scores, labels, probs):  # type: ignore[no-untyped-def]
    """Hierarchical softmax: the tree in fastText's order, without branches too improbable to matter.

    `nodes` and `scores` are a stack of nodes to visit, and the log probability of each.
    """
    floor = _log(np.float32(0))
    leaves = len(output)
    probs[:] = -np.inf
    nodes[0] = 2 * leaves - 2
    scores[0] = 0
    depth = 1
    while depth:
        depth -= 1
        node, score = nodes[depth], scores[depth]
        if not score >= floor or score < probs[-1]:  # not `score < floor`: NaN comes from sums that overflow
            continue
        if node < leaves:
            _rank(np.int64(node), score, labels, probs)
            continue
        inner = node - leaves
        right = np.float32(1.0 / (np.float32(1) + np.exp(-dot(output[inner], hidden))))
        for side in (1, 0):
            nodes[depth] = children[inner, side]
            scores[depth] = score + _log(right if side else np.float32(1) - right)
            depth += 1
    for place in range(len(labels)):
        probs[place] = min(np.exp(probs[place]), np.float32(1))


@njit(nogil=True, cache=True)
def _rank(label, score, labels, probs):  # type: ignore[no-untyped-def]
    """Put a label where it belongs among the best so far; of equal ones the higher, as fastText's heap of one does."""
    rank = len(labels)
    while rank and (
        labels[rank - 1] < 0 or probs[rank - 1] < score or (probs[rank - 1] == score and labels[rank - 1] < label)
    ):
        rank -= 1
        if rank + 1 < len(labels):
            labels[rank + 1], probs[rank + 1] = labels[rank], probs[rank]
    if rank < len(labels):
        labels[rank], probs[rank] = label, score


@njit(nogil=True, cache=True)
def dot(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@njit(nogil=True, cache=True)
def _log(x):  # type: ignore[no-untyped-def]
    """fastText's `std_log`."""
    return np.float32(math.log(np.float64(x) + 1e-5))


@njit(nogil=True, cache=True)
def _sigmoid(x):  # type: ignore[no-untyped-def]
    """fastText's table: 512 steps from -8 to 8, on each the sigmoid of its left end."""
    if x < -8:
        return np.float32(0)
    if x > 8:
        return np.float32(1)
    left = np.float32(np.int64((x + np.float32(8)) * np.float32(32))) / np.float32(32) - np.float32(8)
    return np.float32(1.0 / (1.0 + np.exp(-left)))
