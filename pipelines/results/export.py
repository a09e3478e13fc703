"""Write a finished run's rows as a trainer reads them: what `curate export` does."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation import parquet
from curation.duplicates.groups import clusters, split, split_rows
from curation.escape import code, inline, markdown
from curation.formats.columns import Columns
from curation.formats.shuffle import Shuffle
from curation.formats.targets.axolotl import Axolotl
from curation.formats.targets.base import Target
from curation.formats.targets.llama_factory import LlamaFactory
from curation.formats.targets.trl import Trl
from curation.formats.targets.trl_preference import TrlPreference
from curation.sources.texts import nested
from curation.store import Store, new_folder
from curation.store.dataset import DatasetFiles
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding, command

if TYPE_CHECKING:
    from curation.manifest.parts import Manifest

TARGETS: dict[str, type[Target]] = {item.kind: item for item in (Trl, TrlPreference, Axolotl, LlamaFactory)}
SHARE = 0.05
"""Part of the rows that is held out to test on, unless something else is said."""
BATCH_ROWS = 1024
LISTED = "export.json"


@dataclass(frozen=True)
class Exported:
    """What came of an export: rows = the sum of `written` + the sum of `refused`."""

    folder: Path
    run: str
    rows: int
    written: dict[str, int]
    """Rows by split."""
    refused: dict[str, int]
    """Rows by the reason for which the target cannot hold them, the most frequent first."""


def export(
    manifest: Manifest,
    run: str | None,
    to: str,
    into: Path,
    *,
    seed: int = 0,
    test_share: float | None = None,
    test_rows: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Exported:
    """Write the dataset of `run` in the form of `to` into the new folder `into`, all at once or not at all.

    Rows stand in the order of a hash of what they say, and whole clusters of near-duplicate questions are held out:
    `test_share` of the rows or `test_rows` of them, none for 0. The same dataset, target and seed give the same bytes.
    Lines are shuffled through files beside the folder, in bounded memory; for the test split the questions of all rows
    are in memory at once, with 400 bytes for each and some 50 for each pair that may be near-duplicates.

    Raises CurationError: C004 for a target that there is not, C032 for a run, C037 for a folder that holds something,
    C040 for a dataset that cannot be written so.
    """
    if to not in TARGETS:
        raise CurationError(Finding("C004", f"there is no export to '{to}'", f"known: {', '.join(TARGETS)}"))
    if test_share is not None and test_rows is not None:
        raise CurationError(Finding("C004", "--test-share and --test-rows exclude each other", "leave one of them out"))
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CurationError(Finding("C037", f"{into} holds something already", "name a new folder with --into"))
    dataset = _dataset(manifest, run)
    target = _target(TARGETS[to], dataset.columns)
    names = dataset.names(target.needs)
    share = SHARE if test_share is None and test_rows is None else test_share
    with new_folder(into) as folder:
        spilled = folder / ".shuffle"
        spilled.mkdir()
        shuffle = Shuffle(spilled, dataset.bytes, seed)
        rows, kept, counts, rich = 0, 0, Counter[str](), False
        asked: list[pa.Array] = []
        for batch in dataset.batches(names):
            lines_read = target.read(dataset.columns.open(batch))
            shuffle.add(np.arange(kept, kept + len(lines_read.lines)), lines_read.lines)
            rows, kept = rows + batch.num_rows, kept + len(lines_read.lines)
            counts, rich = counts + lines_read.refused, rich or lines_read.rich
            if share or test_rows:
                asked.append(lines_read.asked)
        refused = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
        if not kept:
            told = "; ".join(f"{count:,} {reason}" for reason, count in refused.items())
            raise _unfit(f"no row of run {dataset.run} can be exported to {to}", told or "the dataset is empty")
        say(f"read {rows:,} rows")
        held, division = _held_out(asked, kept, share, test_rows, seed)
        files = {"train": f"train.{target.suffix}", **({"test": f"test.{target.suffix}"} if held.any() else {})}
        _write(target, shuffle, held, folder, files, rich)
        shutil.rmtree(spilled)
        written = dict(zip(files, (int((~held).sum()), int(held.sum())), strict=False))
        done = Exported(into, dataset.run, rows, written, refused)
        texts = {**target.beside(dataset.name, files), "README.md": _readme(target, dataset, done, files, division)}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        facts = {
            "format": 1,
            "to": to,
            "dataset": dataset.name,
            "run": dataset.run,
            "seed": seed,
            "rows": {"in": rows, "written": written, "refused": refused},
            "split": division,
            "files": _listed(folder),
        }
        (folder / LISTED).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    return done


def _held_out(
    asked: list[pa.Array], rows: int, share: float | None, count: int | None, seed: int
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Which rows are for the test split, bool [rows], and what is said about it. Raises C040 where that is all."""
    if not asked:
        return np.zeros(rows, dtype=bool), {"by": None}
    text = pa.concat_arrays(asked)
    groups = clusters(text)
    held = split(text, groups, share, seed) if share else split_rows(text, groups, count or 0, seed)
    if held.all():
        raise _unfit(f"all {rows:,} rows would be held out to test on", "ask for fewer with --test-rows")
    train, test = np.unique(groups[~held]), np.unique(groups[held])
    sides = {"train": len(train), "test": len(test), "in_both": len(np.intersect1d(train, test))}
    wanted = {"share": share} if share else {"rows": count}
    return held, {"by": "clusters of near-duplicate questions", **wanted, "clusters": sides}


@dataclass(frozen=True)
class _Dataset:
    """The files of a finished run."""

    run: str
    name: str
    store: Store
    parts: list[str]
    columns: Columns
    written: dict[str, str] | None
    """What stands in each column of the files; None where those are all of the source's."""

    def names(self, needed: list[str]) -> dict[str, str]:
        """Source columns by the names that they have in the files. Raises C040 where one was left out."""
        sources = {}
        for ours in needed:
            theirs = self.columns.mapping[ours]
            if self.written is None:
                sources[theirs] = theirs
                continue
            candidates = [
                name for name, meant in self.written.items() if self.columns.mapping.get(meant, meant) == theirs
            ]
            if not candidates:
                raise _unfit(
                    f"the output of run {self.run} was written without '{ours}'",
                    f"add {ours} to output.columns of the recipe, and run it again: nothing is scored twice",
                )
            sources[theirs] = candidates[0]
        return sources

    @property
    def bytes(self) -> int:
        """Uncompressed, of all columns."""
        files = [parquet.opened(self.store.source(name)).metadata for name in self.parts]
        return sum(file.row_group(group).total_byte_size for file in files for group in range(file.num_row_groups))

    def batches(self, names: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
        """Rows in the dataset's order, under the source's names, texts as `schemas.documents.TEXT`."""
        for name in self.parts:
            with parquet.opened(self.store.source(name)) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=sorted(set(names.values())), use_threads=False):
                    columns = {theirs: batch.column(name) for theirs, name in names.items()}
                    yield pa.record_batch({name: _text(column) for name, column in columns.items()})


def _text(column: pa.Array) -> pa.Array:
    return column if nested(column.type) else column.cast(TEXT)


def _dataset(manifest: Manifest, run: str | None) -> _Dataset:
    from curation.manifest.runs import choose_run
    from pipelines.recipe.load import parse
    from pipelines.running.verify import check_dataset

    chosen = choose_run(manifest, run)
    runs = manifest.where("runs", run=chosen).to_pylist()
    if not runs:
        start = command("run RECIPE", manifest.store.root)
        raise CurationError(Finding("C032", "there is no run to export", f"start one: {start}"))
    done = manifest.where("datasets", run=chosen).to_pylist()
    store = manifest.store
    files = DatasetFiles.of(store, done[0]["path"]) if done else None
    if files is None or not files.sizes:
        raise _unfit(f"run {chosen} has no dataset", f"finish it: {command(f'retry {chosen}', store.root)}")
    # without its stages: their models and seeds need not be there any more
    recipe = parse(runs[0]["recipe"], Path(runs[0]["recipe_dir"]), overrides={"stages": []}).recipe
    parts = [f"{done[0]['path']}/{name}" for name in files.sizes]
    check_dataset(manifest, str(chosen), done[0]["path"])
    written = (
        None if recipe.output.columns is None else {name or meant: meant for _, name, meant in recipe.output.named}
    )
    return _Dataset(str(chosen), done[0]["name"], store, parts, Columns.of(recipe.input.columns), written)


def _target(cls: type[Target], columns: Columns) -> Target:
    if columns.kind in cls.formats:
        return cls(columns)
    others = [name for name, item in TARGETS.items() if columns.kind in item.formats]
    if others:
        raise _unfit(f"rows of the format '{columns.kind}' are not what {cls.reader} reads", f"--to {others[0]}")
    raise _unfit(
        "the rows are neither instruction nor preference data",
        "map them under input.columns: instruction and output, messages, conversations, or chosen and rejected",
    )


def _unfit(message: str, hint: str) -> CurationError:
    return CurationError(Finding("C040", message, hint))


def _write(
    target: Target, shuffle: Shuffle, held: NDArray[np.bool_], folder: Path, files: Mapping[str, str], rich: bool
) -> None:
    writers = {name: target.writer(folder / file, rich) for name, file in files.items()}
    for rows, lines in shuffle:
        for name, writer in writers.items():
            own = lines.filter(pa.array(held[rows] == (name == "test"))).cast(pa.large_binary()).to_pylist()
            writer.write(map(target.spelled, own) if rich else own)
    for writer in writers.values():
        writer.close()


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    files = {}
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            files[path.name] = {
                "bytes": path.stat().st_size,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }
    return files


def _readme(
    target: Target, dataset: _Dataset, done: Exported, files: Mapping[str, str], division: Mapping[str, Any]
) -> str:
    """The front matter tells `datasets.load_dataset` which file is which split."""
    lines = ["---", "configs:", "- config_name: default", "  data_files:"]
    for name, file in files.items():
        lines += [f"  - split: {name}", f"    path: {file}"]
    lines += [
        "---",
        "",
        f"# {markdown(dataset.name)} for {target.reader}",
        "",
        f"Run {code(dataset.run)} of the curated dataset {code(dataset.name)}, by `curate export --to {target.kind}`.",
        "",
        "| rows | |",
        "|---|---:|",
        f"| in the dataset | {done.rows:,} |",
        *(f"| {name}: `{files[name]}` | {count:,} |" for name, count in done.written.items()),
        *(f"| refused: {inline(reason)} | {count:,} |" for reason, count in done.refused.items()),
        "",
        target.usage(dataset.name, files),
        "",
    ]
    if "clusters" in division:
        sides = division["clusters"]
        lines += [
            f"Split by {division['by']}: {sides['train']:,} to train on, {sides['test']:,} to test on,"
            f" {sides['in_both']:,} in both. MinHash finds them, and misses some pairs that are little alike.",
            "",
        ]
    lines += [
        "Messages have a role and words, and what chat templates read beside them: name, reasoning, calls of tools."
        " Other properties of messages, and other columns, stay in the dataset. `export.json` has these figures, the"
        " seed and the SHA-256 of each file.",
        "",
    ]
    return "\n".join(lines)
