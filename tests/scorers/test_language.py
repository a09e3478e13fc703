"""Language identification on sentences of our own, and the traps of the library below it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from curation.scorers.base import Context
from curation.scorers.language import Language, LanguageSettings
from schemas.documents import TEXT

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


def test_a_text_without_known_words_is_never_sure(scorer: Language) -> None:
    for row in scorer.score(batch(["12345 67890", "!!! ... ???", "\x00\x00"])).to_pylist():
        assert row["prob"] < 0.5


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
