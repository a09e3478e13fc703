"""Which n-grams of a text an index finds, whose they are and what they cover: checked against sets of word tuples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.overlap import Index, Overlaps, build, hits, overlaps
from curation.text.shingles import shingle_hashes

VOCABULARY = ["a", "b", "Äb", "σ9", "über-", "internationalisation"]
PROSE = st.lists(st.sampled_from([*VOCABULARY, ", ", "— "]), max_size=30).map(" ".join)
ANY = st.one_of(PROSE, st.text(st.characters(codec="utf-8"), max_size=40))
SETS = st.lists(st.lists(st.lists(PROSE, max_size=2), max_size=3), min_size=1, max_size=3)
"""Of each set the items, of each item the texts."""


def index(sets: list[list[list[str]]], n: int, shortest: int) -> Index:
    texts, items, firsts = [], [], [0]
    for rows in sets:
        for number, row in enumerate(rows, firsts[-1]):
            texts += row
            items += [number] * len(row)
        firsts.append(firsts[-1] + len(rows))
    return build(pa.array(texts, pa.large_string()), np.array(items, np.int64), np.array(firsts), n, shortest)


def words(text: str) -> list[tuple[str, int, int]]:
    """Lower-cased words and their bytes: runs of letters, digits and marks, for the scripts in these tests."""
    found = []
    for match in re.finditer(r"[^\W_]+", text):
        start = len(text[: match.start()].encode())
        found.append((match[0].lower(), start, start + len(match[0].encode())))
    return found


def grams(texts: list[str], n: int, shortest: int) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        spelt = [word for word, _, _ in words(text)]
        size = n if len(spelt) >= n else len(spelt)
        if size >= min(n, shortest):
            found |= {tuple(spelt[i : i + size]) for i in range(len(spelt) - size + 1)}
    return found - {()}


@dataclass
class Expected:
    words: int
    covered: int
    longest: int
    most: int
    sets: list[tuple[int, int, list[int]]]
    """Set, words covered, items."""
    spans: list[tuple[int, int, int]]


def runs(covered: set[int]) -> list[tuple[int, int]]:
    found = []
    for _, group in groupby(enumerate(sorted(covered)), key=lambda pair: pair[1] - pair[0]):
        members = [number for _, number in group]
        found.append((members[0], members[-1]))
    return found


def expect(text: str, sets: list[list[list[str]]], n: int, shortest: int) -> Expected:
    """What `overlaps` has to say, by sets of tuples."""
    spelt = words(text)
    result = Expected(len(spelt), 0, 0, -1, [], [])
    everything: set[int] = set()
    first, best = 0, 0
    for number, rows in enumerate(sets):
        covered: set[int] = set()
        items = []
        for item, row in enumerate(rows, first):
            here = {
                i + k
                for gram in grams(row, n, shortest)
                for i in range(len(spelt) - len(gram) + 1)
                if tuple(word for word, _, _ in spelt[i : i + len(gram)]) == gram
                for k in range(len(gram))
            }
            if here:
                items.append(item)
            covered |= here
        first += len(rows)
        everything |= covered
        if covered:
            result.sets.append((number, len(covered), items))
            result.spans += [(number, spelt[a][1], spelt[b][2]) for a, b in runs(covered)]
        if len(covered) > best:
            best, result.most = len(covered), number
    result.covered = len(everything)
    result.longest = max((b - a + 1 for a, b in runs(everything)), default=0)
    return result


def told(found: Overlaps, row: int) -> Expected:
    sets = range(found.set_bounds[row], found.set_bounds[row + 1])
    spans = range(found.spans[row], found.spans[row + 1])
    return Expected(
        found.words[row],
        found.covered[row],
        found.longest[row],
        found.most[row],
        [
            (found.sets[k], found.set_covered[k], found.items[found.item_bounds[k] : found.item_bounds[k + 1]].tolist())
            for k in sets
        ],
        [(found.span_sets[k], found.span_starts[k], found.span_ends[k]) for k in spans],
    )


@given(st.lists(PROSE, max_size=4), SETS, st.integers(1, 5), st.integers(1, 6))
@settings(deadline=None, max_examples=300)
def test_what_is_found_is_what_tuples_of_words_say(
    texts: list[str], sets: list[list[list[str]]], n: int, shortest: int
) -> None:
    # Something of the references in every text, so that there is something to find.
    texts += [f"{text} {item[0]}" for text, rows in zip(texts, sets, strict=False) for item in rows[:1] if item]
    found = overlaps(pa.array(texts, pa.large_string()), index(sets, n, shortest))
    assert [told(found, row) for row in range(len(texts))] == [expect(text, sets, n, shortest) for text in texts]


@given(st.lists(ANY, min_size=1, max_size=4), st.integers(1, 4))
@settings(deadline=None, max_examples=200)
def test_spans_lie_inside_any_text_on_character_boundaries(texts: list[str], n: int) -> None:
    found = overlaps(pa.array(texts, pa.large_string()), index([[[text] for text in texts]], n, 1))
    for row, text in enumerate(texts):
        data = text.encode()
        expected = told(found, row)
        assert expected.covered == expected.words  # a text covers itself
        for _, start, end in expected.spans:
            assert 0 <= start < end <= len(data)
            data[start:end].decode()
            data[:start].decode()


def test_a_hash_is_the_64_bits_of_which_a_shingle_is_the_upper_half() -> None:
    text = pa.array(["one two three four five six seven eight"], pa.large_string())
    _, shingles = shingle_hashes(text, 3)
    known = index([[text.to_pylist()]], 3, 1)
    assert sorted(shingles.tolist()) == (known.grams >> np.uint64(32)).tolist()
    assert hits(text, known).lengths.tolist() == [3] * 6


@pytest.mark.parametrize(("count", "found"), [(4, 0), (5, 5), (12, 12), (13, 13), (14, 14)])
def test_a_short_reference_is_looked_for_as_a_whole_and_a_very_short_one_never(count: int, found: int) -> None:
    reference = " ".join(f"w{i}" for i in range(count))
    known = index([[[reference]]], n=13, shortest=5)
    assert overlaps(pa.array([f"before {reference} behind"]), known).covered.tolist() == [found]
    cut = reference.rsplit(" ", 1)[0]
    # Without its last word a text of up to 13 words is not found; one of 14 still has an n-gram.
    assert overlaps(pa.array([f"before {cut} behind"]), known).covered.tolist() == [13 if count == 14 else 0]


def test_references_of_every_length_are_found_beside_one_another() -> None:
    references = [" ".join(f"w{size}x{i}" for i in range(size)) for size in range(3, 20)]
    known = index([[[text] for text in references]], n=13, shortest=3)
    assert known.lengths.tolist() == list(range(3, 14))
    found = overlaps(pa.array(["; ".join(references)]), known)
    assert found.items.tolist() == list(range(17))
    assert (found.covered, found.longest) == (found.words, found.words)


def test_an_n_gram_counts_for_every_item_and_set_that_has_it() -> None:
    shared, own = "one two three", "four five six"
    known = index([[[shared], [own]], [[own], [shared, shared], [f"{shared} {own}"]]], n=3, shortest=3)
    found = told(overlaps(pa.array([f"x {shared} y"]), known), 0)
    assert found.sets == [(0, 3, [0]), (1, 3, [3, 4])]
    assert found.most == 0  # a tie goes to the set given first
    assert told(overlaps(pa.array([f"{own} y"]), known), 0).sets == [(0, 3, [1]), (1, 3, [2, 4])]
    assert told(overlaps(pa.array([f"{shared} {own}"]), known), 0).most == 0
    assert told(overlaps(pa.array(["three four five"]), known), 0).sets == [(1, 3, [4])]


def test_neighbouring_matches_are_one_run_and_one_span() -> None:
    known = index([[["one two three"], ["four five six"]]], n=3, shortest=3)
    text = "Zero (One, two; three) FOUR five six. One two three"
    found = told(overlaps(pa.array([text]), known), 0)
    assert (found.covered, found.longest) == (9, 9)
    assert [text.encode()[a:b].decode() for _, a, b in found.spans] == [text[6:]]


def test_every_gram_of_a_large_reference_is_found_and_none_of_another_text() -> None:
    rng = np.random.default_rng(1)
    reference, other = (" ".join(f"{prefix}{i}" for i in rng.integers(5000, size=60_000)) for prefix in "ab")
    known = index([[[reference]]], 4, 1)
    assert len(known.grams) > 59_000
    found = overlaps(pa.array([reference, other]), known)
    assert (found.covered[0], found.longest[0]) == (60_000, 60_000)
    assert (found.covered[1], found.set_bounds[2] - found.set_bounds[1]) == (0, 0)


def test_a_document_does_not_see_its_neighbours() -> None:
    texts = [f"{'x ' * (i % 5)}alpha beta gamma {'delta ' * (i % 3)}and naïve 中文 {i}" for i in range(50)]
    known = index([[[texts[3]], [texts[4]]], [[texts[8]]]], 4, 2)
    array = pa.array(texts, pa.large_string())
    whole = [told(overlaps(array, known), row) for row in range(50)]
    for piece in (array[7:31], pa.chunked_array([array[7:9], array[9:9], array[9:31]]), pa.array(texts[7:31])):
        assert [told(overlaps(piece, known), row) for row in range(24)] == whole[7:31]
    assert [told(overlaps(array.take(pa.array(range(49, -1, -1))), known), row) for row in range(50)] == whole[::-1]


def test_without_references_nothing_is_found() -> None:
    for sets in ([[]], [[[]]], [[["too short"]], []]):
        known = index(sets, 13, 5)
        found = overlaps(pa.array(["too short", "", "a b c d e f g h i j k l m n"]), known)
        assert found.words.tolist() == [2, 0, 14]
        assert not found.covered.any()
        assert found.most.tolist() == [-1, -1, -1]
    assert overlaps(pa.array([], pa.large_string()), known).set_bounds.tolist() == [0]


def test_hits_come_by_their_ends_with_bytes_of_the_document() -> None:
    known = index([[["b c"], ["a b c"], ["c d"]]], n=3, shortest=2)
    found = hits(pa.array(["éa b, c d", "", "b c"]), known)
    assert found.documents.tolist() == [0, 2, 2, 3]
    assert list(zip(found.first.tolist(), found.lengths.tolist(), strict=True)) == [(1, 2), (2, 2), (0, 2)]
    assert list(zip(found.starts.tolist(), found.ends.tolist(), strict=True)) == [(4, 8), (7, 10), (0, 3)]
    assert all(a <= b for a, b in pairwise(found.ends[:2]))


def test_wrong_arguments() -> None:
    text = pa.array(["a b"], pa.large_string())
    for items, n, shortest in (([0, 1], 3, 1), ([0], 0, 1), ([0], 3, 0)):
        with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
            build(text, np.array(items), np.array([0, 2]), n, shortest)
    with pytest.raises(TypeError):
        overlaps(pa.array([1]), index([[["a"]]], 1, 1))
