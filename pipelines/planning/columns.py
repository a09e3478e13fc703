"""Columns that a recipe maps, reads and writes, held against those that the files have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

import pyarrow as pa

from curation.formats.columns import Columns
from curation.sources import SourceFile, column_types
from curation.sources.jsonl import NESTED, PARTS, STRICT
from curation.sources.shapes import plain
from curation.sources.texts import nameable, nested, usable
from pipelines.recipe.document import excerpt_of
from pipelines.recipe.load import Loaded
from schemas.documents import TEXT
from schemas.errors import Finding


def readable_apart(files: tuple[SourceFile, ...], name: str, available: Columns) -> bool:
    """Whether a column can be read from each file in that file's own type, since only the format reads it."""
    kinds = [plain(file.schema.field(name).type) for file in files if file.schema and name in file.schema.names]
    part = next(part for part in available.parts if available.mapping[part] == name)
    return all(pa.types.is_null(kind) or _readable(available, part, kind) for kind in kinds)


def check_input(
    loaded: Loaded,
    files: tuple[SourceFile, ...],
    available: Columns,
    unified: dict[str, pa.DataType],
    reads: set[str],
    numbers: set[str],
) -> list[Finding]:
    """Mapped columns that are missing, or not of a type that can be read as what they are mapped to."""
    findings = []
    # A file of malformed lines alone has no columns: its documents are counted as errored.
    filled = [file for file in files if file.schema and file.rows]
    names = {file.path: set(file.schema.names) for file in filled}  # type: ignore[union-attr]
    for name in sorted((reads | numbers) - set(available.names)):
        message = f"no input column is mapped to '{name}', which a stage reads"
        findings.append(at_line(loaded, loaded.line("input"), Finding("C021", message, "add it to input.columns")))
    for name, source in available.mapping.items():
        line = loaded.line("input", "columns", name) or loaded.line("input", "columns") or loaded.line("input")
        without_source = [file for file in filled if source not in names[file.path]]
        finding = None
        if without_source and (name in {*reads, *numbers, *available.parts} or len(without_source) == len(filled)):
            more = f" and {_files(len(without_source) - 1)} more" if len(without_source) > 1 else ""
            there = ", ".join(without_source[0].schema.names)  # type: ignore[union-attr]
            message = f"input column '{source}' (for {name}) is missing in {without_source[0].path}{more}"
            finding = Finding("C021", message, f"columns there: {there}; map one with `columns: {{{name}: ...}}`")
        elif source in unified and name in available.parts and not _readable(available, name, unified[source]):
            message = f"input column '{source}' (for {name}) is {unified[source]}, which cannot be read as {name}"
            finding = Finding("C022", message, f"map input.columns.{name} to a column that holds {name}")
        elif source in unified and name in reads - {"id"} and not _texts(name, unified[source]):
            message = f"input column '{source}' (for {name}) is {unified[source]}, not text"
            finding = Finding("C022", message, f"map input.columns.{name} to a string column")
        elif (
            source in unified
            and name in numbers
            and not column_types.numeric(unified[source])
            and not _all_numerals(filled, source)
        ):
            message = (
                f"input column '{source}' (for {name}) is {unified[source]}, not numbers{_first_text(filled, source)}"
            )
            finding = Finding("C022", message, f"map input.columns.{name} to a column of numbers or booleans")
        elif source in unified and name == "id" and not nameable(unified[source]):
            message = f"input column '{source}' (for id) is {unified[source]}, which names nothing"
            finding = Finding("C022", message, "map input.columns.id to a column of strings or numbers")
        if finding is not None:
            findings.append(at_line(loaded, line, finding))
    return findings


def _all_numerals(files: list[SourceFile], source: str) -> bool:
    """Whether a column of texts holds numbers alone, some too long for a number's type."""
    fields = [file.schema.field(source) for file in files if file.schema and source in file.schema.names]
    return all(column_types.is_number(field) for field in fields)


def _first_text(files: list[SourceFile], source: str) -> str:
    """Where a column of JSON or CSV has its first value that is no number."""
    for file in files:
        if file.schema and source in file.schema.names:
            line = column_types.first_line(file.schema.field(source), "str", "list")
            if line is not None:
                return f": the first text is in line {line} of {file.path}"
    return ""


def _texts(name: str, kind: pa.DataType) -> bool:
    """Whether a column can be read as what it is mapped to: lists and objects as JSON, but not as `text`."""
    return usable(kind) or (name != "text" and nested(kind))


def _readable(available: Columns, name: str, kind: pa.DataType) -> bool:
    """Whether a column can be a part of the format: lists only where it has any."""
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return usable(kind) or (available.kind != "instruction" and listed)


def _files(count: int) -> str:
    return f"{count:,} file{'s' if count != 1 else ''}"


def check_output(
    loaded: Loaded,
    columns: list[str],
    mapping: dict[str, str],
    unified: dict[str, pa.DataType],
    origins: dict[str, str],
) -> list[Finding]:
    if not unified:  # no file can be read, and that is said elsewhere
        return []
    findings = []
    stages = {stage.id for stage in loaded.recipe.stages}
    ambiguous = list(_ambiguous(loaded, columns, mapping, unified)) if loaded.recipe.output.columns else []
    doubtful = {column for _, column, _ in ambiguous}
    for position, column, told in ambiguous:
        line = loaded.line("output", "columns", position) or loaded.line("output", "columns")
        hint = "give the stage another `id:`, map the column to a name of its own in input.columns, or leave one out"
        findings.append(
            at_line(loaded, line, Finding("C058", f"output column '{column}' has two meanings: {told}", hint))
        )
    if not columns:
        finding = Finding("C025", "output.columns is empty", "without `columns`, all source columns are written")
        findings.append(at_line(loaded, loaded.line("output", "columns"), finding))
    for position, column in enumerate(columns):
        stage = column.partition(".")[0]
        line = loaded.line("output", "columns", position) or loaded.line("output", "columns")
        if column not in mapping and column not in unified and stage not in stages:
            known = sorted({*unified, *mapping, *stages})
            near = get_close_matches(column, known, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            hint += f"columns of the input: {', '.join(unified)}; of stages: {', '.join(sorted(stages)) or 'none'}"
            message = f"output column '{column}' is neither a column of the input nor of a stage"
            findings.append(at_line(loaded, line, Finding("C025", message, hint)))
        elif column not in origins and stage in origins and stage not in doubtful:
            message = f"output columns '{stage}' of the input and '{column}' of a stage have one name"
            findings.append(at_line(loaded, line, Finding("C025", message, "give the stage another `id:`")))
    return findings


def _ambiguous(
    loaded: Loaded, columns: list[str], mapping: dict[str, str], unified: dict[str, pa.DataType]
) -> Iterator[tuple[int, str, str]]:
    """Place, name and both meanings of output columns that could be either of two, or differ in case only.

    A mapped name comes before a column of the input that is called so.
    """
    meaning_of: dict[str, str] = {}
    for stage, built in zip(loaded.recipe.stages, loaded.stages, strict=True):
        meaning_of[stage.id.casefold()] = f"stage '{stage.id}'"
        names = ["status", *(field.name for field in built.fields)]
        meaning_of.update({f"{stage.id}.{name}".casefold(): f"'{name}' of stage '{stage.id}'" for name in names})
    theirs: dict[str, str] = {}
    for name in unified:
        theirs.setdefault(name.casefold(), name)
    earlier: dict[str, str] = {}
    for position, column in enumerate(columns):
        folded = column.casefold()
        meanings = []
        if column in mapping and mapping[column] in unified:
            meanings.append(f"column '{mapping[column]}' of the input, mapped to '{column}'")
        elif folded in theirs:
            meanings.append(f"column '{theirs[folded]}' of the input")
        if folded in meaning_of:
            meanings.append(meaning_of[folded])
        if len(meanings) > 1:
            yield position, column, " and ".join(meanings[:2])
        elif earlier.get(folded, column) != column:
            yield position, column, f"'{earlier[folded]}' differs in case only"
        earlier.setdefault(folded, column)


def at_line(loaded: Loaded, line: int | None, finding: Finding) -> Finding:
    excerpt = None
    if line is not None:
        lines = loaded.source.splitlines()
        excerpt = excerpt_of(finding.code, lines[line - 1]) if line <= len(lines) else None
    return replace(finding, file=str(loaded.path) if loaded.path else None, line=line, excerpt=excerpt)


def schema_of(
    unified: dict[str, pa.DataType],
    names: set[str],
    document_texts: set[str],
    texts: set[str] | None = None,
    available: Columns | None = None,
) -> pa.Schema:
    """Source columns as they will be read: `document_texts` and other `texts` as what stages see, the others in the
    type that all files share, as are lists that `available` has a format for."""
    parts = {available.mapping[name] for name in available.parts} if available else set()

    def field(name: str) -> pa.Field:
        if name in document_texts:
            return pa.field(name, TEXT, metadata=STRICT)
        if name in parts:
            kind = unified.get(name, TEXT)
            return pa.field(name, kind if nested(kind) else TEXT, metadata=PARTS)
        if texts is not None and name in texts:
            return pa.field(name, TEXT, metadata=NESTED)
        return pa.field(name, unified.get(name, pa.string()))

    return pa.schema([field(name) for name in sorted(names)])
