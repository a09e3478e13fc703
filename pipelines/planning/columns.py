"""Columns that a recipe maps and reads, held against those that the files have."""

from __future__ import annotations

from dataclasses import replace

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
