"""Answers that begin with a refusal, by a list of phrases.

A phrase is found where the answer begins with its words (`curation.text.shingles`), so that case, quotes, asterisks and
the form of the apostrophe make no difference. In the middle of an answer it counts for nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.text import overlap

PHRASES = (
    *("as an ai", "as a language model", "as a large language model", "as an artificial intelligence"),
    *("i am an ai language model", "i'm an ai language model", "i am just an ai", "i'm just an ai"),
    *("i'm sorry but i can't", "i'm sorry but i cannot", "i'm sorry but i can not", "i'm sorry but i'm not able"),
    *("i'm sorry but i'm unable", "i'm sorry but i am unable", "i'm sorry but i am not able", "i'm sorry but i won't"),
    *("i'm sorry i can't", "i'm sorry i cannot", "i'm sorry but as an ai", "i'm sorry but as a language model"),
    *("i'm sorry but that's not something i can", "i'm sorry but it is not appropriate"),
    *("i am sorry but i can't", "i am sorry but i cannot", "i am sorry but i am unable", "i am sorry but i won't"),
    *(
        "i am sorry but i am not able",
        "i am sorry i can't",
        "i am sorry i cannot",
        "i am sorry but as an ai",
        "i am sorry but as a language model",
    ),
    *("sorry but i can't", "sorry but i cannot", "sorry i can't", "sorry i cannot", "sorry but as an ai"),
    *("i apologize but i can't", "i apologize but i cannot", "i apologize but as an ai", "i apologize but i'm unable"),
    *("i apologise but i can't", "i apologise but i cannot", "i apologise but as an ai", "i apologise but i'm unable"),
    *("i can't assist with", "i can't help with", "i can't fulfill", "i can't provide", "i can't answer"),
    *("i cannot assist with", "i cannot help with", "i cannot fulfill", "i cannot provide", "i cannot answer"),
    *("i can't comply", "i can't engage in", "i cannot comply", "i cannot engage in", "i must decline"),
    *("i'm unable to", "i am unable to", "i'm not able to", "i am not able to", "i'm not programmed to"),
    *("unfortunately i can't", "unfortunately i cannot", "unfortunately i'm unable", "unfortunately i am unable"),
    *("unfortunately i'm not able", "unfortunately i am not able", "unfortunately as an ai"),
    *("it is not appropriate for me to", "it's not appropriate for me to", "i will not provide", "i won't provide"),
)
"""How English chat models decline, in the words of ChatGPT's, Claude's and Llama's answers. A person may begin so too,
in a letter that was asked for, say."""
CHARACTERS = 200
"""Of an answer's beginning are read."""
_LONGEST = 32


class Refusals(NamedTuple):
    """A list of phrases, and where each is found."""

    written: pa.LargeStringArray
    """As they stand in the list."""
    grams: overlap.Index


def refusals(written: pa.LargeStringArray) -> Refusals:
    """Phrases, one an entry. Raises ValueError for one without any word, or with more than 32."""
    count = len(written)
    index = overlap.build(written, np.arange(count), np.array([0, count]), n=_LONGEST, shortest=1)
    for row in np.flatnonzero(np.bincount(index.items, minlength=count) != 1)[:1]:
        raise ValueError(f"'{written[row]}' is no phrase of 1 to {_LONGEST} words")
    return Refusals(written, index)


def begins_with(text: pa.Array, refusals: Refusals) -> pa.StringArray:
    """The longest phrase that each text begins with, null for none."""
    hits = overlap.hits(pc.utf8_slice_codeunits(text, 0, CHARACTERS), refusals.grams)
    first_hits = np.flatnonzero(hits.first == 0)
    rows = np.searchsorted(hits.documents, first_hits, side="right") - 1
    phrase = np.full(len(text), -1, np.int64)
    phrase[rows] = refusals.grams.items[refusals.grams.item_bounds[hits.grams[first_hits]]]  # longer ones come later
    return refusals.written.take(pa.array(phrase, mask=phrase < 0)).cast(pa.string())
