"""What makes a pair of near documents a drop: true similarity, what the one holds of the other, words in order."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lengths import mostly_long

from curation import parquet
from curation.manifest.parts import KEY, Manifest, part_name
from pipelines import Workspace
from pipelines.recipe.load import parse
from pipelines.running.events import Event, Notice
from schemas.errors import CurationError

SYLLABLES = ["ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi", "zu"]


def words(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return ["".join(draw.choice(SYLLABLES, 4)) for _ in range(count)]


def grams(text: str, n: int = 3) -> set[tuple[str, ...]]:
    split = text.lower().split()
    return {tuple(split[i : i + n]) for i in range(len(split) - n + 1)}


def jaccard(one: str, other: str, n: int = 5) -> float:
    a, b = grams(one, n), grams(other, n)
    return len(a & b) / len(a | b)


def run(
    folder: Path, files: dict[str, list[str]], *stages: dict[str, Any], path: Any = None, workers: int = 2
) -> Workspace:
    """One Parquet file for each name, in folders where the names say so."""
    for name, texts in files.items():
        place = folder / "in" / f"{name}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": texts}), place)
    workspace = Workspace(folder / "ws")
    recipe = {"name": "dedup", "input": {"path": path or f"{folder}/in/**/*.parquet"}, "stages": list(stages)}
    result = workspace.run(recipe, executor="local", workers=workers)
    assert result.outcome == "done", result.failures
    return workspace


def left(workspace: Workspace) -> list[str]:
    paths = sorted(workspace.store.root.glob("datasets/dedup/latest/data/*.parquet"))
    return [text for path in paths for text in pq.read_table(path, partitioning=None).column("text").to_pylist()]


def pages(similarity: float, count: int, size: int, fields: int) -> list[str]:
    """Pages of one template with matter of their own in `fields` places; any two have this Jaccard similarity."""
    kept = 2 * similarity / (1 + similarity)
    own = round((size - 4) * (1 - kept)) - 4 * (fields - 1)
    template = words(size - own, 1)
    cut = np.linspace(0, len(template), fields + 1).astype(int)[1:]
    made = []
    for page in range(count):
        matter = words(own, 1000 + page)
        parts, before = [], 0
        for number, at in enumerate(cut):
            share = slice(own * number // fields, own * (number + 1) // fields)
            parts += [*template[before:at], *matter[share]]
            before = at
        made.append(" ".join(parts))
    return made


@pytest.mark.parametrize(
    ("similarity", "fields", "settings"),
    mostly_long([(0.7, 1, {}), (0.5, 1, {}), (0.7, 5, {}), (0.9, 1, {"contains": 0.95})]),
)
def test_pages_of_one_template_stay(
    tmp_path: Path, similarity: float, fields: int, settings: dict[str, object]
) -> None:
    texts = pages(similarity, 1000, 300, fields)
    assert jaccard(texts[0], texts[1]) == pytest.approx(similarity, abs=0.02)
    workspace = run(tmp_path, {"0": texts[:500], "1": texts[500:]}, {"dedup": "minhash", **settings})
    assert len(left(workspace)) >= 990
    if similarity >= 0.7:
        shown = workspace.sql(
            "SELECT count(DISTINCT cluster) AS n, count(*) AS m FROM duplicate_clusters WHERE template"
        )
        assert shown.to_pylist()[0]["m"] > (20 if similarity < 0.9 else 900)
        [reason] = {row["reason"] for row in workspace.sql("SELECT reason FROM duplicate_pairs").to_pylist()} & {
            "too_little_contained"
        }
        assert reason


def test_copies_among_pages_of_one_template_go(tmp_path: Path) -> None:
    texts = pages(0.7, 400, 300, 1)
    copies = [f"{texts[page]} {words(1, page)[0]}" for page in range(0, 400, 4)]
    workspace = run(tmp_path, {"0": texts, "1": copies}, {"dedup": "minhash"})
    found = set(left(workspace))
    assert len(found & set(copies)) == 100, "a word longer, so better"
    assert len(found) <= 405


@pytest.mark.long
def test_exact_similarity_is_that_of_the_texts(tmp_path: Path) -> None:
    base = words(200, 1)
    texts = [" ".join([*base[: 200 - n], *words(n, 10 + n)]) for n in (0, 10, 18, 24, 30, 40)]
    settings = {"exact": True, "contains": 0.0, "survivor": "first", "ngram": 4}
    workspace = run(tmp_path, {"0": texts}, {"dedup": "minhash", **settings})
    near = [text for text in texts[1:] if jaccard(texts[0], text, 4) >= 0.75]
    assert 2 <= len(near) <= 4
    drops = workspace.sql("SELECT row, similarity, containment, loss FROM drops ORDER BY row").to_pylist()
    assert [texts[row["row"]] for row in drops] == near
    for row in drops:
        own, twin = grams(texts[row["row"]]), grams(texts[0])
        assert row["similarity"] == pytest.approx(jaccard(texts[0], texts[row["row"]], 4))
        assert row["containment"] == pytest.approx(len(own & twin) / len(own))
    refused = workspace.sql("SELECT similarity FROM duplicate_pairs WHERE reason = 'below_verify'").to_pylist()
    assert refused
    assert all(row["similarity"] < 0.75 for row in refused)


def test_what_is_lost_stands_in_drops_funnel_and_card(tmp_path: Path) -> None:
    base = words(300, 3)
    texts = [" ".join([*base, "more"]), " ".join([*base[:-5], "other"]), " ".join(words(300, 4))]
    workspace = run(tmp_path, {"0": texts}, {"dedup": "minhash"})
    [drop] = workspace.sql("SELECT twin, loss, containment FROM drops").to_pylist()
    own = grams(texts[1])
    assert drop["loss"] == pytest.approx(len(own - grams(texts[0])) / len(own))
    assert drop["containment"] == pytest.approx(1 - drop["loss"])
    funnel = workspace.sql("SELECT loss, lost FROM funnel WHERE stage = 'minhash'").to_pylist()[0]
    assert funnel["loss"] == pytest.approx(drop["loss"], abs=1e-4)
    assert workspace.sql("SELECT sum(loss) AS lost FROM drops").to_pylist()[0]["lost"] == pytest.approx(drop["loss"])
    [card] = workspace.store.root.glob("datasets/dedup/latest/README.md")
    assert f"{drop['loss']:.2%}" in card.read_text()


def test_of_duplicates_that_a_gate_keeps_nothing_is_lost(tmp_path: Path) -> None:
    base = words(300, 3)
    texts = [" ".join(base), " ".join([*base[:-20], *words(20, 9)]), " ".join(base[:-6])]
    gate = {"dedup": "minhash", "keep": "not minhash.duplicate or minhash.loss > 0.05"}
    workspace = run(tmp_path, {"0": texts}, gate)
    assert left(workspace) == texts[:2]
    [row] = workspace.sql("SELECT dropped, loss, lost FROM funnel WHERE stage = 'minhash'").to_pylist()
    assert row == {"dropped": 1, "loss": 0.0, "lost": 0.0}
    assert workspace.sql("SELECT sum(loss) AS lost FROM drops").to_pylist() == [{"lost": 0.0}]
    [card] = workspace.store.root.glob("datasets/dedup/latest/README.md")
    assert "2 duplicates, of which the gate keeps 1." in card.read_text()
    assert "1 of 1 lose nothing." in card.read_text()


def test_a_document_that_a_gate_drops_though_it_is_the_best_has_no_twin(tmp_path: Path) -> None:
    base = words(300, 3)
    texts = [" ".join(base), " ".join(base[:-6]), " ".join(words(300, 4))]
    workspace = run(tmp_path, {"0": texts}, {"dedup": "minhash", "keep": "minhash.cluster_size = 1"})
    assert workspace.sql("SELECT row, twin - doc_id AS twin FROM drops ORDER BY row").to_pylist() == [
        {"row": 0, "twin": None},
        {"row": 1, "twin": -1},
    ]


@pytest.mark.parametrize("connect", ["keeper", "components"])
def test_texts_that_are_the_same_in_every_column_need_no_second_look(tmp_path: Path, connect: str) -> None:
    """Composed and decomposed letters are the same text, and other words to whoever compares bytes."""
    (tmp_path / "in").mkdir()
    rows = [
        ("Une f\u00eate \u00e0 No\u00ebl", "yes"),
        ("une fe\u0302te  a\u0300 Noe\u0308l", "Yes"),
        ("Une fete", "yes"),
    ]
    pq.write_table(pa.table({"q": [q for q, _ in rows], "a": [a for _, a in rows]}), tmp_path / "in" / "0.parquet")
    workspace = Workspace(tmp_path / "ws")
    recipe = {
        "name": "dedup",
        "input": {"path": str(tmp_path / "in"), "columns": {"instruction": "q", "output": "a"}},
        "stages": [{"dedup": "exact", "columns": ["instruction", "output"], "connect": connect}],
    }
    assert workspace.run(recipe, executor="local", workers=1).outcome == "done"
    drops = workspace.sql("SELECT row, similarity, containment FROM drops").to_pylist()
    assert drops == [{"row": 1, "similarity": 1.0, "containment": 1.0}]


def test_contains_all_loses_nothing(tmp_path: Path) -> None:
    base = words(300, 3)
    texts = [" ".join(base), " ".join(base[:280]), " ".join([*base[:280], "own"]), " ".join(base).upper()]
    workspace = run(tmp_path, {"0": texts}, {"dedup": "minhash", "contains": 1.0})
    assert left(workspace) == [texts[0], texts[2]]
    assert {row["loss"] for row in workspace.sql("SELECT loss FROM drops").to_pylist()} == {0.0}


def test_exact_duplicates_lose_nothing_unless_they_say_more_than_was_compared(tmp_path: Path) -> None:
    texts = ["One two  three four", "one two three FOUR", "another one"]
    workspace = run(tmp_path / "text", {"0": texts}, {"dedup": "exact"})
    assert workspace.sql("SELECT similarity, containment, loss FROM drops").to_pylist() == [
        {"similarity": 1.0, "containment": 1.0, "loss": 0.0}
    ]
    folder = tmp_path / "pairs"
    (folder / "in").mkdir(parents=True)
    rows = [("When does it leave?", " ".join(words(20, 1))), ("when does it  leave?", " ".join(words(20, 2)))]
    pq.write_table(pa.table({"q": [q for q, _ in rows], "a": [a for _, a in rows]}), folder / "in" / "0.parquet")
    workspace = Workspace(folder / "ws")
    recipe = {
        "name": "dedup",
        "input": {"path": str(folder / "in"), "columns": {"instruction": "q", "output": "a"}},
        "stages": [{"dedup": "exact", "columns": ["instruction"]}],
    }
    assert workspace.run(recipe, executor="local", workers=1).outcome == "done"
    [drop] = workspace.sql("SELECT similarity, containment, loss FROM drops").to_pylist()
    assert drop["similarity"] == drop["containment"] == 1.0
    assert 0.7 < drop["loss"] < 1.0, "the answer is lost, the question is not"


@pytest.mark.long
def test_what_was_edited_before_is_compared_as_it_is_then(tmp_path: Path) -> None:
    """Two texts that differ in an address in every sentence, which is taken out first."""
    base = words(120, 5)
    texts = [
        " ".join(f"{word} {name}{place}@host.org" if place % 6 == 0 else word for place, word in enumerate(base))
        for name in ("ann", "bob")
    ]
    redact = {"transform": "redact-pii", "types": ["email"], "replacement": "tag"}
    assert len(left(run(tmp_path / "plain", {"0": texts}, {"dedup": "minhash"}))) == 2
    workspace = run(tmp_path / "edited", {"0": texts}, redact, {"dedup": "minhash", "contains": 1.0})
    assert len(left(workspace)) == 1
    assert workspace.sql("SELECT loss FROM drops").to_pylist() == [{"loss": 0.0}]


def test_sequences_of_few_words_are_no_duplicates_because_they_share_their_words(tmp_path: Path) -> None:
    one, other = (" ".join(np.random.default_rng(seed).choice(list("acgt"), 4000)) for seed in (1, 2))
    laugh = ["ha " * 50 + "end", "ha " * 800 + "end"]
    workspace = run(tmp_path, {"0": [one, other, *laugh, one + " a"]}, {"dedup": "minhash", "contains": 0.0})
    assert left(workspace) == [other, *laugh, one + " a"]
    reasons = workspace.sql("SELECT reason FROM duplicate_pairs WHERE NOT dropped").to_pylist()
    assert {row["reason"] for row in reasons} == {"other_sequence"}


@pytest.mark.long
@pytest.mark.parametrize("stage", [{"contains": 0.8}, {"exact": True, "verify": 0.7}, {"connect": "components"}])
def test_the_order_of_the_input_decides_nothing_but_ties(tmp_path: Path, stage: dict[str, Any]) -> None:
    draw = np.random.default_rng(5)
    texts = []
    for seed in range(12):
        base = words(160, seed)
        for size in range(8):
            copy = [*base[: 160 - size], "z" * (17 * size % 31 + 1)]  # no two of a cluster are equally long
            for place in draw.integers(0, 150, int(draw.integers(0, 8))):
                copy[place] = "changed"
            texts.append(" ".join(copy))
    other = draw.permutation(len(texts))
    told = []
    for name, order in (("one", np.arange(len(texts))), ("two", other)):
        workspace = run(tmp_path / name, {"0": [texts[place] for place in order]}, {"dedup": "minhash", **stage})
        rows = workspace.sql(
            "SELECT row, kept, twin - doc_id + row AS twin, similarity, loss FROM documents"
        ).to_pylist()
        told.append(
            {
                (order[row["row"]], None if row["kept"] else order[row["twin"]], row["similarity"], row["loss"])
                for row in rows
            }
        )
    assert told[0] == told[1]
    assert 10 < sum(twin is not None for _, twin, *_ in told[0]) < len(texts) - 10


@pytest.mark.long
def test_the_clusters_are_the_same_for_any_split_workers_and_prefixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import curation.flow.duplicates

    draw = np.random.default_rng(17)
    texts = pages(0.8, 40, 120, 2)
    for seed in range(12):
        base = words(150, seed)
        for size in range(6):
            copy = list(base)
            copy[int(draw.integers(0, 150))] = "changed"
            texts.append(" ".join(copy[: 150 - size]))
    order = draw.permutation(len(texts))
    texts = [texts[place] for place in order]
    stage = {"dedup": "minhash", "contains": 0.8}

    def told(workspace: Workspace) -> set[Any]:
        rows = workspace.sql("SELECT doc_id, path, row, kept, twin, similarity, loss FROM documents ORDER BY path, row")
        listed = rows.to_pylist()
        name = {row["doc_id"]: texts[place] for place, row in enumerate(listed)}
        return {
            (name[row["doc_id"]], row["kept"], row["twin"] and name[row["twin"]], row["similarity"], row["loss"])
            for row in listed
        }

    whole = told(run(tmp_path / "one", {"0": texts}, stage, workers=1))
    assert 10 < sum(not row[1] for row in whole) < len(texts) - 10
    cut = {f"{start:03}": texts[start : start + 17] for start in range(0, len(texts), 17)}
    assert told(run(tmp_path / "many", cut, stage)) == whole
    monkeypatch.setattr(curation.flow.duplicates, "BUCKETS_PER_RANGE", 200)
    assert told(run(tmp_path / "prefixes", cut, stage, workers=1)) == whole


@pytest.mark.parametrize(
    ("survivor", "stays"),
    [
        ("longest", "long"),
        ("first", "short"),
        ({"by": "quality.score"}, "best"),
        ({"by": "quality.score", "order": "lower"}, "worst"),
        ({"source": ["b"]}, "best"),
        ([{"source": ["b", "a"]}, {"by": "quality.score", "order": "lower"}], "worst"),
        ([{"source": ["a"]}, "longest"], "long"),
    ],
)
def test_the_survivor_is_the_best_by_the_rules_in_turn(tmp_path: Path, survivor: Any, stays: str) -> None:
    base = " ".join(words(300, 1))
    rows = {"a": [("short", 3), ("long one two", 4)], "b": [("best", 5), ("worst", 1), ("none", None)]}
    for source, listed in rows.items():
        place = tmp_path / "in" / source / "0.parquet"
        place.parent.mkdir(parents=True)
        texts = [f"{name} {base}" for name, _ in listed]
        pq.write_table(pa.table({"text": texts, "rated": pa.array([v for _, v in listed], pa.float64())}), place)
    workspace = Workspace(tmp_path / "ws")
    recipe = {
        "name": "dedup",
        "input": {
            "path": {name: f"{tmp_path}/in/{name}/*.parquet" for name in rows},
            "columns": {"text": "text", "quality": "rated"},
        },
        "stages": [
            {"scorer": "imported", "id": "quality", "column": "quality", "keep": "true"},
            {"dedup": "minhash", "survivor": survivor},
        ],
    }
    result = workspace.run(recipe, executor="local", workers=1)
    assert result.outcome == "done", result.failures
    assert [text.split()[0] for text in left(workspace)] == [stays]


@pytest.mark.parametrize(
    ("survivor", "code", "said"),
    [
        ("shortest", "C012", "expected longest, first,"),
        ([], "C012", "the list is empty"),
        ({"by": "nosuch.words", "order": "higher"}, "C014", "unknown column 'nosuch.words'"),
        ({"by": "lang.lang", "order": "higher"}, "C014", "not a number"),
        ({"by": "quality.words"}, "C012", "nothing says whether a higher 'quality.words'"),
        (["longest", {"by": "quality.words"}], "C012", "nothing says whether"),
        ({"by": "minhash.similarity", "order": "lower"}, "C014", "unknown column"),
        ({"by": "quality.words", "order": "up"}, "C012", "expected higher or lower"),
        ({"source": ["web", "bok"]}, "C012", "there is no source 'bok'"),
        (["first", {"source": ["bok"]}], "C012", "there is no source 'bok'"),
        ({"source": []}, "C012", "expected a list of names"),
        ({"source": ["web", "web"]}, "C012", "a name stands there twice"),
        ({"best": "web"}, "C012", "expected longest, first,"),
    ],
)
@pytest.mark.parametrize("kind", ["exact", "minhash"])
def test_rules_that_cannot_be_followed_are_findings(kind: str, survivor: Any, code: str, said: str) -> None:
    recipe = {
        "name": "x",
        "input": {"path": {"web": "web/*", "books": "books/*"}},
        "stages": [
            {"scorer": "language", "id": "lang"},
            {"scorer": "rules", "id": "quality", "profile": "gopher-quality@datatrove"},
            {"dedup": kind, "survivor": survivor},
        ],
    }
    with pytest.raises(CurationError) as caught:
        parse(recipe)
    [finding] = caught.value.findings
    assert finding.code == code
    assert said in finding.message


@pytest.mark.parametrize("connect", ["keeper", "components"])
def test_a_source_that_loses_half_and_a_cluster_that_is_large_are_told(tmp_path: Path, connect: str) -> None:
    base = words(200, 1)
    copies = [" ".join([*base, f"end{place}"]) for place in range(30)]
    others = [" ".join(words(30, 50 + seed)) for seed in range(50)]
    told: list[str] = []
    for name, texts in (("copies", [*copies, *others[:5]]), ("others", [*others[5:], copies[0]])):
        place = tmp_path / "in" / f"{name}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": texts}), place)
    recipe = {
        "name": "dedup",
        "input": {"path": {name: f"{tmp_path}/in/{name}.parquet" for name in ("copies", "others")}},
        "stages": [{"dedup": "minhash", "connect": connect}],
    }
    workspace = Workspace(tmp_path / "ws")

    def report(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(event.text)

    result = workspace.run(recipe, executor="local", workers=1, report=report)
    assert result.outcome == "done", result.failures
    assert told == [
        "minhash drops 29 of the 35 documents that come from copies",
        "one cluster of minhash holds 31 documents, 38.3% of all that reach it: copies, or pages of one template",
    ]
    [card] = workspace.store.root.glob("datasets/dedup/latest/README.md")
    assert card.read_text().count("**Look at this**") == 2
    assert f"`connect: {connect}`" in card.read_text()


def test_connect_and_contains_are_checked() -> None:
    for settings, code in (({"connect": "chains"}, "C004"), ({"contains": 1.5}, "C004"), ({"exact": 1}, "C004")):
        with pytest.raises(CurationError) as caught:
            parse({"name": "x", "input": {"path": "x"}, "stages": [{"dedup": "minhash", **settings}]})
        assert [finding.code for finding in caught.value.findings] == [code]


@pytest.mark.long
def test_a_workspace_from_before_there_was_a_loss_is_still_read(tmp_path: Path) -> None:
    """Its tables lack the columns that came later, its file names their content, and its records seals."""
    later = {"containment", "loss", "cluster_file", "cluster_row", "cluster_similarity", "dropped", "reason"}
    base = words(100, 1)
    workspace = run(tmp_path, {"0": [" ".join(base), " ".join([*base, "more"])]}, {"dedup": "minhash"})
    store, manifest = workspace.store, Manifest(workspace.store)
    for kind, columns in (("decisions", ["data"]), ("groups", ["members", "links"])):
        for record in manifest.read(kind).to_pylist():
            key = record.pop(KEY)
            for column in columns:
                table = parquet.read(store.source(record[column]))
                gone = later - ({"reason"} if kind == "decisions" else set())
                kept = table.drop_columns([name for name in table.column_names if name in gone])
                record[column] = f"{record[column].partition('/')[0]}/old/{column}.parquet"  # no hash in its name
                written = store.write(record[column], partial(parquet.write, kept))
            if kind == "decisions":
                record |= {"content": written.content, "lost": None}
            store.remove(part_name(kind, key))
            assert manifest.commit(kind, key, [record | ({"report": None} if kind == "groups" else {})])
    workspace = Workspace(store.root)
    assert workspace.sql("SELECT reason, similarity >= 0.75 AS near, containment, loss FROM drops").to_pylist() == [
        {"reason": "near_duplicate", "near": True, "containment": None, "loss": None}
    ]
    clusters = workspace.sql("SELECT count(DISTINCT cluster) AS n, bool_or(template) AS t FROM duplicate_clusters")
    assert clusters.to_pylist() == [{"n": 1, "t": False}]
    assert workspace.sql("SELECT dropped, reason FROM duplicate_pairs").to_pylist() == [
        {"dropped": None, "reason": None}
    ]
    assert workspace.sql("SELECT dropped, loss, lost FROM funnel WHERE stage = 'minhash'").to_pylist() == [
        {"dropped": 1, "loss": None, "lost": None}
    ]
