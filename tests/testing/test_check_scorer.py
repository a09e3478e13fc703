"""The kit for authors of scorers finds what each of its checks is there for, and says what it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation import registry
from curation.scorers.base import Artifact, Contract, Scorer, Settings, Transform
from curation.testing import check_scorer
from pipelines.workspace import Workspace
from schemas.documents import EDITS, EMPTY, OK

TEXTS = ["Loud SOUNDS", "quiet words", "ALL OF IT", "One more line, and a longer one.", "naïve ÉTÉ 😀", "x"]
DOCUMENTS = [{"text": text} for text in TEXTS]


def loud(text: str) -> float:
    return sum("A" <= letter <= "Z" for letter in text) / len(text.encode())


class Shouting(Scorer):
    """Share of bytes that are capital letters. What a class below it does otherwise is its fault."""

    kind = "shouting"

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("share", pa.float64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.result([self.share(text) for text in batch.column("text").to_pylist()])

    def share(self, text: str) -> float | None:
        return loud(text) if text else None

    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        status = [EMPTY if share is None else OK for share in shares]
        return pa.record_batch({"share": pa.array(shares, pa.float64()), "status": status})


class Oriented(Shouting):
    contract = Contract("share", 1, "prob")  # type: ignore[assignment]


class Averaged(Shouting):
    """By the mean of the batch, as a scorer that normalises would."""

    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        mean = sum(share or 0 for share in shares) / max(len(shares), 1)
        return super().result([None if share is None else share - mean for share in shares])


class Padded(Shouting):
    """As long as the longest text of the batch, from some length on."""

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        texts = batch.column("text").to_pylist()
        longest = max(map(len, texts), default=0)
        return self.result([float(longest > 1_000) if text else None for text in texts])


class Split(Shouting):
    """`prepare` and `infer` say something else than `score`."""

    def prepare(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.set_column(0, "text", pc.utf8_upper(batch.column("text")))


class Raising(Shouting):
    def share(self, text: str) -> float | None:
        if "\x00" in text:
            raise ValueError("a zero byte")
        return super().share(text)


class Endless(Oriented):
    """Not a number where there is no letter, and says that it is one."""

    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        return pa.record_batch({"share": pa.array([float("nan") if share is None else share for share in shares])})


class Unheard(Shouting):
    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        status = ["silent" if share is None else OK for share in shares]
        return pa.record_batch({"share": pa.array(shares, pa.float64()), "status": status})


class Both(Shouting):
    """A value beside a status that says there is none."""

    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        status = [EMPTY if share is None else OK for share in shares]
        return pa.record_batch({"share": pa.array([share or 0.0 for share in shares], pa.float64()), "status": status})


class Counting(Shouting):
    """By how often an object was asked."""

    asked = 0

    def share(self, text: str) -> float | None:
        self.asked += 1
        return float(self.asked) if text else None


class Born(Shouting):
    """By how many objects there were before."""

    made = 0

    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        Born.made += 1
        self.number = float(Born.made)

    def share(self, text: str) -> float | None:
        return self.number if text else None


class Salted(Shouting):
    """By `hash`, which every process salts anew."""

    def share(self, text: str) -> float | None:
        return float(hash(text) % 1_000_003) if text else None


class Cut(Shouting):
    """Reads so many characters, and says whether that was all."""

    contract = Contract(tokens="read", truncated="cut")  # type: ignore[assignment]

    class Settings(Settings):
        most: int = 1000

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("read", pa.int64()), pa.field("cut", pa.bool_())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        lengths = pc.cast(pc.utf8_length(batch.column("text")), pa.int64())
        read = pc.min_element_wise(lengths, self.settings.most)
        return pa.record_batch({"read": read, "cut": self.cut(lengths)})

    def cut(self, lengths: pa.Array) -> pa.Array:
        return pc.greater(lengths, self.settings.most)


class Silent(Cut):
    def cut(self, lengths: pa.Array) -> pa.Array:
        return pa.repeat(pa.scalar(False), len(lengths))


class Misnamed(Shouting):
    contract = Contract("loudness", 1, "prob")  # type: ignore[assignment]


class Unscaled(Shouting):
    contract = Contract("share")  # type: ignore[assignment]


class Narrow(Shouting):
    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        return pa.record_batch({"share": pa.array(shares, pa.float32())})


class Nameless(Shouting):
    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        return pa.record_batch({"part": pa.array(shares, pa.float64())})


class Short(Shouting):
    def result(self, shares: list[float | None]) -> pa.RecordBatch:
        return super().result(shares[1:])


class Learned(Shouting):
    """The share beyond that of the pool."""

    sample_rows = 3

    def fit(self, pool: pa.RecordBatch) -> Artifact:
        shares = [self.share(text) or 0 for text in pool.column("text").to_pylist()]
        return Artifact({"mean": pa.array([sum(shares) / len(shares)]).to_numpy()})

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        from safetensors.numpy import load_file

        assert self.context.artifact is not None
        mean = float(load_file(self.context.artifact / "head.safetensors")["mean"][0])
        shares = map(self.share, batch.column("text").to_pylist())
        return self.result([None if share is None else share - mean for share in shares])


class Answers(Shouting):
    reads = ("output",)


class Lower(Transform):
    """Capital letters become small ones."""

    kind = "lower"
    width = 1

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("changed", pa.int64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        edits = [[*map(self.edit, self.capitals(text))] for text in batch.column("text").to_pylist()]
        return pa.record_batch({"changed": pa.array(map(len, edits), pa.int64()), "edits": pa.array(edits, EDITS)})

    def capitals(self, text: str) -> list[tuple[int, str]]:
        return [(len(text[:at].encode()), letter) for at, letter in enumerate(text) if "A" <= letter <= "Z"]

    def edit(self, capital: tuple[int, str]) -> dict[str, Any]:
        start, letter = capital
        return {"field": "text", "start": start, "end": start + self.width, "replacement": letter.lower()}


class Beyond(Lower):
    """Edits that overlap where two capitals stand side by side."""

    width = 2


def refused(cls: type[Scorer], **options: Any) -> str:
    with pytest.raises(AssertionError) as failure:
        check_scorer(cls, {}, DOCUMENTS, **options)
    return str(failure.value)


def test_a_sound_scorer_passes_all_checks_and_is_told_which() -> None:
    assert check_scorer(Shouting, {}, DOCUMENTS) == ("C1", "C2", "C3", "C4", "C6", "C7", "C8", "C9")
    better = ([{"text": "AH"}, {"text": "OH NO"}], [{"text": "ah"}, {"text": "oh no"}])
    every = check_scorer(Oriented, {}, DOCUMENTS, oracle=lambda document: loud(document["text"]), better=better)
    assert every == ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9")


def test_the_example_in_the_docstring_is_right() -> None:
    from curation import testing

    assert testing.__doc__
    example = "\n".join(line[4:] for line in testing.__doc__.splitlines() if line[:4] in (">>> ", "... "))
    known: dict[str, Any] = {"Shouting": Shouting}
    exec(example, known)


@pytest.mark.parametrize(
    ("cls", "what"),
    [
        (Averaged, "C1: alone, document 0 has other values: share"),
        (Padded, "C2: beside a longer one, document 0 has other values: share 1.0, not 0.0"),
        (Split, "C1: by prepare and infer, document 0 has other values: share"),
        (Raising, r"C3: of text 'a\x00b' it raises ValueError: a zero byte"),
        (Endless, "C3: text '' has status 'ok' and share nan"),
        (Unheard, "C3: text '' has status 'silent', which is none of ok, empty"),
        (Both, "C3: text '' has status 'empty' and values in ['share']"),
        (Counting, "C1: alone, document 0 has other values: share"),
        (Born, "C4: by a second object, document 0 has other values"),
        (Salted, "C4: by another process, document 0 has other values"),
        (Oriented, "C6: the contract says that a higher share is better: give documents that should"),
        (Cut, "C7: the contract has a field `truncated`: give settings with a limit"),
        (Misnamed, "the contract's score is 'loudness', and the fields are ['share']"),
        (Unscaled, "the contract has score='share' and scale=None"),
        (Narrow, "shouting declares share as double and returns float"),
        (Nameless, "shouting returns no column 'share', which `fields` declares"),
        (Short, "shouting returns 5 rows for 6 documents"),
        (Answers, "shouting reads 'output', which document [0] lacks"),
        (Beyond, "edits of text 'Loud SOUNDS': row 0"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_each_fault_is_found_and_named(cls: type[Scorer], what: str) -> None:
    assert what in refused(cls)


def test_an_oracle_that_disagrees_names_the_document() -> None:
    assert "C5: of text 'Loud SOUNDS' the oracle says 0.5, and share is 0.63" in refused(
        Shouting, oracle=lambda document: 0.5
    )
    assert "the oracle says empty, and the scorer says ok" in refused(Shouting, oracle=lambda document: EMPTY)


def test_planted_documents_in_the_other_direction_are_found() -> None:
    better = ([{"text": "ah"}, {"text": "oh"}], [{"text": "AH"}, {"text": "OH"}])
    assert "with an AUC of 0.000, below 0.9" in refused(Oriented, better=better)
    assert "declares no orientation" in refused(Shouting, better=better)


def test_truncation_that_is_not_reported_is_found() -> None:
    long = ({"most": 40}, {"text": "word " * 100}, 40)
    check_scorer(Cut, {}, DOCUMENTS, long=long)
    assert "C7: cut is False of a document beyond the limit" in refused(Silent, long=long)
    wrong = ({"most": 40}, {"text": "word " * 100}, 41)
    assert "C7: read is 40 of a document of which 41 are read" in refused(Cut, long=wrong)


def test_a_fitted_scorer_is_fitted_first() -> None:
    check_scorer(Learned, {}, DOCUMENTS, pool=[{"text": "aA"}], oracle=lambda document: loud(document["text"]) - 0.5)


def test_a_transform_is_checked_as_well() -> None:
    check_scorer(Lower, {}, DOCUMENTS)


@pytest.mark.parametrize("cls", [Oriented, Lower], ids=["scorer", "transform"])
def test_with_a_workspace_runs_are_asked_too(cls: type[Scorer], monkeypatch: pytest.MonkeyPatch) -> None:
    family = "transform" if issubclass(cls, Transform) else "scorer"
    monkeypatch.setitem(sys.modules, "loud_and_low", sys.modules[__name__])
    monkeypatch.setitem(registry.BUILTIN[family], cls.kind, f"loud_and_low:{cls.__name__}")
    better = ([{"text": "AH"}], [{"text": "ah"}]) if cls.contract is Oriented.contract else None
    documents = [{"text": f"{text} {number}"} for number in range(4) for text in TEXTS]
    check_scorer(cls, {}, documents, better=better, workspace=Workspace)


def test_a_script_that_checks_its_scorer_as_it_runs_does_not_start_itself_again(tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text(
        "import pyarrow as pa\n"
        "from curation.scorers.base import Scorer\n"
        "from curation.testing import check_scorer\n"
        "class Length(Scorer):\n"
        "    kind = 'length'\n"
        "    fields = [pa.field('length', pa.int64())]\n"
        "    def score(self, batch):\n"
        "        return pa.record_batch({'length': pa.array(map(len, batch.column('text').to_pylist()), pa.int64())})\n"
        "print(check_scorer(Length, {}, [{'text': 'one'}, {'text': 'two or three'}]))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "('C1', 'C2', 'C3', 'C4', 'C6', 'C7', 'C8', 'C9')\n"
