"""What an author of a scorer has to write, and what follows from it by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curation.scorers.base import Artifact, Context, Scorer, Settings
from curation.scorers.leave_one_out import attribution_of
from curation.scorers.members import Member, build
from curation.scorers.turns import PerTurn
from curation.scorers.wrapper import Wrapper
from schemas.documents import TEXT


class Length(Scorer):
    kind = "length"

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("length", pa.int64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"length": pa.array([len(text) for text in batch.column("text").to_pylist()])})


class Learner(Length):
    kind = "learner"
    reads = ("output",)

    def fit(self, pool: pa.RecordBatch) -> Artifact:
        return Artifact({})


class Perhaps(Learner):
    """Fitted where its settings say so."""

    def __init__(self, settings: Any, context: Context) -> None:
        super().__init__(settings, context)
        self.fitted = bool(context.cache)


def made(cls: type[Scorer], cache: Path | None = None) -> Scorer:
    return cls(Settings(), Context(Path(), cache=cache))


def test_kind_fields_and_score_are_enough() -> None:
    assert Scorer.__abstractmethods__ == {"fields", "score"}
    scorer = made(Length)
    text = pa.record_batch({"text": pa.array(["abc"], TEXT)})
    assert scorer.infer(scorer.prepare(text)).to_pylist() == [{"length": 3}]
    assert (scorer.version, scorer.reads, scorer.heavy, scorer.device) == (1, ("text",), False, "cpu")
    assert scorer.identity() == scorer.requires() == {}


def test_a_scorer_with_a_fit_is_fitted_and_an_instance_may_say_otherwise() -> None:
    assert [made(cls).fitted for cls in (Length, Learner, Perhaps)] == [False, True, False]
    assert made(Perhaps, Path()).fitted
    assert Wrapper(made(Learner)).fitted


def test_what_has_to_be_fitted_is_neither_a_member_nor_asked_for_each_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.registry.find", lambda family, kind: Learner)
    with pytest.raises(ValueError, match="has to be fitted"):
        build(Member(scorer="learner", field="length"), Context(Path()))
    with pytest.raises(ValueError, match="one by one"):
        PerTurn(made(Learner), "mean")


def test_without_an_explanation_of_its_own_each_sentence_is_left_out() -> None:
    class Counted(Length):
        @property
        def contract(self) -> Any:
            from curation.scorers.base import Contract

            return Contract("length", 1, "count")

    document = pa.record_batch({"text": pa.array(["Short. And a longer one."], TEXT)})
    found = attribution_of(made(Counted), document)
    assert found is not None
    assert found.pieces == [("Short. ", 7.0), ("And a longer one.", 17.0)]
