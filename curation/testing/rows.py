"""Documents as a scorer is given them, what it says of them, and whether two say the same."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from curation.scorers.alone import run
from curation.scorers.base import HEAD, Context, Scorer, Transform
from schemas.documents import EDITS, OK, TEXT

Document = Mapping[str, Any]
"""Values by column. `text` may be left out of documents of which it is not read."""
Row = dict[str, Any]
"""What a scorer says of one document: its fields, `status` and `message`."""


def build(
    cls: type[Scorer],
    settings: BaseModel | Mapping[str, Any],
    context: Context,
    pool: Sequence[Document],
    folder: Path,
) -> Scorer:
    """The scorer, fitted on `pool` where it has to be; what it learned lies below `folder`."""
    from safetensors.numpy import save_file

    if not isinstance(settings, BaseModel):
        settings = cls.Settings.model_validate(dict(settings))
    scorer = cls(settings, context)
    if not scorer.fitted:
        return scorer
    artifact = scorer.fit(batch_of(scorer, pool if scorer.sample_rows else []))
    into = Path(tempfile.mkdtemp(dir=folder))
    save_file({name: np.ascontiguousarray(value) for name, value in artifact.tensors.items()}, into / HEAD)
    return cls(settings, Context(context.recipe_dir, into, context.cache))


def batch_of(scorer: Scorer, documents: Sequence[Document]) -> pa.RecordBatch:
    """Documents as a shard would give them to the scorer: every column that it or its requirements read."""
    numbers = number_columns(scorer)
    columns = {}
    for name in sorted(scorer.all_reads() | {"text"}):
        without = [row for row, document in enumerate(documents) if name not in document]
        require(not without or name == "text", f"{scorer.kind} reads '{name}', which document {without[:1]} lacks")
        columns[name] = pa.array(
            [document.get(name, "") for document in documents], pa.float64() if name in numbers else TEXT
        )
    return pa.RecordBatch.from_pydict(columns)


def rows_of(scorer: Scorer, documents: Sequence[Document]) -> list[Row]:
    """What the scorer says of each document. Asserts that it has the declared shape."""
    kind, result = scorer.kind, run(scorer, batch_of(scorer, documents))
    require(isinstance(result, pa.RecordBatch), f"{kind} returns {type(result).__name__}, not a record batch")
    require(result.num_rows == len(documents), f"{kind} returns {result.num_rows} rows for {len(documents)} documents")
    edits = [pa.field("edits", EDITS)] if isinstance(scorer, Transform) else []
    for item in [*scorer.fields, *edits]:
        require(item.name in result.schema.names, f"{kind} returns no column '{item.name}', which `fields` declares")
        returned = result.column(item.name).type
        require(returned == item.type, f"{kind} declares {item.name} as {item.type} and returns {returned}")
    return [{**row, "status": row.get("status") or OK, "message": row.get("message")} for row in result.to_pylist()]


def require(holds: bool, message: str) -> None:
    if not holds:  # no `assert`, which `python -O` leaves out
        raise AssertionError(message)


def bits(row: Row | None) -> str:
    """Equal where every bit is: NaN equals itself, and -0.0 is not 0.0."""
    return repr(row)


def require_same(how: str, rows: Sequence[int] | range | np.ndarray, scored: list[Row], together: list[Row]) -> None:
    """That documents `rows` have what they had all together."""
    for row, now in zip(rows, scored, strict=True):
        if bits(now) != bits(together[row]):
            raise AssertionError(f"{how}, document {row} has other values: {difference(now, together[row])}")


def difference(row: Row, expected: Row) -> str:
    names = [name for name in expected if bits(row.get(name)) != bits(expected[name])]
    return "; ".join(f"{name} {str(row.get(name))[:80]}, not {str(expected[name])[:80]}" for name in names)


def described(document: Document, scorer: Scorer) -> str:
    values = {name: document.get(name) for name in sorted(scorer.all_reads()) if name in document}
    return ", ".join(f"{name} {repr(value)[:40]}" for name, value in values.items())


def number_columns(scorer: Scorer) -> set[str]:
    return set(scorer.numbers).union(*map(number_columns, scorer.requires().values()))


def text_columns(scorer: Scorer) -> list[str]:
    return sorted(scorer.all_reads() - number_columns(scorer))


def shard_bounds(count: int) -> list[tuple[int, int]]:
    """Shards of most unequal sizes."""
    ends = [end for end in (3, 14, 15) if end < count]
    return list(zip([0, *ends], [*ends, count], strict=True))
