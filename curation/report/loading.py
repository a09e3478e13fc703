"""How a published dataset is loaded: the beginning of its card, and a line for each library that reads Parquet."""

from __future__ import annotations

from curation.store import is_url
from curation.store.dataset import FOLDER, PATTERN
from curation.store.scan import exact, quoted


def front_matter() -> list[str]:
    """The beginning of a card, by which the Hub and `datasets` know what is data: one split, `train`."""
    return [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {PATTERN}",
        "---",
    ]


def loading_lines(folder: str, pattern: str = PATTERN) -> dict[str, str]:
    """A line of Python for each library, by its name, that loads the dataset in a folder.

    `pattern` is that of `curation.store.dataset.DatasetFiles`.
    """
    files = f"{exact(folder.rstrip('/'))}/{pattern}"
    whole = f"datasets.load_dataset({folder!r}, split='train')"
    if is_url(folder):  # of which `datasets` takes files alone
        whole = f"datasets.load_dataset('parquet', data_files={files!r}, split='train')"
    of_folder = f"import pandas; pandas.read_parquet({f'{folder}/{FOLDER}'!r})"
    of_files = f"import glob, pandas; pandas.read_parquet(sorted(glob.glob({files!r})))"
    return {
        "datasets": f"import datasets; {whole}",
        "pandas": of_folder if pattern == PATTERN else of_files,
        "polars": f"import polars; polars.read_parquet({files!r})",
        "duckdb": f"import duckdb; duckdb.sql({f'FROM {quoted(files)}'!r})",
    }
