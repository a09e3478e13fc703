"""Scorers for runs that are disturbed: pure, slow, and of two texts they die. Installed by `harness.plugins`.

Environment: CHAOS_SECONDS a document takes; CHAOS_POISON, what a poisonous one does (`kill` or `raise`); CHAOS_DIR,
where the file `hold` makes everybody wait, and `deaths` says who died.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from curation.scorers.base import Scorer, Settings

POISON = {"chaos-light": "a drop of arsenic", "chaos-heavy": "a drop of cyanide"}


class ChaosSettings(Settings):
    salt: int = 0


class Light(Scorer):
    """`score` float64, a hash of text and salt in [0, 1)."""

    kind = "chaos-light"
    Settings = ChaosSettings

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("score", pa.float64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"score": pa.array([self._score(text) for text in batch.column("text").to_pylist()])})

    def _score(self, text: str) -> float:
        settings: Any = self.settings
        control = os.environ.get("CHAOS_DIR")
        time.sleep(float(os.environ.get("CHAOS_SECONDS", "0")))
        while control and Path(control, "hold").exists():
            time.sleep(0.05)
        if POISON[self.kind] in text:
            if os.environ.get("CHAOS_POISON") != "kill":
                raise ValueError("poison")
            if control:
                with Path(control, "deaths").open("a") as deaths:
                    deaths.write(f"{self.kind}\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return xxhash.xxh3_64_intdigest(text.encode(), settings.salt) / 2**64


class Heavy(Light):
    """The same in an actor."""

    kind = "chaos-heavy"
    heavy = True
