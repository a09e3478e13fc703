"""What evaluation sets leave in documents is measured; and what n-grams find and miss on real ones."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation import registry
from curation.scorers.base import Context
from curation.scorers.decontaminate import Decontaminate
from schemas.documents import TEXT

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
QUESTION = "A baker sells 12 loaves a day, at 3 dollars each; how many dollars does she make in 7 days?"
ANSWER = "She makes 12 * 3 = 36 dollars a day, and so 252 dollars in a week of seven days."
REPORT = """
    WITH met AS (SELECT unnest(decontaminate.benchmarks) AS met FROM documents)
    SELECT met.name AS benchmark, count(*) AS documents, len(list_distinct(flatten(list(met.rows)))) AS items
    FROM met GROUP BY ALL ORDER BY documents DESC, benchmark
"""


def scorer(folder: Path, *against: dict[str, Any], **settings: Any) -> Decontaminate:
    return Decontaminate(Decontaminate.Settings.model_validate({"against": list(against), **settings}), Context(folder))


def score(scorer: Decontaminate, texts: list[str]) -> pa.RecordBatch:
    result = scorer.score(pa.record_batch({"text": pa.array(texts, TEXT)}))
    assert result.schema.equals(pa.schema(scorer.fields))
    return result


def write(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return {"name": path.stem, "path": path.name}


@pytest.mark.long
def test_a_planted_question_is_measured_to_the_word(tmp_path: Path) -> None:
    bakery = write(tmp_path / "bakery.parquet", [{"q": "Another question of no interest whatsoever."}, {"q": QUESTION}])
    text = f"Intro, in été:\n{QUESTION.upper()}\nThat was it, really."
    [row] = score(scorer(tmp_path, bakery), [text]).to_pylist()
    start = text.encode().index(b"A BAKER")
    assert row == {
        "overlap": 20 / 27,
        "longest": 20,
        "benchmark": "bakery",
        "benchmarks": [{"name": "bakery", "overlap": 20 / 27, "items": 1, "rows": [1]}],
        "spans": [{"start": start, "end": start + len(QUESTION) - 1, "benchmark": "bakery"}],
    }


def test_documents_that_share_nothing_are_zero_and_not_null(tmp_path: Path) -> None:
    known = scorer(tmp_path, write(tmp_path / "bakery.parquet", [{"q": QUESTION}]))
    for row in score(known, ["", "?!", "Nothing to see here.", QUESTION[:40]]).to_pylist():
        assert row == {"overlap": 0.0, "longest": 0, "benchmark": None, "benchmarks": [], "spans": []}
    assert score(known, []).num_rows == 0


def test_the_benchmark_is_the_one_that_covers_most_and_the_first_on_a_tie(tmp_path: Path) -> None:
    both = f"{QUESTION} {ANSWER}"
    one = write(tmp_path / "one.parquet", [{"q": QUESTION}])
    two = write(tmp_path / "two.parquet", [{"q": QUESTION, "a": ANSWER}])
    assert score(scorer(tmp_path, one, two), [both, QUESTION, ANSWER])["benchmark"].to_pylist() == ["two", "one", "two"]
    assert score(scorer(tmp_path, two, one), [QUESTION])["benchmark"].to_pylist() == ["two"]
    [row] = score(scorer(tmp_path, one, two), [both])["benchmarks"].to_pylist()
    words = 20 + 18
    assert [(met["name"], met["overlap"]) for met in row] == [("one", 20 / words), ("two", 1.0)]


def test_n_grams_do_not_run_from_one_column_into_the_next(tmp_path: Path) -> None:
    q, a = "one two three four five six seven", "eight nine ten eleven twelve thirteen fourteen"
    known = scorer(tmp_path, write(tmp_path / "set.parquet", [{"q": q, "a": a}]), shortest=8)
    assert score(known, [f"{q} {a}"])["longest"].to_pylist() == [0]
    known = scorer(tmp_path, write(tmp_path / "set.parquet", [{"q": f"{q} {a}"}]))
    assert score(known, [f"{q} {a}"])["longest"].to_pylist() == [14]


def test_short_texts_are_matched_whole_from_the_shortest_on(tmp_path: Path) -> None:
    options = [{"options": ["four words only here", "and here we have five", "six words are what we have"]}]
    against = write(tmp_path / "set.parquet", options)
    texts = [
        "So four words only here.",
        "So, AND HERE we have five!",
        "here we have five",
        "six words are what we have",
    ]
    assert score(scorer(tmp_path, against), texts)["longest"].to_pylist() == [0, 5, 0, 6]
    assert score(scorer(tmp_path, against, shortest=4), texts)["longest"].to_pylist() == [4, 5, 0, 6]
    assert score(scorer(tmp_path, against, shortest=6), texts)["longest"].to_pylist() == [0, 0, 0, 6]


def test_text_is_taken_from_strings_lists_and_structs_and_from_nothing_else(tmp_path: Path) -> None:
    rows = [
        {"n": 17, "q": None, "choices": {"text": [QUESTION, None], "label": ["A"]}, "nested": [[ANSWER]], "no": b"x"}
    ]
    rows.append({"n": 18, "q": "and this here is another question entirely", "choices": None, "nested": [], "no": None})
    against = write(tmp_path / "set.parquet", rows)
    texts = [QUESTION, ANSWER, rows[1]["q"]]
    found = [met[0]["rows"] for met in score(scorer(tmp_path, against), texts)["benchmarks"].to_pylist()]
    assert found == [[0], [0], [1]]
    for column, hit in (
        ("choices", [True, False, False]),
        ("nested", [False, True, False]),
        ("q", [False, False, True]),
    ):
        overlap = score(scorer(tmp_path, {**against, "columns": [column]}), texts)["overlap"].to_pylist()
        assert [value > 0 for value in overlap] == hit


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    rows = [
        {"q": QUESTION, "other": {"deep": [ANSWER]}, "n": 1},
        {"q": "a short but sufficient one", "other": None, "n": 2},
    ]
    write(tmp_path / "set.parquet", rows)
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    (tmp_path / "set.jsonl").write_bytes(lines)
    (tmp_path / "set.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "set.jsonl.zst").write_bytes(zstandard.compress(lines))
    texts = [f"{QUESTION}, A short, but sufficient one?", ANSWER, "else"]
    results = [
        score(scorer(tmp_path, {"name": "set", "path": f"set.{ending}"}), texts)
        for ending in ("parquet", "jsonl", "jsonl.gz", "jsonl.zst")
    ]
    assert results[0]["benchmarks"][0].as_py()[0]["rows"] == [0, 1]
    assert all(result.equals(results[0]) for result in results)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    against = write(tmp_path / "set.parquet", [{"q": QUESTION, "n": 1}])
    with pytest.raises(ValueError, match=r"absent\.parquet does not exist"):
        scorer(tmp_path, {"name": "a", "path": "absent.parquet"})
    with pytest.raises(ValueError, match="no column 'question'; its columns: q, n"):
        scorer(tmp_path, {**against, "columns": ["question"]})
    with pytest.raises(ValueError, match=r"column 'n' of .* is int64, not text"):
        scorer(tmp_path, {**against, "columns": ["n"]})
    with pytest.raises(ValueError, match="two evaluation sets are called 'set'"):
        scorer(tmp_path, against, against)
    (tmp_path / "set.txt").write_text(QUESTION)
    with pytest.raises(ValueError, match="no known format"):
        scorer(tmp_path, {"name": "a", "path": "set.txt"})
    for content, message in (
        ('{"q": ', "cannot be read"),
        ("[1]", "not a JSON object"),
        ('{"n": "x"}', "no text in column 'q'"),
    ):
        (tmp_path / "set.jsonl").write_text(content)
        with pytest.raises(ValueError, match=message):
            scorer(tmp_path, {"name": "a", "path": "set.jsonl", "columns": ["q"]}).load()


def test_the_identity_is_of_names_columns_and_contents(tmp_path: Path) -> None:
    against = write(tmp_path / "set.parquet", [{"q": QUESTION}])
    known = scorer(tmp_path, against)
    seen = [known.identity()]
    seen += [scorer(tmp_path, {**against, **change}).identity() for change in ({"name": "x"}, {"columns": ["q"]})]
    write(tmp_path / "set.parquet", [{"q": ANSWER}])
    seen.append(known.identity())
    assert len({json.dumps(identity) for identity in seen}) == 4
    assert score(known, [ANSWER, QUESTION])["longest"].to_pylist() == [18, 0]  # what changed is read again


def test_the_report_by_benchmark_counts_each_leaked_item_once(tmp_path: Path) -> None:
    one = write(tmp_path / "one.parquet", [{"q": QUESTION}, {"q": ANSWER}, {"q": "never seen anywhere in the pool"}])
    two = write(tmp_path / "two.parquet", [{"q": QUESTION}])
    result = score(scorer(tmp_path, one, two), [QUESTION, f"{ANSWER} {QUESTION}", "clean", QUESTION])
    documents = pa.table({"decontaminate": result.to_struct_array()})
    assert documents.num_rows == 4
    assert duckdb.sql(REPORT).fetchall() == [("one", 3, 2), ("two", 3, 1)]


def test_a_recipe_finds_it() -> None:
    assert registry.find("scorer", "decontaminate") is Decontaminate


# --- what 13-, 8- and 5-grams find of a real evaluation set --------------------------------------------------------

NGRAMS = (13, 8, 5)


def column(name: str, column: str) -> list[str]:
    path = SHARED / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not here: the data sets are not shipped")
    return pq.read_table(path, columns=[column]).column(column).to_pylist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def questions() -> list[str]:
    return column("gsm8k_test", "question")


@pytest.fixture(scope="module")
def against_gsm8k(questions: list[str]) -> dict[int, Decontaminate]:
    return {n: scorer(SHARED, {"name": "gsm8k", "path": "gsm8k_test.parquet"}, ngram=n) for n in NGRAMS}


def in_the_middle(text: str, question: str) -> str:
    middle = text.find(" ", len(text) // 2)
    return f"{text[:middle]}\n\n{question}\n\n{text[middle:]}"


def changed(question: str, choose: Callable[[int], bool]) -> str:
    return " ".join("something" if choose(number) else word for number, word in enumerate(question.split()))


@pytest.mark.long
def test_planted_questions_are_found_as_far_as_their_words_were_left(
    questions: list[str], against_gsm8k: dict[int, Decontaminate]
) -> None:
    pool = column("pep_versions", "text")
    planted = np.arange(len(pool)) % 10 == 0
    chance = random.Random(0)
    kinds: dict[str, Callable[[str], str]] = {
        "verbatim": lambda question: question,
        "each word changed with chance 1/12": lambda question: changed(question, lambda _: chance.random() < 1 / 12),
        "each twelfth word changed": lambda question: changed(question, lambda number: number % 12 == 11),
    }
    recall: dict[tuple[str, int], float] = {}
    for kind, change in kinds.items():
        texts = [
            in_the_middle(text, change(questions[number // 10])) if planted[number] else text
            for number, text in enumerate(pool)
        ]
        for n in NGRAMS:
            result = score(against_gsm8k[n], texts)
            met = [{row for each in found for row in each["rows"]} for found in result["benchmarks"].to_pylist()]
            recall[kind, n] = float(np.mean([row // 10 in met[row] for row in np.flatnonzero(planted)]))
            wrong = np.mean([bool(met[row]) for row in np.flatnonzero(~planted)])
            assert wrong == 0 if n > 5 else 0.15 < wrong < 0.3  # measured: 0.22 at n = 5
    verbatim, by_chance, regular = kinds
    assert [recall[verbatim, n] for n in NGRAMS] == [1.0, 1.0, 1.0]
    # Measured: 0.86, 0.98, 1.00; and 0.08, 1.00, 1.00, since eleven words in a row are no 13-gram.
    assert 0.75 < recall[by_chance, 13] < 0.95 < recall[by_chance, 8]
    assert recall[regular, 13] < 0.2
    assert recall[regular, 8] == recall[regular, 5] == 1.0


def test_rephrased_questions_are_missed_or_found_together_with_innocent_ones(
    against_gsm8k: dict[int, Decontaminate],
) -> None:
    train = [
        f"{q}\n{a}" for q, a in zip(column("gsm8k_train", "question"), column("gsm8k_train", "answer"), strict=True)
    ]
    parts = [column("dolly_3k", name) for name in ("instruction", "input", "output")]
    dolly = ["\n".join(filter(None, row)) for row in zip(*parts, strict=True)]
    pools = {"rephrased": column("gsm8k_rephrased", "text"), "gsm8k_train": train, "dolly": dolly}
    flagged = {
        (name, n): float(np.mean(np.asarray(score(against_gsm8k[n], texts)["overlap"]) > 0))
        for name, texts in pools.items()
        for n in NGRAMS
    }
    # Measured at n = 13, 8, 5: rephrased 0.000, 0.074, 0.676; gsm8k_train 0.001, 0.109, 0.855; dolly 0, 0, 0.044.
    assert flagged["rephrased", 13] < 0.01
    assert 0.04 < flagged["rephrased", 8] < 0.12
    assert 0.55 < flagged["rephrased", 5] < 0.8
    assert flagged["gsm8k_train", 13] < 0.005
    assert flagged["dolly", 8] < 0.002
    # The words that are left of a rephrased question are those of any question of the kind.
    for n in (8, 5):
        assert flagged["gsm8k_train", n] > flagged["rephrased", n]
