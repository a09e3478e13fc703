"""What is put in the place of what was found, until nothing is found."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from curation.rules.pii.scan import TYPES, Spans, find, put
from curation.text.compiling import njit
from curation.text.edits import apply_edits
from schemas.documents import EDIT, EDITS

TAGS = dict(zip(TYPES, ("[EMAIL]", "[PHONE]", "[IP]", "[IP]", "[CARD]", "[IBAN]", "[SECRET]"), strict=True))
EXAMPLES = {
    "email": "email@example.com",
    "phone": "555-0100",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "credit_card": "0000 0000 0000 0000",
    "iban": "XX00 0000 0000 0000",
    "secret": "example-secret",
}
"""What belongs to nobody: the e-mail address is one of datatrove's (PIIFormatter), the others are reserved for
documentation (RFC 5737, RFC 3849) and fiction (NANP 555-01XX), or of no issuer and no country."""


def redact(text: pa.LargeStringArray, matches: Spans, replacements: Mapping[str, str]) -> pa.ListArray:
    """Edits that put `replacements` in the place of what `find` found of their types (`schemas.documents.EDITS`).

    `find` finds nothing of these types in the edited text. Where a replacement brings two neighbours together that
    are found together, or takes away what spoke against one of them, they are replaced too, with the replacements
    between them, until nothing is found. No replacement may be empty, nor be found itself.
    """
    lengths = np.array([len(replacements.get(type, "").encode()) for type in TYPES])
    rows = np.flatnonzero(np.diff(matches.documents))
    some = text.take(pa.array(rows))
    edits = matches._replace(documents=matches.documents[np.append(rows, len(text))])
    while len((again := find(apply_edits(some, _edits(edits, replacements)), replacements)).starts):
        edits = Spans(*_merge(edits, again, lengths))
    counts = np.zeros(len(text) + 1, np.int64)
    counts[rows + 1] = np.diff(edits.documents)
    return _edits(edits._replace(documents=np.cumsum(counts)), replacements)


def _edits(matches: Spans, replacements: Mapping[str, str]) -> pa.ListArray:
    fields = [
        pa.array(["text"], pa.string()).take(pa.array(np.zeros(len(matches.starts), np.int32))),
        pa.array(matches.starts),
        pa.array(matches.ends),
        pa.array([replacements.get(type, "") for type in TYPES], pa.string()).take(pa.array(matches.types)),
    ]
    bounds = pa.array(matches.documents, pa.int32())
    return pa.ListArray.from_arrays(bounds, pa.StructArray.from_arrays(fields, fields=list(EDIT)), type=EDITS)


@njit(nogil=True, cache=True)
def _merge(edits, again, lengths):  # type: ignore[no-untyped-def]
    """Edits of the given texts, where spans of the edited ones are to be replaced too.

    Each later span takes in the edits whose replacements it touches. `lengths` are the bytes of the replacements.
    """
    documents, starts, ends, types = edits
    n = len(documents) - 1
    bounds = np.zeros(n + 1, np.int64)
    merged = np.empty((len(starts) + len(again.starts), 3), np.int64)
    count = 0
    for document in range(n):
        edit = documents[document]
        shift = 0  # given position less edited position, behind the edits passed
        covered = 0  # end of the last replacement taken in, in the edited text
        for number in range(again.documents[document], again.documents[document + 1]):
            start, end = np.int64(again.starts[number]), np.int64(again.ends[number])
            while edit < documents[document + 1]:  # edits before it stay
                length = lengths[types[edit]]
                if starts[edit] - shift + length > start:
                    break
                put(merged, count, starts[edit], ends[edit], types[edit])
                count += 1
                shift += np.int64(ends[edit]) - starts[edit] - length
                edit += 1
            first, last = start + shift, end + shift
            if start < covered:  # in a replacement that the span before it took in
                count -= 1
                first, last = merged[count, 0], max(merged[count, 1], last)
            while edit < documents[document + 1] and starts[edit] - shift < end:
                length = lengths[types[edit]]
                first = min(first, np.int64(starts[edit]))
                covered = starts[edit] - shift + length
                shift += np.int64(ends[edit]) - starts[edit] - length
                last = max(np.int64(ends[edit]), end + shift)
                edit += 1
            put(merged, count, first, last, again.types[number])
            count += 1
        while edit < documents[document + 1]:
            put(merged, count, starts[edit], ends[edit], types[edit])
            count += 1
            edit += 1
        bounds[document + 1] = count
    rows = merged[:count]
    return bounds, rows[:, 0].astype(np.uint32), rows[:, 1].astype(np.uint32), rows[:, 2].astype(np.uint8)
