"""Dedup as a stage: what goes, what stays, and what is said about it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.dedup.minhash import MinHash, MinHashSettings
from curation.scorers.base import Context
from pipelines import Workspace

SYLLABLES = ["ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi", "zu"]


def words(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice(SYLLABLES, 3)) for _ in range(count)]


def curate(folder: Path, texts: list[list[str]], dedup: dict[str, object]) -> Workspace:
    """One Parquet file for each list of texts."""
    (folder / "in").mkdir(parents=True)
    for number, shard in enumerate(texts):
        pq.write_table(pa.table({"text": shard}), folder / "in" / f"{number}.parquet")
    workspace = Workspace(folder / "ws")
    recipe = {"name": "dedup", "input": {"path": str(folder / "in")}}
    result = workspace.run({**recipe, "stages": [dedup]}, executor="local", workers=2)
    assert result.outcome == "done", result.failures
    assert result.rows == result.kept + result.dropped
    return workspace


def kept(workspace: Workspace) -> list[str]:
    paths = sorted(workspace.store.root.glob("datasets/dedup/latest/data/*.parquet"))
    return [text for path in paths for text in pq.read_table(path).column("text").to_pylist()]


def test_a_thousand_distinct_texts_of_two_words_all_survive_minhash(tmp_path: Path) -> None:
    texts = [f"{a}{b} {c}{d}" for a, b, c, d in itertools.islice(itertools.product(SYLLABLES, repeat=4), 1000)]
    workspace = curate(tmp_path, [texts[:300], texts[300:]], {"dedup": "minhash"})
    assert kept(workspace) == texts


def test_texts_shorter_than_a_shingle_are_duplicates_when_equal_after_normalising(tmp_path: Path) -> None:
    workspace = curate(
        tmp_path, [["two words", "other words"], ["Two  WORDS", "two wordz"]], {"dedup": "minhash", "survivor": "first"}
    )
    assert kept(workspace) == ["two words", "other words", "two wordz"]
    assert workspace.sql("SELECT similarity FROM drops").column(0).to_pylist() == [1.0]


def test_the_longest_of_a_near_duplicate_cluster_stays_and_the_others_name_it(tmp_path: Path) -> None:
    base = words(200, 1)
    longer = [*base, *words(10, 2)]
    changed = [*base[:100], "other", *base[101:]]
    texts = [[" ".join(base), " ".join(words(200, 3))], [" ".join(changed)], [" ".join(longer)]]
    workspace = curate(tmp_path, texts, {"dedup": "minhash", "verify": 0.6})
    assert kept(workspace) == [" ".join(words(200, 3)), " ".join(longer)]
    drops = workspace.sql(
        "SELECT path, row, reason, twin, similarity, threshold, link, link_similarity FROM drops ORDER BY path"
    ).to_pylist()
    keeper = workspace.sql("SELECT doc_id FROM documents WHERE path LIKE '%2.parquet'").column(0)[0].as_py()
    assert [row["twin"] for row in drops] == [keeper, keeper]
    assert all(row["reason"] == "near_duplicate" and row["threshold"] == 0.6 for row in drops)
    assert all(0 < row["similarity"] <= 1 and row["link_similarity"] >= 0.6 for row in drops)
    clusters = workspace.sql("SELECT cluster, cluster_size, keeper FROM duplicate_clusters").to_pylist()
    assert len(clusters) == 3
    assert {row["cluster"] for row in clusters} == {keeper}
    assert sum(row["keeper"] for row in clusters) == 1
    assert (
        workspace.sql("SELECT count(*) FROM duplicate_pairs WHERE a < b AND similarity >= 0.6").column(0)[0].as_py()
        >= 2
    )


def test_first_keeps_the_earliest_in_input_order(tmp_path: Path) -> None:
    base = words(100, 5)
    texts = [[" ".join(base)], [" ".join([*base, "extra"])]]
    assert kept(curate(tmp_path, texts, {"dedup": "minhash", "survivor": "first"})) == [" ".join(base)]


def chain(length: int, step: int = 35, size: int = 400) -> list[str]:
    """Each like the next (Jaccard .84) and not like the one after it (.70)."""
    source = words(size + step * length, 7)
    return [" ".join(source[step * i : step * i + size]) for i in range(length)]


@pytest.mark.long
@pytest.mark.parametrize("settings", [{}, {"contains": 0.0, "exact": True}])
def test_of_a_chain_every_second_stays_and_what_goes_is_near_to_one_that_stays(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    texts = chain(10)
    workspace = curate(tmp_path, [texts[:3], texts[3:]], {"dedup": "minhash", **settings})
    assert kept(workspace) == texts[::2]
    drops = workspace.sql("SELECT d.similarity, d.containment, d.loss, t.kept, d.link FROM drops d JOIN documents t ON"
                          " t.doc_id = d.twin").to_pylist()  # fmt: skip
    assert len(drops) == 5
    assert all(row["similarity"] >= 0.75 and row["kept"] for row in drops)
    assert all(row["containment"] == pytest.approx(363 / 398) for row in drops)
    assert max(row["loss"] for row in drops) == pytest.approx(35 / 398), "the last: nothing after it stays"
    assert sorted(row["loss"] for row in drops)[0] == pytest.approx(0.0), "what one side lacks the other has"
    pairs = workspace.sql("SELECT dropped, reason, count(*) AS n FROM duplicate_pairs GROUP BY ALL").to_pylist()
    assert {(row["dropped"], row["reason"]) for row in pairs} >= {(True, None), (False, "neighbour_dropped")}
    sizes = workspace.sql("SELECT DISTINCT cluster_size FROM duplicate_clusters").column(0).to_pylist()
    assert sizes == [10]


def test_components_drop_a_chain_whole_and_the_card_says_how_many_through_others(tmp_path: Path) -> None:
    texts = chain(10)
    dedup = {"dedup": "minhash", "connect": "components", "contains": 0.0, "exact": True}
    workspace = curate(tmp_path, [texts[:3], texts[3:]], dedup)
    assert kept(workspace) == texts[:1]
    rows = workspace.sql("SELECT similarity, link_similarity, loss FROM drops").to_pylist()
    assert len(rows) == 9
    assert sum(row["similarity"] < 0.75 for row in rows) == 8
    assert all(row["link_similarity"] >= 0.75 for row in rows)
    [path] = workspace.store.root.glob("datasets/dedup/latest/README.md")
    assert "8 of them through a chain" in path.read_text()


def test_exact_ignores_case_and_white_space_and_nothing_else(tmp_path: Path) -> None:
    texts = [["A b  c", "a b d"], ["a\nb c ", "a b c."]]
    assert kept(curate(tmp_path, texts, {"dedup": "exact"})) == ["A b  c", "a b d", "a b c."]


@pytest.mark.parametrize("kind", ["exact", "minhash"])
def test_the_result_does_not_depend_on_how_documents_lie_in_shards(tmp_path: Path, kind: str) -> None:
    draw = np.random.default_rng(11)
    pool = [" ".join(words(60, seed)) for seed in range(30)]
    texts = [pool[number] for number in draw.integers(0, 30, 120)]
    one = kept(curate(tmp_path / "one", [texts], {"dedup": kind, "survivor": "first"}))
    many = kept(
        curate(
            tmp_path / "many", [texts[:7], texts[7:50], texts[50:51], texts[51:]], {"dedup": kind, "survivor": "first"}
        )
    )
    assert one == many == list(dict.fromkeys(texts))


def test_evidence_of_short_texts_agrees_everywhere_or_nowhere() -> None:
    stage = MinHash(MinHashSettings(), Context(Path(".")))
    sketch = stage.requires()["sketch"].score(
        pa.record_batch({"text": pa.array(["a b", "A  b", "a c"], pa.large_string())})
    )
    evidence = np.frombuffer(b"".join(sketch.column("evidence").to_pylist()), dtype=np.uint8).reshape(3, -1)
    assert stage.similarity(evidence[[0, 0]], evidence[[1, 2]]).tolist() == [1.0, 0.0]


@pytest.mark.long
def test_prefixes_of_buckets_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairing in sixteen ranges of bucket keys finds what one range finds."""
    import curation.flow.duplicates

    draw = np.random.default_rng(13)
    texts = []
    for seed in range(20):
        base = words(80, seed)
        for _ in range(4):
            copy = list(base)
            copy[int(draw.integers(0, 80))] = "changed"
            texts.append(" ".join(copy))
    whole = curate(tmp_path / "whole", [texts[:33], texts[33:]], {"dedup": "minhash"})
    monkeypatch.setattr(curation.flow.duplicates, "BUCKETS_PER_RANGE", 80)
    parts = curate(tmp_path / "parts", [texts[:33], texts[33:]], {"dedup": "minhash"})
    assert len(parts.store.names("manifest/parts/pairs")) >= 8
    query = "SELECT cluster, doc_id, similarity FROM duplicate_clusters ORDER BY ALL"
    assert kept(whole) == kept(parts)
    assert whole.sql(query) == parts.sql(query)
