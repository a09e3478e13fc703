"""Gates: one scalar, deterministic SQL condition over the columns of stages, evaluated over Arrow by DuckDB.

A stage's columns are one struct named by its id, so a gate reads `language.prob > 0.65 and language.lang = 'en'`.
DuckDB's own grammar parses it and DuckDB evaluates it; what is allowed in between is decided on the syntax tree, by
naming what is allowed, so a construct of a later DuckDB is refused until somebody has looked at it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from curation.gates.checking import check, check_constants
from curation.gates.database import limited
from curation.gates.evaluation import evaluate
from curation.gates.parsing import parse
from curation.gates.trial import BATCH
from curation.gates.verdicts import DROPS, ERRORED, PASSED, UNKNOWN, Conjunct, GateError, Span, Verdicts

__all__ = [
    "DROPS",
    "ERRORED",
    "PASSED",
    "UNKNOWN",
    "Conjunct",
    "Gate",
    "GateError",
    "Span",
    "Verdicts",
    "values",
]


@dataclass(frozen=True)
class Gate:
    """A parsed gate. Plain data: it may be pickled and sent to a worker."""

    sql: str
    canonical: str
    """The same condition as DuckDB writes it: equal for gates that differ in spacing and comments only."""
    conjuncts: tuple[Conjunct, ...]
    columns: tuple[str, ...]
    """`stage.column` names that it reads, in order of appearance."""
    spans: tuple[Span | None, ...]
    """Where each of `columns` first stands in `sql`."""
    simple: bool
    """Whether what it computes cannot be much larger than what it reads."""

    @classmethod
    def parse(cls, sql: str) -> Gate:
        """Read a gate.

        Raises GateError: C009 where DuckDB's grammar refuses it, C011 where it is more than one expression, or
        contains a subquery, an aggregate, a window, a star, a parameter or a function that is not deterministic.
        """
        found = parse(sql)
        return cls(sql, found.canonical, found.conjuncts, found.columns, found.spans, found.simple)

    @property
    def stages(self) -> tuple[str, ...]:
        """Ids of the stages that it reads, as written; SQL does not tell their case apart, so see `stages_of`."""
        return tuple(dict.fromkeys(name.split(".")[0] for name in self.columns))

    def stages_of(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Those of `ids` that it reads, however it writes them."""
        read = {stage.casefold() for stage in self.stages}
        return tuple(stage for stage in ids if stage.casefold() in read)

    def check(self, stage_fields: Mapping[str, Sequence[pa.Field]], later: Collection[str] = ()) -> None:
        """Bind the gate to the columns of this and earlier stages (each also has a string column `status`), and
        evaluate it on no row, on one of nulls and on some made-up ones, within the limits of time and memory.

        `later` names stages that exist but run after the gate. Raises GateError: C010 for an unknown stage or
        column, C011 for a condition that does not bind, or is not boolean, C056 for one that fails or holds for no
        document, C057 beyond the limits.
        """
        check(self, stage_fields, later)

    def check_constants(self) -> None:
        """What can be said of an expression whose columns are not known yet. Raises GateError C056 for a constant part
        that cannot be computed, C057 for one beyond the limits of time and memory."""
        check_constants(self)

    def evaluate(self, structs: Mapping[str, pa.StructArray]) -> Verdicts:
        """Decide on n documents.

        `structs` has one struct array of length n for each stage; those that the gate does not read are not
        touched. A document for which the condition cannot be computed (a failing cast) is `errored`, whatever its
        neighbours are; the conditions to the right of the first false one are not computed for it. Raises CurationError
        C057 beyond the limits of time and memory.
        """
        return evaluate(self, structs)


def values(expression: Gate, columns: pa.Table) -> pa.ChunkedArray:
    """What a parsed expression gives for each row of plain columns [n]; it need be no condition.

    Raises duckdb.Error where it does not bind to the columns, or cannot be computed for some row; CurationError C057
    beyond the limits of time and memory.
    """
    with limited("the expression", columns.num_rows) as connection:
        connection.register(BATCH, columns)
        try:
            query = f'SELECT ({expression.canonical}) AS value FROM "{BATCH}"'
            return connection.sql(query).to_arrow_table().column("value")
        finally:
            connection.unregister(BATCH)
