"""Edits of texts as byte spans: applied to Arrow buffers by a kernel, composed when one follows another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.text.arrow import buffers
from curation.text.compiling import njit
from schemas.documents import EDITS, TEXT

Edit = tuple[int, int, bytes]
"""Start, end, replacement: bytes [start, end) of the text become `replacement`."""
_ENDLESS = 1 << 62


def apply_edits(text: pa.Array | pa.ChunkedArray, edits: pa.ListArray, field: str = "text") -> pa.LargeStringArray:
    """The texts with the edits of `field` done; edits of other fields are passed over.

    `edits` has type `schemas.documents.EDITS` and as many rows as `text`; a null row has no edits, a null text becomes
    an empty one. Raises ValueError for edits that are not ascending and disjoint, reach outside their document or cut
    a character in two, and names the first such row.
    """
    if len(text) != len(edits):
        raise ValueError(f"{len(text)} texts, but edits for {len(edits)}")
    offsets, data = buffers(text)
    bounds, starts, ends, replacements = _spans(edits, field)
    replacement_offsets, replacement_data = buffers(replacements)
    lengths, bad = _edited_lengths(offsets, data, bounds, starts, ends, replacement_offsets)
    if bad >= 0:
        raise ValueError(f"row {bad}: edits of {field!r} overlap, leave the text or cut a character in two")
    out_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    out = np.empty(out_offsets[-1], np.uint8)
    _copy_edited(offsets, data, bounds, starts, ends, replacement_offsets, replacement_data, out)
    return pa.Array.from_buffers(TEXT, len(lengths), [None, pa.py_buffer(out_offsets), pa.py_buffer(out)])


def compose(first: pa.ListArray, second: pa.ListArray) -> pa.ListArray:
    """Edits of the source that do what `first` (source to t1) and then `second` (t1 to t2) do.

    Both have type `schemas.documents.EDITS`, one row a document; so has the result, its edits ascending and disjoint
    within each field. An edit never grows over characters that both steps kept.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} rows of edits composed with {len(second)}")
    count = len(first)
    touched = pc.greater(pc.fill_null(pc.list_value_length(second), 0), 0).to_numpy(zero_copy_only=False)
    both = touched & pc.greater(pc.fill_null(pc.list_value_length(first), 0), 0).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(both)
    # Python objects only for documents that both steps edit: mapping one step's spans through the other is sequential.
    composed = [
        _compose_document(a, b)
        for a, b in zip(first.take(pa.array(rows)).to_pylist(), second.take(pa.array(rows)).to_pylist(), strict=True)
    ]
    source = np.where(touched, count, 0) + np.arange(count)
    source[rows] = 2 * count + np.arange(len(rows))
    pool = pa.concat_arrays([first.cast(EDITS), second.cast(EDITS), pa.array(composed, EDITS)])
    return pool.take(pa.array(source))


def compose_spans(first: list[Edit], second: list[Edit]) -> list[Edit]:
    """`compose` for one field of one document; both lists ascending and disjoint."""
    pieces = _pieces(first)
    result: list[Edit] = []
    kept = 0  # end of the source's bytes that the result has kept so far
    fresh: list[bytes] = []  # new text since then
    piece = 0
    position = 0  # in t1
    for start, end, replacement in [*second, (_ENDLESS, _ENDLESS, b"")]:
        while position < start:
            piece_start, stop, source, new = pieces[piece]
            if stop <= position:
                piece += 1
                continue
            upto = min(stop, start)
            if source < 0:
                fresh.append(new[position - piece_start : upto - piece_start])
            else:
                _note(result, kept, source + position - piece_start, b"".join(fresh))
                kept = source + upto - piece_start
                fresh = []
            position = upto
        fresh.append(replacement)
        position = end
    return result


def _pieces(edits: list[Edit]) -> list[tuple[int, int, int, bytes]]:
    """The edited text as pieces: start and end in it, start in the source or -1 for new text, the new text."""
    pieces = []
    source = position = 0
    for start, end, replacement in edits:
        if start > source:
            pieces.append((position, position + start - source, source, b""))
            position += start - source
        if replacement:
            pieces.append((position, position + len(replacement), -1, replacement))
            position += len(replacement)
        source = end
    pieces.append((position, 2 * _ENDLESS, source, b""))
    return pieces


def _note(result: list[Edit], start: int, end: int, replacement: bytes) -> None:
    if end > start or replacement:
        result.append((start, end, replacement))


def _compose_document(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    composed = []
    for field in dict.fromkeys(edit["field"] for edit in [*first, *second]):
        spans = compose_spans(_of_field(first, field), _of_field(second, field))
        composed += [
            {"field": field, "start": start, "end": end, "replacement": replacement.decode()}
            for start, end, replacement in spans
        ]
    return composed


def _of_field(edits: list[dict[str, Any]], field: str) -> list[Edit]:
    return [(edit["start"], edit["end"], edit["replacement"].encode()) for edit in edits if edit["field"] == field]


def _spans(
    edits: pa.ListArray, field: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], pa.StringArray]:
    """The edits of one field: bounds of each document's, shape (n + 1,), and starts, ends, replacements of them all."""
    if edits.null_count:  # a null list may own edits, which must not count
        edits = pc.coalesce(edits, pa.scalar([], edits.type))
    flat = edits.flatten()
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(pc.list_value_length(edits).to_numpy().astype(np.int64))])
    ours = pc.equal(flat.field("field"), field)
    counted = np.concatenate([np.zeros(1, np.int64), np.cumsum(ours.to_numpy(zero_copy_only=False))])
    flat = flat.filter(ours)
    starts = flat.field("start").to_numpy(zero_copy_only=False).astype(np.int64)
    ends = flat.field("end").to_numpy(zero_copy_only=False).astype(np.int64)
    return counted[bounds].astype(np.int64), starts, ends, flat.field("replacement")


@njit(nogil=True, cache=True)
def _edited_lengths(offsets, data, bounds, starts, ends, replacement_offsets):  # type: ignore[no-untyped-def]
    """Bytes of each edited text, and the first row whose edits cannot be done, or -1."""
    n = len(offsets) - 1
    lengths = np.empty(n, np.int64)
    for document in range(n):
        base = offsets[document]
        size = offsets[document + 1] - base
        length = size
        last = 0
        for edit in range(bounds[document], bounds[document + 1]):
            start, end = starts[edit], ends[edit]
            if start < last or end < start or end > size:
                return lengths, document
            for place in (start, end):
                if place < size and data[base + place] & 0xC0 == 0x80:
                    return lengths, document
            length += replacement_offsets[edit + 1] - replacement_offsets[edit] - (end - start)
            last = end
        lengths[document] = length
    return lengths, -1


@njit(nogil=True, cache=True)
def _copy_edited(  # type: ignore[no-untyped-def]
    offsets, data, bounds, starts, ends, replacement_offsets, replacement_data, out
):
    cursor = 0
    for document in range(len(offsets) - 1):
        base = offsets[document]
        last = 0
        for edit in range(bounds[document], bounds[document + 1]):
            size = starts[edit] - last
            out[cursor : cursor + size] = data[base + last : base + starts[edit]]
            cursor += size
            size = replacement_offsets[edit + 1] - replacement_offsets[edit]
            out[cursor : cursor + size] = replacement_data[replacement_offsets[edit] : replacement_offsets[edit + 1]]
            cursor += size
            last = ends[edit]
        size = offsets[document + 1] - base - last
        out[cursor : cursor + size] = data[base + last : offsets[document + 1]]
        cursor += size
