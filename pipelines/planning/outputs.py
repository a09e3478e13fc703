"""Columns of the dataset: what the recipe names, held against what the files have and the stages measure."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

import pyarrow as pa

from curation.plan import BULKY, OutputColumn
from pipelines.planning.columns import at_line
from pipelines.recipe.load import Loaded
from schemas.errors import Finding

ONE_MEANING = (
    "give the stage another `id:`, map the column to a name of its own in input.columns, name it yourself with"
    " `{name: column}`, or leave one out"
)


def output_columns(
    loaded: Loaded, mapping: dict[str, str], unified: dict[str, pa.DataType]
) -> tuple[tuple[OutputColumn, ...], list[Finding]]:
    """The columns that will be written, and what is wrong with those that are asked for.

    A mapped name comes before a column of the input that is called so. Where no file can be read, each column that is
    no stage's may be there, and is null.
    """
    output = loaded.recipe.output
    if output.columns is None:  # every source column under its own name, whatever else has been mapped to that name
        return tuple(OutputColumn(name, name) for name in unified), []
    measured = {
        stage.id: [field.name for field in built.fields if field.name not in BULKY]
        for stage, built in zip(loaded.recipe.stages, loaded.stages, strict=True)
    }
    chosen: list[tuple[int, OutputColumn]] = []
    findings: list[Finding] = []

    def add(position: int, code: str, message: str, hint: str) -> None:
        line = loaded.line("output", "columns", position) or loaded.line("output", "columns")
        findings.append(at_line(loaded, line, Finding(code, message, hint)))

    for position, name, meant in output.named:
        source = mapping.get(meant, meant)
        stage, _, field = meant.partition(".")
        if source in unified or (not unified and stage not in measured):
            chosen.append((position, OutputColumn(name or meant, source)))
        elif meant in mapping:  # its column is missing, which is said of the input
            continue
        elif stage not in measured:
            known = sorted({*unified, *mapping, *measured})
            near = get_close_matches(meant, known, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            hint += f"columns of the input: {', '.join(unified)}; of stages: {', '.join(sorted(measured)) or 'none'}"
            add(position, "C025", f"output column '{meant}' is neither a column of the input nor of a stage", hint)
        elif name and not field:
            message = f"output column '{name}' is all of stage '{stage}', which is many columns"
            add(
                position, "C025", message, f"name one of them: {', '.join(f'{stage}.{one}' for one in measured[stage])}"
            )
        else:
            chosen += [
                (position, OutputColumn(name or f"{stage}_{one}", None, stage, one))
                for one in ([field] if field else measured[stage])
            ]
    if not unified:  # that is said elsewhere
        return tuple(column for _, column in chosen), findings
    if not output.columns:
        finding = Finding("C025", "output.columns is empty", "without `columns`, all source columns are written")
        findings.append(at_line(loaded, loaded.line("output", "columns"), finding))
    doubtful = set()
    for position, meant, told in _ambiguous(loaded, mapping, unified):
        doubtful.add(position)
        add(position, "C058", f"output column '{meant}' has two meanings: {told}", ONE_MEANING)
    by_name: dict[str, OutputColumn] = {}
    for position, column in chosen:
        other = by_name.setdefault(column.name.casefold(), column)
        if other != column and position not in doubtful:
            told = f"{_meaning(other)} and {_meaning(column)}"
            if other.name != column.name:
                told += f", since '{other.name}' differs in case only"
            hint = "name one of them yourself: `{another_name: " + column.identity[1] + "}`"
            add(position, "C058", f"output column '{column.name}' has two meanings: {told}", hint)
    return tuple(by_name.values()), findings


def _meaning(column: OutputColumn) -> str:
    if column.origin is None:
        return f"'{column.field}' of stage '{column.stage}'"
    return f"column '{column.origin}' of the input"


def _ambiguous(
    loaded: Loaded, mapping: dict[str, str], unified: dict[str, pa.DataType]
) -> Iterator[tuple[int, str, str]]:
    """Position, name and both meanings of output columns that could be either of two."""
    meaning_of: dict[str, str] = {}
    for stage, built in zip(loaded.recipe.stages, loaded.stages, strict=True):
        meaning_of[stage.id.casefold()] = f"stage '{stage.id}'"
        names = ["status", *(field.name for field in built.fields)]
        meaning_of.update({f"{stage.id}.{name}".casefold(): f"'{name}' of stage '{stage.id}'" for name in names})
    theirs: dict[str, str] = {}
    for name in unified:
        theirs.setdefault(name.casefold(), name)
    for position, _, meant in loaded.recipe.output.named:
        folded = meant.casefold()
        meanings = []
        if meant in mapping and mapping[meant] in unified:
            meanings.append(f"column '{mapping[meant]}' of the input, mapped to '{meant}'")
        elif folded in theirs:
            meanings.append(f"column '{theirs[folded]}' of the input")
        if folded in meaning_of:
            meanings.append(meaning_of[folded])
        if len(meanings) > 1:
            yield position, meant, " and ".join(meanings)
