"""A scorer of one's own: which share of a document is addresses. Lists of links read well to a language model, and
teach it little."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from curation_engine import Scorer

ADDRESS = r"https?://\S+"


class LinkDensity(Scorer):
    """Column `share` float64 in [0, 1]: bytes of addresses by bytes of text."""

    kind = "link-density"
    version = 1  # raised whenever the same document would get another value

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("share", pa.float64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        text = batch.column("text")
        size = pc.cast(pc.binary_length(text), pa.float64())
        rest = pc.cast(pc.binary_length(pc.replace_substring_regex(text, ADDRESS, "")), pa.float64())
        blank = pc.equal(size, 0)
        share = pc.divide(pc.subtract(size, rest), pc.if_else(blank, None, size))
        return pa.record_batch({"share": share, "status": pc.if_else(blank, "empty", "ok")})
