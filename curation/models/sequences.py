"""What a network reads: token ids with a model's special tokens, cut to its limit, and packed to a fixed size.

Plain arrays and compiled loops. Imports numpy and numba.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.models.tokens import Ids, Tokens
from curation.text.compiling import njit


class Sequences(NamedTuple):
    """n sequences of token ids, one behind the other, as a network reads them."""

    offsets: NDArray[np.int64]
    """[n + 1]"""
    ids: NDArray[np.int32]
    types: NDArray[np.int8] | None = None
    """Segment of each token, where a model tells the two texts of a pair apart; None for all zero."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Sequences:
        """Some of the sequences."""
        chosen = Ids(self.offsets, self.ids).take(rows)
        if self.types is None:
            return Sequences(*chosen)
        return Sequences(*chosen, Ids(self.offsets, self.types.astype(np.int32)).take(rows).ids.astype(np.int8))


class Cut(NamedTuple):
    """Sequences made of texts, and what the limit took."""

    sequences: Sequences
    tokens: NDArray[np.int32]
    """[n]: tokens that the model reads, special tokens included."""
    truncated: NDArray[np.bool_]
    """[n]: the text had more, and the rest is not read."""


@dataclass(frozen=True)
class Frame:
    """The special tokens that a tokenizer puts around one text, or before, between and behind two."""

    before: NDArray[np.int32]
    between: NDArray[np.int32]
    behind: NDArray[np.int32]
    types: tuple[tuple[int, ...], int, int]
    """Segments: of each special token in the order above, of the first text, of the second."""

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.behind)


BARE = Frame(*(np.zeros(0, np.int32),) * 3, ((), 0, 0))
"""No special tokens: for text in which they stand already."""


def frame(tokens: Tokens, pair: bool = False) -> Frame:
    """What the tokenizer's post-processor adds, found by asking it for a text of one letter."""
    made = tokens.library.encode("a", "a" if pair else None)
    which = made.sequence_ids
    ids, types = np.array(made.ids, np.int32), made.type_ids
    first = [index for index, number in enumerate(which) if number == 0]
    second = [index for index, number in enumerate(which) if number == 1]
    ends = (first[-1] + 1, second[0], second[-1] + 1) if second else (first[-1] + 1, first[-1] + 1, first[-1] + 1)
    special = [index for index, number in enumerate(which) if number is None]
    return Frame(
        ids[: first[0]],
        ids[ends[0] : ends[1]],
        ids[ends[2] :],
        (tuple(types[index] for index in special), types[first[0]], types[second[0]] if second else 0),
    )


def framed(ids: Ids, frame: Frame, limit: int) -> Cut:
    """Each text between its special tokens, its end cut off where all would be more than `limit`."""
    room = max(limit - len(frame), 0)
    counts = ids.counts()
    kept = np.minimum(counts, room)
    offsets = _bounds(kept + len(frame))
    return Cut(
        Sequences(offsets, _frame(offsets, ids.documents, ids.ids, frame.before, frame.behind)),
        (kept + len(frame)).astype(np.int32),
        counts > room,
    )


def framed_pairs(first: Ids, second: Ids, frame: Frame, limit: int) -> Cut:
    """Two texts as one sequence. The longer one loses tokens first, as `longest_first` of the tokenizers library; which
    one that is all their tokens decide, so the ids are to be found without a limit."""
    room = max(limit - len(frame), 0)
    had = np.stack([first.counts(), second.counts()])
    low = had.min(axis=0)
    over = had.sum(axis=0) > room
    high_kept = np.maximum(low, room - low)
    even = low + high_kept > room
    # of an odd room the longer one gets the last place
    low_kept, high_kept = np.where(even, room // 2, low), np.where(even, room - room // 2, high_kept)
    longer = had[0] > had[1]
    kept = np.where(over, np.stack([np.where(longer, high_kept, low_kept), np.where(longer, low_kept, high_kept)]), had)
    offsets = _bounds(kept.sum(axis=0) + len(frame))
    special, one, two = (np.array(types, np.int8) for types in frame.types)
    values = _frame_pairs(
        offsets, kept, first.documents, first.ids, second.documents, second.ids,
        frame.before, frame.between, frame.behind, special, one[()], two[()],
    )  # fmt: skip
    return Cut(Sequences(offsets, *values), np.diff(offsets).astype(np.int32), over)


def pack(lengths: NDArray[np.int64], size: int, most: int) -> list[NDArray[np.int64]]:
    """Which sequences share a pack of `size` tokens: longest first, each where it fits most tightly (best fit
    decreasing), at most `most` together. Each pack's in their own order; `lengths` are at most `size`."""
    order = np.argsort(-lengths, kind="stable")
    number = _best_fit(lengths[order], size, most)
    packs = np.empty(len(lengths), np.int64)
    packs[order] = number
    sorted_rows = np.argsort(packs, kind="stable")
    return np.split(sorted_rows, np.cumsum(np.bincount(packs))[:-1]) if len(lengths) else []


def fill(sequences: Sequences, rows: NDArray[np.int64], size: int, first_position: int) -> tuple[Any, ...]:
    """A pack of the sequences `rows`: ids and positions int32 [size], segments int8 [size], starts int64 [rows].

    Positions restart at `first_position` with each sequence; what is left of the pack is zeros.
    """
    types = np.zeros(0, np.int8) if sequences.types is None else sequences.types
    return _fill(sequences.offsets, sequences.ids, types, rows, size, first_position)  # type: ignore[no-any-return]


def _bounds(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


@njit(nogil=True, cache=True)
def _frame(offsets, documents, ids, before, behind):  # type: ignore[no-untyped-def]
    out = np.empty(offsets[-1], np.int32)
    for i in range(len(documents) - 1):
        cursor = offsets[i]
        out[cursor : cursor + len(before)] = before
        cursor += len(before)
        kept = offsets[i + 1] - cursor - len(behind)
        out[cursor : cursor + kept] = ids[documents[i] : documents[i] + kept]
        out[cursor + kept : offsets[i + 1]] = behind
    return out


@njit(nogil=True, cache=True)
def _frame_pairs(offsets, kept, documents, ids, others, other_ids, before, between, behind, special, one, two):  # type: ignore[no-untyped-def]
    out = np.empty(offsets[-1], np.int32)
    types = np.empty(offsets[-1], np.int8)
    for i in range(len(documents) - 1):
        cursor, k = offsets[i], 0
        for value in before:
            out[cursor], types[cursor] = value, special[k]
            cursor, k = cursor + 1, k + 1
        for j in range(kept[0, i]):
            out[cursor], types[cursor] = ids[documents[i] + j], one
            cursor += 1
        for value in between:
            out[cursor], types[cursor] = value, special[k]
            cursor, k = cursor + 1, k + 1
        for j in range(kept[1, i]):
            out[cursor], types[cursor] = other_ids[others[i] + j], two
            cursor += 1
        for value in behind:
            out[cursor], types[cursor] = value, special[k]
            cursor, k = cursor + 1, k + 1
    return out, types


@njit(nogil=True, cache=True)
def _best_fit(lengths, size, most):  # type: ignore[no-untyped-def]
    """Pack number of each of the lengths, which descend. Packs with equal room form a chain, the newest first."""
    number = np.empty(len(lengths), np.int64)
    chain = np.full(len(lengths) + 1, -1, np.int64)
    newest = np.full(size + 1, -1, np.int64)
    filled = np.zeros((size >> 6) + 1, np.int64)  # how many of 64 neighbouring rooms some pack has
    members = np.zeros(len(lengths) + 1, np.int64)
    packs = 0
    for i in range(len(lengths)):
        need = lengths[i]
        room = need
        while room <= size and newest[room] < 0:
            room = room + 1 if filled[room >> 6] else ((room >> 6) + 1) << 6
        if room > size:
            chosen, room = packs, size
            packs += 1
        else:
            chosen = newest[room]
            newest[room] = chain[chosen]
            if newest[room] < 0:
                filled[room >> 6] -= 1
        number[i] = chosen
        members[chosen] += 1
        left = room - need
        if members[chosen] < most:
            if newest[left] < 0:
                filled[left >> 6] += 1
            chain[chosen] = newest[left]
            newest[left] = chosen
    return number


@njit(nogil=True, cache=True)
def _fill(offsets, ids, types, rows, size, first_position):  # type: ignore[no-untyped-def]
    tokens = np.zeros(size, np.int32)
    positions = np.full(size, first_position, np.int32)
    segments = np.zeros(size, np.int8)
    starts = np.empty(len(rows), np.int64)
    cursor = 0
    for i in range(len(rows)):
        begin, end = offsets[rows[i]], offsets[rows[i] + 1]
        starts[i] = cursor
        for j in range(begin, end):
            tokens[cursor] = ids[j]
            positions[cursor] = first_position + j - begin
            if len(types):
                segments[cursor] = types[j]
            cursor += 1
    return tokens, positions, segments, starts
