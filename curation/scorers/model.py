"""What scorers share that run a network: tokens are made where the shard is read, and scores where the model is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from curation.models.meter import Reading
from curation.models.reader import Reader
from curation.models.tokens import TOKENIZER, Ids
from curation.scorers import base
from schemas.documents import EMPTY, OK, TOO_LONG


class ModelSettings(base.Settings):
    """Keys of every stage that runs a network."""

    model: str
    """Address of the model: package:NAME, path:FOLDER or hub:ORG/NAME@REVISION, in safetensors."""
    pack: int | None = Field(default=None, ge=1)
    """Tokens of one pass, one of the declared numbers: less memory, and other scores in the last bits."""


class ModelScorer(base.Scorer):
    """A scorer with one or more networks. `prepare` needs their tokenizers only, `infer` their weights."""

    heavy = True

    @property
    @abstractmethod
    def readers(self) -> tuple[Reader, ...]:
        """The models, their weights not necessarily loaded. Raises ModelError when one cannot be used."""

    @property
    def device(self) -> str:
        return self.readers[0].device

    @abstractmethod
    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch: ...

    @abstractmethod
    def infer(self, prepared: pa.RecordBatch) -> pa.RecordBatch: ...

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.infer(self.prepare(batch))

    def identity(self) -> dict[str, Any]:
        (reader,) = self.readers
        return reader.identity()

    def models(self) -> list[dict[str, Any]]:
        return [row for reader in self.readers for row in reader.model.describe(*reader.weights, TOKENIZER)]

    def load(self) -> None:
        for reader in self.readers:
            reader.load()

    def readings(self) -> list[tuple[Reader, Reading]]:
        return [(reader, reader.meter.reading()) for reader in self.readers]


def is_blank(text: pa.Array) -> NDArray[np.bool_]:
    """Which texts are white space alone or nothing: bool [n]."""
    return np.asarray(pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy(zero_copy_only=False))


def readable(text: pa.Array, ids: Ids) -> NDArray[np.object_]:
    """Status of each text before it is read: `empty`, `too_long` (not even tokenised) or ok."""
    status = np.full(len(text), OK, dtype=object)
    status[ids.refused()] = TOO_LONG
    status[is_blank(text)] = EMPTY
    return status


def placed(values: NDArray[Any], rows: NDArray[np.int64], total: int) -> NDArray[Any]:
    """Values of some rows among all of them, zero elsewhere."""
    full = np.zeros((total, *values.shape[1:]), dtype=values.dtype)
    full[rows] = values
    return full
