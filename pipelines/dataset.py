"""A published dataset from Python: where it is, and its rows as the libraries that people use have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curation import parquet
from curation.report.loading import loading_lines
from curation.store import open_store
from curation.store.dataset import DatasetFiles
from pipelines.notebook import html_facts, html_table
from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.formats.batches import Batches

BATCH_ROWS = 1024


class Dataset:
    """The files that a finished run has published. It stands for its folder: `str()` and `open()` take it as a path.

    >>> dataset = Workspace(folder).run(recipe).dataset
    >>> len(dataset), dataset.columns
    (3, ['text', 'n', 'language_prob'])
    >>> dataset.to_arrow(["n"]).to_pydict()
    {'n': [0, 1, 3]}
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        """Folder of the card and of `data/`; on an object store a URL."""
        parent, _, self._folder = str(path).rstrip("/").rpartition("/")
        self._store = open_store(parent)

    @cached_property
    def _files(self) -> DatasetFiles:
        return DatasetFiles.of(self._store, self._folder)

    @property
    def files(self) -> list[Path | str]:
        """Its Parquet files, in the order of the rows."""
        return [self._store.location(name) for name in self._names]

    @property
    def _names(self) -> list[str]:
        if not self._files.sizes:
            raise CurationError(Finding("C032", f"{self.path} holds no dataset", "`curate path` prints where one is"))
        return [f"{self._folder}/{name}" for name in self._files.sizes]

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return parquet.schema_of(self._store.source(self._names[0]))

    @property
    def columns(self) -> list[str]:
        return list(self.schema.names)

    @cached_property
    def _metadata(self) -> list[Any]:
        """Parquet's metadata of each file."""
        return [parquet.opened(self._store.source(name)).metadata for name in self._names]

    def __len__(self) -> int:
        return sum(int(file.num_rows) for file in self._metadata)

    def _bytes_of(self, columns: Sequence[str]) -> int:
        """Uncompressed bytes of some columns in the files."""
        return sum(
            chunk.total_uncompressed_size for chunk in self._chunks() if chunk.path_in_schema.split(".")[0] in columns
        )

    def _with_nulls(self, columns: Sequence[str]) -> set[str]:
        """Those of some columns of plain values that have a null anywhere."""
        counts = ((chunk.path_in_schema, chunk.statistics) for chunk in self._chunks())
        return {name for name, counted in counts if name in columns and (counted is None or counted.null_count)}

    def _chunks(self) -> Iterator[Any]:
        """Parquet's metadata of each column of each row group."""
        for file in self._metadata:
            for group in range(file.num_row_groups):
                chosen = file.row_group(group)
                yield from (chosen.column(number) for number in range(chosen.num_columns))

    def loading_lines(self) -> dict[str, str]:
        """A line of Python for each library that reads it, by the library's name.

        >>> sorted(Workspace(folder).run(recipe).dataset.loading_lines())
        ['datasets', 'duckdb', 'pandas', 'polars']
        """
        return loading_lines(str(self.path), self._files.pattern)

    def to_batches(self, columns: Sequence[str] | None = None, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Rows in order, some at a time: what does not fit into memory is read so."""
        for name in self._names:
            with parquet.opened(self._store.source(name)) as file:
                yield from file.iter_batches(rows, columns=_chosen(columns), use_threads=False)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows in memory, as an Arrow table."""
        tables = [parquet.read(self._store.source(name), columns=_chosen(columns)) for name in self._names]
        return pa.concat_tables(tables)

    def to_pandas(self, columns: Sequence[str] | None = None) -> Any:
        """All rows in memory, as a pandas DataFrame. Needs pandas."""
        _library("pandas")
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None) -> Any:
        """All rows in memory, as a polars DataFrame. Needs polars."""
        return _library("polars").from_arrow(self.to_arrow(columns))

    def to_datasets(self) -> Any:
        """As a `datasets.Dataset`, whose cache is filled with a copy. Needs `datasets`."""
        files = [str(file) for file in self.files]
        return _library("datasets").load_dataset("parquet", data_files={"train": files}, split="train")

    def to_torch(
        self,
        columns: Sequence[str] | None = None,
        *,
        batch_size: int = 32,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> Batches:
        """Batches for training, globally shuffled: over all ranks each row comes exactly once an epoch.

        Numbers come as tensors, all else as lists. Iterating goes through one epoch, and then through the next in
        another order; `state_dict()` says where it stands and `load_state_dict()` goes on from there, on any number of
        ranks (`curation.formats.batches.Batches`).

        >>> batches = Workspace(folder).run(recipe).dataset.to_torch(["n"], batch_size=2, seed=1)
        >>> sorted(n for batch in batches for n in batch["n"].tolist())
        [0, 1, 3]
        """
        from curation.formats.batches import Batches

        return Batches(self, columns, batch_size, seed, rank, world_size, drop_last)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and str(self.path) == str(other.path)

    def __hash__(self) -> int:
        return hash(str(self.path))

    def __repr__(self) -> str:
        try:
            columns = f": {', '.join(self.columns)}"
        except (CurationError, OSError):  # a debugger and a traceback want it, too
            columns = ""
        return f"Dataset({str(self.path)!r}{columns})"

    def _repr_html_(self) -> str:
        columns = pa.table({"column": self.columns, "type": [str(kind) for kind in self.schema.types]})
        return html_facts("Dataset", {"rows": len(self), "folder": str(self.path)}) + html_table(columns)


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as failure:
        if failure.name != name:
            raise
        raise CurationError(
            Finding("C040", f"this needs {name}, which is not installed", f"pip install {name}")
        ) from None


def _chosen(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(columns)
