r"""Gopher repetition rules (Rae et al. 2021, arXiv 2112.11446, table A1) as datatrove 0.10.1 words and orders them.

Words are the tokens of `curation.text.words`, punctuation included. Paragraphs are the stripped text split at `\n{2,}`,
lines the text as it is split at `\n+`: a text that begins and ends with a line feed has two empty lines. Second and
later copies count. The top n-gram is the most frequent one, the first of several, even where it occurs once: its
characters with spaces between its words, times its count. For duplicated n-grams the text is read from left to right:
one that was seen adds its characters, without spaces, and its words are jumped over; any other is remembered. Every
share is of the characters of the whole text. The same rule of dolma or dclm is another number, hence the name.

Strings are compared by 64-bit hashes; that two of a document's strings share one has a chance of about n² / 2^65.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.rules.profile import Profile, Rule, Thresholds
from curation.text.analysis import analyse
from curation.text.arrow import buffers
from curation.text.characters import before, classes, count_characters, decode, is_space
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import mix64, read64, xxh64
from curation.text.tables import grow, slot, slots
from curation.text.words import Words, words

_PAPER = "2112.11446"
SEGMENTS = ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac")
TOP = (2, 3, 4)
DUPLICATED = (5, 6, 7, 8, 9, 10)
COLUMNS = (*SEGMENTS, *(f"top_{n}_gram" for n in TOP), *(f"duplicated_{n}_n_grams" for n in DUPLICATED))
_BOUNDS = (0.3, 0.2, 0.3, 0.2, 0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1)


def measure(text: pa.LargeStringArray) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text, on the words of `curation.text.words`."""
    return measure_words(text, analyse(text).find(words))


def measure_words(text: pa.LargeStringArray, words: Words) -> dict[str, NDArray[np.generic]]:
    """The measurements of each text on given words, whichever rule found them.

    Returns `characters` int32[n] and the shares COLUMNS, float64[n]: NaN for an empty text, and for a top n-gram of a
    text with fewer than n words.
    """
    offsets, data = buffers(text)
    characters, shares = _measure(offsets, data, words.documents, words.starts, words.ends, classes())
    return {"characters": characters, **dict(zip(COLUMNS, shares, strict=True))}


def judge_words(text: pa.LargeStringArray, words: Words, thresholds: Thresholds) -> pa.RecordBatch:
    """`DATATROVE.measure` on given words: the rules alone, apart from what a word is."""
    return DATATROVE.judge(measure_words(text, words), thresholds)


DATATROVE = Profile(
    name="gopher-repetition@datatrove",
    version=1,
    rules=tuple(Rule(column, "max", bound, column, _PAPER) for column, bound in zip(COLUMNS, _BOUNDS, strict=True)),
    measurements=(pa.field("characters", pa.int32()), *(pa.field(column, pa.float64()) for column in COLUMNS)),
    measurer=measure,
    nothing="empty",
    substance="characters",
)

_PREFIX = 16
"""Bytes by which n-grams that occur once are told from the others without a table."""
_FEED = np.uint64(0x0A0A0A0A0A0A0A0A)
_ONES = np.uint64(0x0101010101010101)
_HIGH = np.uint64(0x8080808080808080)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_SEED = np.uint64(0)


@njit(nogil=True, cache=True)
def _measure(offsets, data, documents, starts, ends, classes):  # type: ignore[no-untyped-def]
    """Characters of each text, int32 [n], and the shares in the order of COLUMNS, float64 [13, n]."""
    n = len(offsets) - 1
    characters = np.zeros(n, np.int32)
    shares = np.full((4 + len(TOP) + len(DUPLICATED), n), np.nan)
    most_bytes = 0
    most_words = 0
    for document in range(n):
        most_bytes = max(most_bytes, offsets[document + 1] - offsets[document])
        most_words = max(most_words, documents[document + 1] - documents[document])
    size = slots(max(most_words, most_bytes // 2 + 2))
    keys = np.zeros(size, np.uint64)
    counts = np.zeros(size, np.int32)
    bounds = np.zeros(most_words + 1, np.int64)
    tail = np.zeros(most_words + 1, np.int64)
    hashes = np.zeros(most_words + 1, np.uint64)
    places = np.zeros(most_words + 1, np.int32)
    grams = np.zeros(most_words + 1, np.uint64)
    estimates = np.zeros(size, np.int32)
    seen = np.zeros(2 * size, np.uint8)
    squeezed = np.zeros(most_bytes + _PREFIX, np.uint8)
    for document in range(n):
        base, stop = offsets[document], offsets[document + 1]
        size = count_characters(data, base, stop)
        characters[document] = size
        if size == 0:
            continue
        start, end = _strip(data, base, stop, classes)
        again, again_characters, segments = _duplicates(data, start, end, 2, keys)
        shares[0, document] = again / segments
        shares[1, document] = again_characters / size
        again, again_characters, segments = _duplicates(data, base, stop, 1, keys)
        shares[2, document] = again / segments
        shares[3, document] = again_characters / size
        first, last = documents[document], documents[document + 1]
        total = last - first
        _squeeze(data, base, starts[first:last], ends[first:last], squeezed, bounds, tail, hashes)
        for number in range(len(TOP)):
            width = TOP[number]
            if total >= width:
                top = _top(hashes, total, width, keys, counts, grams, estimates, tail)
                shares[4 + number, document] = top / size
        candidates = _candidates(squeezed, bounds, total, grams, seen, places)
        for number in range(len(DUPLICATED)):
            width = DUPLICATED[number]
            again_characters = _duplicated(squeezed, bounds, tail, total, width, keys, places, candidates)
            shares[4 + len(TOP) + number, document] = again_characters / size
    return characters, shares


@njit_inline
def _strip(data, start, end, classes):  # type: ignore[no-untyped-def]
    while start < end:
        codepoint, width = decode(data, start, end)
        if not is_space(classes, codepoint):
            break
        start += width
    while end > start:
        last_begin = before(data, start, end)
        codepoint, _ = decode(data, last_begin, end)
        if not is_space(classes, codepoint):
            break
        end = last_begin
    return start, end


@njit(nogil=True, cache=True)
def _duplicates(data, start, stop, run, keys):  # type: ignore[no-untyped-def]
    r"""Segments of `data[start:stop]` between `run` or more line feeds: (later copies, their characters, segments)."""
    # Few texts have a line for every other byte: begin small, and grow with what comes.
    used = min(slots((stop - start) // 2 + 2), 64)
    keys[:used] = 0
    again = 0
    characters = np.int64(0)
    segments = 0
    held = 0
    i = start
    while True:
        end, following = _segment(data, i, stop, run)
        segments += 1
        key = max(xxh64(data, i, end, _SEED), np.uint64(1))
        entry = slot(keys, used, key)
        if keys[entry] == key:
            again += 1
            characters += count_characters(data, i, end)
        else:
            keys[entry] = key
            held += 1
            if 2 * held > used:
                used = grow(keys, used)
        if following < 0:
            return again, characters, segments
        i = following


@njit_inline
def _segment(data, i, stop, run):  # type: ignore[no-untyped-def]
    """Where the segment that starts at `i` ends, and where the next one starts, -1 when there is none."""
    while i < stop:
        if i + 8 <= stop:
            block = read64(data, i) ^ _FEED
            if (block - _ONES) & ~block & _HIGH == np.uint64(0):
                i += 8
                continue
        if data[np.uint64(i)] != 10:
            i += 1
            continue
        following = i + 1
        while following < stop and data[np.uint64(following)] == 10:
            following += 1
        if following - i >= run:
            return i, following
        i = following
    return stop, np.int64(-1)


@njit(nogil=True, cache=True)
def _squeeze(data, base, starts, ends, squeezed, bounds, tail, hashes):  # type: ignore[no-untyped-def]
    """Write the words one after another; where each begins, in bytes and in characters, and its hash."""
    cursor = np.int64(0)
    characters = np.int64(0)
    bounds[0] = 0
    tail[0] = 0
    for word in range(len(starts)):
        start = base + starts[word]
        end = base + ends[word]
        h = np.uint64(end - start)
        high = np.uint64(0)
        i = start
        while i + 8 <= end:
            block = read64(data, i)
            _write64(squeezed, cursor + i - start, block)
            high |= block
            h = mix64(h ^ block)
            i += 8
        if i < end:
            if i + 8 <= len(data):
                block = read64(data, i) & (~np.uint64(0) >> np.uint64(8 * (i + 8 - end)))
            else:
                block = np.uint64(0)
                for k in range(end - i):
                    block |= np.uint64(data[i + k]) << np.uint64(8 * k)
            _write64(squeezed, cursor + i - start, block)
            high |= block
            h = mix64(h ^ block)
        size = end - start
        cursor += size
        characters += size if high & _HIGH == np.uint64(0) else count_characters(data, start, end)
        bounds[word + 1] = cursor
        tail[word + 1] = characters
        hashes[word] = h
    for i in range(cursor, cursor + _PREFIX):
        squeezed[i] = 0


@njit_inline
def _write64(out, at, block):  # type: ignore[no-untyped-def]
    i = np.uint64(at)
    for k in range(8):
        out[i + np.uint64(k)] = np.uint8((block >> np.uint64(8 * k)) & np.uint64(0xFF))


@njit(nogil=True, cache=True)
def _top(hashes, total, width, keys, counts, grams, estimates, tail):  # type: ignore[no-untyped-def]
    """Characters of the top n-gram times its count.

    Counters shared by all n-grams of one part of the hash say how often each can occur at most. Only those that may be
    the top are then counted by themselves: a few in a hundred.
    """
    number = total - width + 1
    used = slots(number)
    mask = np.uint64(used - 1)
    estimates[:used] = 0
    for i in range(number):
        key = hashes[i]
        for k in range(1, width):
            key = key * _STEP + hashes[i + k]
        key ^= key >> np.uint64(32)
        grams[i] = key
        estimates[key & mask] += 1
    highest = np.int32(0)
    for place in range(used):
        highest = max(highest, estimates[place])
    best, gram_start = 1, 0
    least = max(highest // 2, 2)
    while highest > 1:
        best, gram_start = _most_frequent(number, least, keys, counts, grams, estimates, mask)
        if best >= least or least == 2:
            break
        least = max(best, 2)  # whatever occurs more often is among these
    if best == 1:
        gram_start = 0
    return best * (tail[gram_start + width] - tail[gram_start] + width - 1)


@njit_inline
def _most_frequent(number, least, keys, counts, grams, estimates, mask):  # type: ignore[no-untyped-def]
    """The most frequent n-gram among those estimated at `least` or more, the first of several: (count, where)."""
    listed = 0
    for i in range(number):
        listed += estimates[grams[i] & mask] >= least
    used = slots(listed)
    keys[:used] = 0
    counts[:used] = 0
    best = np.int32(0)
    for i in range(number):
        if estimates[grams[i] & mask] >= least:
            key = max(grams[i], np.uint64(1))
            entry = slot(keys, used, key)
            keys[entry] = key
            counts[entry] += 1
            best = max(best, counts[entry])
    for i in range(number):
        often = estimates[grams[i] & mask] >= least
        if often and counts[slot(keys, used, max(grams[i], np.uint64(1)))] == best:
            return best, i
    return np.int32(1), 0


@njit(nogil=True, cache=True)
def _candidates(squeezed, bounds, total, keys, seen, candidates):  # type: ignore[no-untyped-def]
    """List, in `candidates`, the words from which an n-gram of DUPLICATED may start that occurs again; their number.

    Equal strings have equal first _PREFIX bytes, or are shorter: word i is listed as i where its prefix occurs again,
    as ~i where only short n-grams may. Prefixes are told apart by part of a hash, first among all words, then among
    those that are left by another part of it: few come through that need not.
    """
    grams = max(total - DUPLICATED[0] + 1, 0)
    used = 2 * slots(grams)
    mask = np.uint64(used - 1)
    seen[:used] = 0
    for i in range(grams):
        h = _prefix_hash(squeezed, bounds[i])
        keys[i] = h
        entry = h & mask
        seen[entry] += seen[entry] < 2
    left = 0
    for i in range(grams):
        candidates[left] = i
        left += seen[keys[i] & mask] > 1 or bounds[i + DUPLICATED[0]] - bounds[i] < _PREFIX
    seen[:used] = 0
    for k in range(left):
        entry = (keys[candidates[k]] >> np.uint64(32)) & mask
        seen[entry] += seen[entry] < 2
    count = 0
    for k in range(left):
        i = candidates[k]
        again = seen[(keys[i] >> np.uint64(32)) & mask] > 1
        candidates[count] = i if again else ~i
        count += again or bounds[i + DUPLICATED[0]] - bounds[i] < _PREFIX
    return count


@njit_inline
def _hash(squeezed, cursor, end):  # type: ignore[no-untyped-def]
    """A hash, never 0, of `squeezed[cursor:end]`, behind which there are eight bytes more."""
    h = np.uint64(end - cursor) * _STEP
    while cursor + 8 <= end:
        h = (h ^ read64(squeezed, cursor)) * _STEP
        h ^= h >> np.uint64(32)
        cursor += 8
    if cursor < end:
        h ^= read64(squeezed, cursor) & (~np.uint64(0) >> np.uint64(8 * (cursor + 8 - end)))
    return max(mix64(h), np.uint64(1))


@njit_inline
def _prefix_hash(squeezed, at):  # type: ignore[no-untyped-def]
    h = (read64(squeezed, at) * _STEP) ^ read64(squeezed, at + 8)
    h = (h ^ (h >> np.uint64(32))) * _STEP
    return h ^ (h >> np.uint64(29))


@njit(nogil=True, cache=True)
def _duplicated(squeezed, bounds, tail, total, width, keys, candidates, count):  # type: ignore[no-untyped-def]
    """Characters in duplicated n-grams of `width` words."""
    used = slots(count)
    keys[:used] = 0
    characters = np.int64(0)
    following = 0
    for k in range(count):
        i = np.int64(candidates[k])
        short = i < 0
        if short:
            i = ~i
        if i < following or i + width > total or (short and bounds[i + width] - bounds[i] >= _PREFIX):
            continue
        key = _hash(squeezed, bounds[i], bounds[i + width])
        entry = slot(keys, used, key)
        if keys[entry] == key:
            characters += tail[i + width] - tail[i]
            following = i + width
        else:
            keys[entry] = key
    return characters
