"""A random Llama of two layers with a byte-level tokenizer of its own, written to a folder: for tests everywhere."""

from __future__ import annotations

import json
from pathlib import Path

CORPUS = [
    "The ferry leaves the harbour at seven and the tide gauge records the height of the sea.",
    "What is the capital of France? The capital of France is Paris.",
    "Whisk the eggs with sugar until the mixture is pale, then fold in the flour.",
]


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
