"""A user's project: recipes, their companions, input and code."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.workspace import Workspace

ROOT = Path(__file__).parents[1]
Curate = Callable[..., subprocess.CompletedProcess[str]]
SCORERS = '''
"""Scorers of a user's own: no kernels, so nothing has to be compiled."""

import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.scorers.base import HEAD, Artifact, Scorer, Settings


class Counted(Settings):
    words: str
    hold: str = ""


class Words(Scorer):
    """Counts words of a list; while the file `hold` is there, it waits with what the last two shards have."""

    kind = "words"
    Settings = Counted
    operational = ("hold",)

    def listed(self):
        return self.context.resolve(self.settings.words).read_text().split()

    def identity(self):
        return {"words": self.listed()}

    @property
    def fields(self):
        return [pa.field("hits", pa.int64())]

    def score(self, batch):
        text = batch.column("text")
        while self.settings.hold and Path(self.settings.hold).exists() and text[0].as_py() > "shard 2":
            time.sleep(0.1)
        return pa.record_batch({"hits": pc.cast(pc.count_substring_regex(text, "|".join(self.listed())), pa.int64())})


class Mean(Scorer):
    """How much longer a text is than the mean of those that it was fitted on; it cannot do the first of a shard."""

    kind = "longer"
    sample_rows = 50

    @property
    def fields(self):
        return [pa.field("by", pa.float64())]

    def identity(self):
        return {} if self.context.artifact is None else {"head": (self.context.artifact / HEAD).read_bytes().hex()}

    def models(self):
        return self.fitted_models()

    def fit(self, pool):
        return Artifact({"mean": np.array([pc.mean(pc.utf8_length(pool.column("text"))).as_py()])})

    def score(self, batch):
        if pc.any(pc.match_substring(batch.column("text"), "document 0 ")).as_py():
            raise ValueError("the first")
        return pa.record_batch({"by": pc.cast(pc.utf8_length(batch.column("text")), pa.float64())})
'''
PROJECT = """
[project]
name = "my-scorers"
version = "1.2"

[project.entry-points."curation.scorers"]
words = "my_scorers.words:Words"
longer = "my_scorers.words:Mean"
"""
RECIPE = """
name: tiny
input:
  path: ../data/*.parquet
stages:
  - scorer: words
    words: ../lists/words.txt
    hold: {hold}
    keep: words.hits >= 1
output:
  columns: [text, words.hits]
"""
FITTED = """
name: fitted
input: {path: ../data/*.parquet}
stages: [{scorer: longer}]
"""


@dataclass(frozen=True)
class Project:
    """Recipes, their companions, input and code; none of it where Ray would find it by itself."""

    folder: Path
    hold: Path
    curate: Curate

    def __call__(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.curate(*arguments, cwd=self.folder, **environment)

    def sql(self, query: str, workspace: str = "ws") -> list[dict[str, Any]]:
        return Workspace(self.folder / workspace).sql(query).to_pylist()
