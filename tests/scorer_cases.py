"""One case for each scorer that a recipe can name: how it stands in one, what it should say, and which way it points.

`tests/scorers/test_contract.py` runs every registered scorer through the same checks, with what is declared here. A new
scorer without a case fails there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scorer_oracles as oracles
from scorer_oracles import EVAL, MINILM, Document

from curation.scorers.base import Scorer


@dataclass(frozen=True)
class Case:
    """How one scorer is tried."""

    stage: dict[str, Any]
    """Its keys in a recipe."""
    oracle: Callable[[Scorer, list[Document]], list[float | None]]
    """What `field` should be, worked out another way."""
    field: str | None = None
    """Checked against the oracle; default: the contract's score."""
    good: Callable[[], list[Document]] | None = None
    """Planted documents that should score better than `bad`, in the declared direction; None without an orientation."""
    bad: Callable[[], list[Document]] | None = None
    long: tuple[dict[str, Any], Document, int] | None = None
    """Settings with a limit, a document beyond it, and the tokens that are then read or scored."""
    tolerance: float = 1e-5
    """Relative, against the oracle, models in fp32."""


def cooking(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    verbs, things = ["whisk", "fold", "bake", "chill", "stir"], ["flour", "eggs", "sugar", "butter", "cream"]
    return [
        f"Recipe {n}: " + " ".join(f"{random.choice(verbs)} the {random.choice(things)}," for _ in range(6)) + " done."
        for n in range(count)
    ]


def news(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    names, places = ["council", "senate", "board", "party", "bank"], ["harbour", "bridge", "station", "river", "coast"]
    return [
        f"Report {n}: " + " ".join(f"the {random.choice(names)} at the {random.choice(places)}," for _ in range(5))
        for n in range(count)
    ]


PROSE = [
    "The Amazon rainforest covers much of the Amazon basin of South America and is home to many species.",
    "To open a file, call open with its name, and read what you need inside a with block.",
    "The council decided on Tuesday to spend three million on the new bridge across the river.",
    "She put the letter back into the drawer, locked it, and went out to meet him at the station.",
    "Water boils at a lower temperature in the mountains, because the air presses less on it there.",
    "Most birds of this family build their nests in trees and feed their young on insects.",
]


def document(text: str, place: int = 0, **more: Any) -> Document:
    """A document with every column that some scorer reads."""
    return {
        "text": text,
        "instruction": "Say something about the subject.",
        "input": "",
        "output": text,
        "url": f"https://example.org/page/{place}",
        "id": f"id-{place}",
        "answer": f"#### {place}",
        "response": f"It is {place % 3 * place}.",
        "chosen_text": text,
        "rejected_text": f"The other answer to the question, number {place}.",
        "rating": float(place % 5),
        "gold": float(place % 7),
        **more,
    }


def documents() -> list[Document]:
    """32 plain documents: kinds of text, lengths, scripts, and special tokens that are only words here."""
    texts = [
        *PROSE,
        *cooking(8, seed=3),
        *news(8, seed=4),
        "naïve café 😀\r\n\tzero\x00byte and a few more words",
        "[PAD] [SEP] [CLS] are words in this document [PAD]",
        "<|endoftext|> and <|im_start|> are words here too </s> <s>",
        "! ! ! an exclamation mark is token 0 of GPT-2 !",
        "Ветер дул с моря, и дождь шёл весь день до вечера.",
        "東京は日本の首都です。人口は多く、電車もたくさん走っています。",
        "x = [i for i in range(10) if i % 2 == 0]\nprint(sum(x))\n",
        EVAL,
        " ".join(PROSE[:3]),
        PROSE[0],  # the same text again
    ]
    return [document(text, place) for place, text in enumerate(texts)]


def planted_cooking() -> list[Document]:
    return [document(text, place) for place, text in enumerate(cooking(12, seed=9))]


def planted_news() -> list[Document]:
    return [document(text, place) for place, text in enumerate(news(12, seed=10))]


def fluent() -> list[Document]:
    return [document(text) for text in PROSE]


def shuffled() -> list[Document]:
    random = np.random.default_rng(0)
    return [document(" ".join(random.permutation(text.split()))) for text in PROSE]


def answered_by_another() -> list[Document]:
    """Instructions with the next one's answer: harder by IFD, which is the direction it points."""
    pairs = instructions()
    return [{**item, "output": pairs[place - 1]["output"]} for place, item in enumerate(pairs)]


def instructions() -> list[Document]:
    pairs = [
        ("What is the capital of France?", "The capital of France is Paris, on the river Seine."),
        ("How does one open a file in Python?", "Call open with the file's name inside a with statement."),
        ("Why is the sky blue?", "Air scatters blue light from the sun more than red light."),
        ("Name three primary colours.", "The three primary colours are red, yellow and blue."),
        ("How many legs has a spider?", "A spider has eight legs, two more than an insect."),
        ("What do bees make?", "Bees make honey and wax from what they gather in flowers."),
    ]
    return [document(answer, instruction=question) for question, answer in pairs]


def repeated(text: str, times: int) -> Document:
    return document(" ".join([text] * times))


def write_files(folder: Path) -> None:
    """What the cases' settings name."""
    (folder / "cooking.txt").write_text("\n".join(cooking(40)))
    (folder / "news.txt").write_text("\n".join(news(40)))
    write_ngram(folder / "ngram")
    write_stack(folder / "stack")
    write_properties(folder / "properties")
    write_properties(folder / "short", max_tokens=32)
    (folder / "ids.txt").write_text("id-3\nid-17\nremoved")
    (folder / "domains.txt").write_text("spam.example")
    (folder / "eval.jsonl").write_text(json.dumps({"question": EVAL}) + "\n")


def write_ngram(folder: Path, task: str = "binary") -> None:
    """What `curate train-scorer --method ngram` leaves, of cooking against news."""
    import numpy as np
    import pyarrow as pa
    from safetensors.numpy import save_file

    from curation.training.ngram import best_ngrams
    from schemas.documents import TEXT

    text = pa.array([*cooking(40), *news(40)], TEXT)
    y = {
        "binary": np.repeat([1.0, 0.0], 40),
        "regression": np.repeat([2.5, 1.0], 40) + np.tile([0, 0.3], 40),
        "ordinal": np.repeat([3, 2, 1.0], [30, 20, 30]),
    }
    model, _, _ = best_ngrams(text, y[task], np.arange(80), task, 0.5, lambda line: None)  # type: ignore[arg-type]
    folder.mkdir()
    save_file(model.tensors(), folder / "head.safetensors")
    (folder / "scorer.json").write_text(json.dumps({"format": 1, "kind": "ngram", "task": task, **model.settings()}))


def write_stack(folder: Path) -> None:
    """What `curate train-scorer --method stack` leaves: of length, a rule and a model of n-grams beside it."""
    import numpy as np
    from safetensors.numpy import save_file

    from curation.training.stack import LOG, LOGIT, PLAIN, Columns, Stack

    folder.mkdir()
    write_ngram(folder / "ngram")
    fields = [("length", "text", "words"), ("rules", "gopher", "mean_word_length"), ("ngram", "ngram", "prob")]
    values = np.array([[3, 4.0, 0.1], [300, 5.0, 0.9], [30, 4.5, 0.5]])
    columns = Columns.fit(values, np.array([LOG, PLAIN, LOGIT]))
    stack = Stack("binary", fields, columns, np.array([0.1, -0.2, 3.0]), 0.5)
    save_file(stack.tensors(), folder / "head.safetensors")
    members = {
        "gopher": {"scorer": "rules", "profile": "gopher-quality@datatrove"},
        "ngram": {"scorer": "ngram", "model": "path:ngram"},
    }
    facts = {"format": 1, "kind": "stack", "task": "binary", "members": members, **stack.settings()}
    (folder / "scorer.json").write_text(json.dumps(facts))


def write_properties(folder: Path, max_tokens: int | None = None) -> None:
    """What `curate train-scorer --labels` leaves: of two labels, the one the first coordinate itself."""
    import numpy as np
    from safetensors.numpy import save_file

    from curation.scorers.base import Context
    from curation.scorers.embedding import Embedding, EmbeddingSettings
    from pipelines.train import encoder_facts

    folder.mkdir()
    heads = {"first": "regression", "kind": "binary"}
    tensors = {}
    for name in heads:
        weight = np.zeros(384)
        weight[0] = 1
        tensors |= {f"{name}.weight": weight, f"{name}.bias": np.zeros(1), f"{name}.values": np.zeros(0)}
    save_file(tensors, folder / "head.safetensors")
    facts = {"kind": "properties", "properties": [{"name": name, "task": task} for name, task in heads.items()]}
    encoder = encoder_facts(Embedding(EmbeddingSettings(model=MINILM, max_tokens=max_tokens), Context(folder)))
    (folder / "scorer.json").write_text(json.dumps({"format": 1, **facts, **encoder}))


def cases(models: dict[str, str]) -> dict[str, Case]:
    """By name: that of the scorer, with what tells two cases of one scorer apart behind a colon.

    `models` gives addresses: classifier, smollm2, prior, conditional, judge.
    """
    member = {"scorer": "imported", "field": "score"}
    files = {"target": "cooking.txt", "background": "news.txt"}
    smollm2 = models["smollm2"]
    sun = document("sun " * 300)
    return {
        "language": Case({"scorer": "language"}, oracles.language),
        "rules": Case(
            {"scorer": "rules", "profile": "gopher-quality@dolma"},
            oracles.word_count,
            field="words",
            good=lambda: [document(" ".join(PROSE)) for _ in range(3)],
            bad=lambda: [document(text) for text in ("click here | login", "0 1 1 2 3 5 8", "!!! ??? ###")],
        ),
        "embedding": Case(
            {"scorer": "embedding", "model": MINILM},
            oracles.first_coordinate,
            field="vector",
            long=({"max_tokens": 32}, sun, 32),
            tolerance=2e-3,
        ),
        "embedding-head": Case(
            {"scorer": "embedding-head", "model": MINILM, "seeds": "cooking.txt", "background": "news.txt"},
            oracles.head,
            good=planted_cooking,
            bad=planted_news,
            long=({"max_tokens": 32}, sun, 32),
            tolerance=2e-3,
        ),
        "token-count": Case({"scorer": "token-count", "tokenizer": MINILM}, oracles.tokens),
        "url": Case(
            {"scorer": "url", "domains": "domains.txt"},
            oracles.url,
            good=lambda: [document("a", place) for place in range(5)],
            bad=lambda: [document("a", url=f"https://{name}spam.example/x") for name in ("", "www.", "a.b.")],
        ),
        "takedown": Case(
            {"scorer": "takedown", "ids": "ids.txt"},
            oracles.takedown,
            good=lambda: [document("a", 5), document("a", 6)],
            bad=lambda: [document("a", 3), document("a", 17)],
        ),
        "decontaminate": Case(
            {"scorer": "decontaminate", "against": [{"name": "buns", "path": "eval.jsonl"}], "ngram": 8},
            oracles.decontaminate,
            good=planted_news,
            bad=lambda: [document(f"{text} {EVAL}") for text in PROSE],
        ),
        "fasttext": Case(
            {"scorer": "fasttext", "seeds": "cooking.txt", "background": "news.txt"},
            oracles.by_attribution,
            good=planted_cooking,
            bad=planted_news,
        ),
        "ngram": Case(
            {"scorer": "ngram", "model": "path:ngram"},
            oracles.by_attribution,
            field="logit",
            good=planted_cooking,
            bad=planted_news,
        ),
        "stack": Case(
            {"scorer": "stack", "model": "path:stack"},
            oracles.by_attribution,
            field="logit",
            good=planted_cooking,
            bad=planted_news,
        ),
        "properties": Case(
            {"scorer": "properties", "head": "path:properties"},
            oracles.first_coordinate,
            field="first",
            long=({"head": "path:short"}, sun, 32),
            tolerance=2e-3,
        ),
        "dsir": Case({"scorer": "dsir", **files}, oracles.dsir, good=planted_cooking, bad=planted_news),
        "contrast": Case(
            {"scorer": "contrast", **files}, oracles.by_attribution, good=planted_cooking, bad=planted_news
        ),
        "contrast:lm": Case(
            {"scorer": "contrast", "form": "lm", "prior": models["prior"], "conditional": models["conditional"]},
            oracles.contrast_lm,
            good=planted_cooking,
            bad=planted_news,
            long=({"max_tokens": 40}, repeated(PROSE[0], 9), 40),
            tolerance=1e-4,  # a difference of two losses of 1e-5 each
        ),
        "classifier": Case(
            {"scorer": "classifier", "model": models["classifier"]},
            oracles.classifier,
            good=planted_cooking,
            bad=planted_news,
            long=({"max_tokens": 32}, sun, 32),
        ),
        "perplexity": Case(
            {"scorer": "perplexity", "model": smollm2},
            oracles.perplexity,
            good=fluent,
            bad=shuffled,
            long=({"max_tokens": 40}, repeated(PROSE[0], 9), 40),
        ),
        "ifd": Case(
            {"scorer": "ifd", "model": smollm2},
            oracles.ifd,
            good=answered_by_another,
            bad=instructions,
            long=({"max_tokens": 40}, repeated(PROSE[0], 9), 40 - 1 - 7),
        ),
        "imported": Case(
            {"scorer": "imported", "column": "rating"},
            oracles.imported,
            good=lambda: [document("a", rating=4.0)],
            bad=lambda: [document("a", rating=1.0)],
        ),
        "cascade": Case(
            {
                "scorer": "cascade",
                "cheap": {**member, "column": "rating"},
                "expensive": {**member, "column": "gold"},
                "cut": 3.0,
                "sample": 100,
                "audit": 0.0,
            },
            oracles.cascade,
            good=lambda: [document("a", rating=4.0, gold=6.0), document("b", rating=4.0, gold=0.0)],
            bad=lambda: [document("a", rating=0.0, gold=0.0), document("b", rating=0.0, gold=6.0)],
        ),
        "ensemble": Case(
            {
                "scorer": "ensemble",
                "method": "mean",
                "members": [{**member, "column": "rating"}, {**member, "column": "gold"}],
                "sample": 100,
            },
            oracles.ensemble,
            good=lambda: [document("a", rating=4.0, gold=5.0)],
            bad=lambda: [document("a", rating=1.0, gold=0.0)],
        ),
        "verifiable": Case(
            {"scorer": "verifiable", "response": "response"},
            oracles.verifiable,
            good=lambda: [document("a", answer="#### 4", response="So 4.")],
            bad=lambda: [document("a", answer="#### 4", response="So 5.")],
        ),
        "hygiene": Case(
            {"scorer": "hygiene"},
            oracles.copied,
            field="copied",
            good=instructions,
            bad=lambda: [
                document(text) for text in ("I'm sorry, but I can't say.", "...", documents()[0]["instruction"])
            ],
        ),
        "margin": Case(
            {"scorer": "margin", "of": {"scorer": "classifier", "model": models["classifier"]}},
            oracles.margin,
            good=lambda: [document(one, rejected_text=other) for one, other in zip(cooking(9), news(9), strict=True)],
            bad=lambda: [document(one, rejected_text=other) for one, other in zip(news(9), cooking(9), strict=True)],
            long=(
                {"of": {"scorer": "classifier", "model": models["classifier"], "max_tokens": 32}},
                document("sun " * 300, rejected_text="sun " * 300),
                64,
            ),
        ),
        "llm-judge": Case(
            {
                "scorer": "llm-judge",
                "url": models["judge"],
                "model": "any",
                "prompt": "Rate this text from 0 to 5. Answer with one digit.\n\n{text}",
                "reply_tokens": 8,
            },
            oracles.judge,
        ),
    }
