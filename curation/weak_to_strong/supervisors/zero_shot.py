"""A causal language model that was never shown the task: how probable each class's words are behind a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import softmax

from curation.models.causal import Causal
from curation.models.locate import locate
from curation.models.sequences import Sequences
from curation.models.tokens import Ids
from curation.weak_to_strong.supervisors.base import Fixed, TaskRows, Votes
from curation.weak_to_strong.task import Template, as_text
from schemas.weak_to_strong import ZeroShot


class ZeroShotSupervisor(Fixed):
    """softmax over classes of the log-probability of their words given the prompt.

    `length: sum` adds the log-probabilities of a class's tokens, so that of two classes the one with fewer tokens is
    favoured; `mean` divides by their number. Tokens of prompt and words are found apart, so words begin with their
    space. It abstains where prompt and words are more than the model's window. Raises ValueError for words that do not
    fit the classes, ModelError for a model that cannot be used.
    """

    kind = "zero-shot"
    heavy = True

    def __init__(self, name: str, settings: ZeroShot, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        if set(settings.words) != set(classes) or not all(settings.words.values()):
            raise ValueError(f"words are wanted for each of the classes {', '.join(classes)}, and for no other")
        self.prompt = Template.parse(settings.prompt)
        self.reads = tuple(column for column in self.prompt.columns if column != "task")
        self.model = Causal(locate(settings.model, base))

    def identity(self) -> Any:
        return self.model.identity()

    def vote(self, rows: TaskRows) -> Votes:
        columns = {name: as_text(rows.column(name)) for name in self.reads}
        columns["task"] = rows.text
        read = {name: pc.utf8_slice_codeunits(text, 0, self.settings.max_characters) for name, text in columns.items()}
        prompts = self.prompt.render(read, len(rows))
        ids = self.model.ids(prompts, self.model.window)
        words = [self.model.ids(pa.array([self.settings.words[name]], pa.large_string())).ids for name in self.classes]
        start = np.array(self.model.start_ids, np.int32)
        room = self.model.room - max(len(word) for word in words)
        counts = ids.counts()
        fits = (counts <= room) & (counts + len(start) > 0)
        pieces, first = [], []
        # A loop over rows: each is a sequence of its own for each class.
        for row in np.flatnonzero(fits).tolist():
            before = np.concatenate([start, ids.ids[ids.documents[row] : ids.documents[row + 1]]])
            pieces += [np.concatenate([before, word]) for word in words]
            first += [len(before)] * len(words)
        losses = self.model.token_losses(Sequences(*Ids.joined(pieces)), np.array(first, np.int64))
        total = losses.means() * np.diff(losses.offsets) if self.settings.length == "sum" else losses.means()
        p = np.zeros((len(rows), len(words)))
        p[fits] = softmax(-total.reshape(-1, len(words)), axis=1)
        return Votes.of(p, ~fits)
