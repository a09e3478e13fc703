"""What a model's folder says of itself, checked before anything is built from it.

A folder may come from anybody: `{}` as config.json, ten million layers, a width that its weights do not have. A network
of the sizes in config.json is built before weights are put into it, and memory is spent before anything is found wrong.
What the weights are stands in the header of a safetensors file, so all of it can be known without opening them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from curation.models.locate import LocatedModel, ModelError

MOST_HEADER, MOST_JSON = 100_000_000, 1 << 28
"""Bytes of a safetensors header (its format's own limit), and of a JSON file."""
MOST_SIZE, MOST_POSITIONS, MOST_LAYERS, MOST_LABELS = 1 << 24, 1 << 31, 10_000, 100_000
"""Of a size whose tensor is not known by its name."""
HINT = "config.json and the weights are of different models, or damaged: fetch the model again"

_WIDTHS = ("hidden_size", "n_embd", "dim")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_POSITIONS = ("max_position_embeddings", "n_positions")
_SIZE = re.compile(r"(?:_size|_dim|_heads|_head|_layers|_layer|_groups|_buckets|_experts|_embd|_inner)$|^dim$")
_OWN = frozenset(
    (*_WIDTHS, *_LAYERS, *_HEADS, *_POSITIONS, "vocab_size", "embedding_size", "intermediate_size", "hidden_dim")
)
"""What a network has one of, if it has it at all."""
_MAY_BE_ZERO = frozenset(("type_vocab_size", "position_buckets", "n_inner", "head_dim", "num_key_value_heads"))
"""What else is called a size decides nothing here, and is only not to be too large: ALBERT has a `gap_size` of 0,
ELECTRA a `generator_size` of "0.25", and trainers leave settings of their own."""
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d{1,9})\.")
_GROUPS = re.compile(r"(?:^|\.)albert_layer_groups\.(\d{1,9})\.albert_layers\.(\d{1,9})\.")
_WORDS = re.compile(r"(?:^|\.)(?:word_embeddings|embed_tokens|tok_embeddings|wte)\.weight$")
_PLACES = re.compile(r"(?:^|\.)(?:position_embeddings|wpe)\.weight$")
_TYPES = re.compile(r"(?:^|\.)token_type_embeddings\.weight$")
_HEAD = re.compile(r"(?:^|\.)(?:classifier(?:\.out_proj)?|score)\.weight$")

Shapes = Mapping[str, tuple[int, ...]]


@contextmanager
def understood(model: LocatedModel) -> Iterator[None]:
    """Around whatever reads a model's files: what breaks on their content is a ModelError, not an exception of ours."""
    try:
        yield
    except ModelError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as failure:
        message = " ".join(str(failure).split())[:200]
        raise ModelError(
            f"{model.address}: its files cannot be understood ({type(failure).__name__}: {message})", hint=HINT
        ) from failure


def read_json(model: LocatedModel, name: str) -> dict[str, Any]:
    """A JSON object among the model's files. Raises ModelError where it is none."""
    value = read_any(model, name)
    if not isinstance(value, dict):
        raise ModelError(f"{model.address}: {name} is not a JSON object", hint=HINT)
    return value


def read_any(model: LocatedModel, name: str) -> Any:
    """A JSON file of the model. Raises ModelError where it is none."""
    path = model.file(name)
    if model.files[name].bytes > MOST_JSON:
        raise ModelError(f"{model.address}: {name} has {model.files[name].bytes:,} bytes", hint=HINT)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as failure:
        message = " ".join(str(failure).split())[:100]
        raise ModelError(f"{model.address}: {name} is no JSON: {message}", hint=HINT) from failure


def shapes(model: LocatedModel) -> Shapes:
    """The shape of each tensor in the model's own folder, by name. Raises ModelError for a header that is none."""
    names = [name for name in model.files if name.endswith(".safetensors") and "/" not in name]
    return {tensor: shape for name in names for tensor, shape in header(model, name).items()}


def header(model: LocatedModel, name: str) -> Shapes:
    """The shape of each tensor of one safetensors file. Raises ModelError where they do not fill it."""
    try:
        return _header(str(model.file(name)), model.files[name].sha256, model.files[name].bytes)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as failure:
        message = " ".join(str(failure).split())[:100]
        raise ModelError(f"{model.address}: {name} is no whole safetensors file: {message}", hint=HINT) from failure


@lru_cache(maxsize=64)
def _header(path: str, sha256: str, size: int) -> Shapes:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, size - 8):
            raise ValueError(f"its header would have {length:,} bytes")
        found = json.loads(file.read(length))
    tensors = {name: entry for name, entry in found.items() if name != "__metadata__"}
    end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    if 8 + length + end != size:
        raise ValueError(f"its tensors end at byte {8 + length + end:,}, the file at {size:,}")
    if not all(isinstance(n, int) and n >= 0 for entry in tensors.values() for n in entry["shape"]):
        raise ValueError("a tensor has no shape")
    return {name: tuple(entry["shape"]) for name, entry in tensors.items()}


def check(model: LocatedModel, config: Mapping[str, Any]) -> None:
    """See that config.json is one, and of the weights beside it. Raises ModelError naming the first key that is not."""
    tensor_shapes = shapes(model)
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise ModelError(f"{model.address}: config.json names no model_type", hint=HINT)
    for key, value in config.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(model, key, value, "a number")
        if _SIZE.search(key) or key in _POSITIONS:
            if value is None or (value == 0 and key in _MAY_BE_ZERO):
                continue
            if key not in _OWN and key not in _MAY_BE_ZERO and not (isinstance(value, int) and value > MOST_SIZE):
                continue
            most = MOST_POSITIONS if key in _POSITIONS else MOST_LAYERS if key in _LAYERS else MOST_SIZE
            least = -1 if key in ("position_buckets", "head_dim") else 1
            if isinstance(value, list | dict):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise _wrong(model, key, value, f"a whole number from 1 to {most:,}")
    width = _first(config, _WIDTHS)
    words = _shape(tensor_shapes, _WORDS)
    if words is not None and len(words) == 2:
        _same(model, config, "vocab_size", words[0])
        own = "embedding_size" if "embedding_size" in config else next((key for key in _WIDTHS if key in config), "")
        _same(model, config, own, words[1])
    for pattern, keys in ((_PLACES, _POSITIONS), (_TYPES, ("type_vocab_size",))):
        shape = _shape(tensor_shapes, pattern)
        if shape is not None:
            for key in keys:
                _same(model, config, key, shape[0])
    layers = {int(match.group(1)) for name in tensor_shapes if (match := _LAYER.search(name))}
    count = _first(config, _LAYERS)
    if layers and count is not None and kind != "albert" and count > max(layers) + 1:
        raise _other(model, next(key for key in _LAYERS if key in config), count, f"{max(layers) + 1} layers")
    groups = [match.groups() for name in tensor_shapes if (match := _GROUPS.search(name))]
    for place, key in enumerate(("num_hidden_groups", "inner_group_num")):
        if groups and config.get(key) is not None:
            _same(model, config, key, 1 + max(int(numbers[place]) for numbers in groups))
    largest = max((side for shape in tensor_shapes.values() for side in shape), default=0)
    for key in ("intermediate_size", "hidden_dim", "n_inner", "head_dim"):
        value = config.get(key)
        if largest and isinstance(value, int) and value > largest:
            raise _other(model, key, value, f"no tensor larger than {largest:,}")
    heads = _first(config, _HEADS)
    if width and heads and (heads > width or (width % heads and not config.get("head_dim"))):
        raise ModelError(f"{model.address}: config.json divides a width of {width:,} among {heads:,} heads", hint=HINT)


def labels_of(model: LocatedModel, config: Mapping[str, Any]) -> list[str]:
    """Names of a classifier's outputs, in order, as many as its head has. Raises ModelError where they do not fit."""
    stated, count = config.get("id2label"), config.get("num_labels", 2)
    if stated is None or stated == {}:
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_LABELS:
            raise _wrong(model, "num_labels", count, f"a whole number from 1 to {MOST_LABELS:,}")
        stated = {str(index): f"LABEL_{index}" for index in range(count)}
    example = 'write "id2label": {"0": "bad", "1": "good"} into its config.json'
    if not isinstance(stated, dict):
        what = "a list" if isinstance(stated, list) else type(stated).__name__
        raise ModelError(
            f"{model.address}: id2label is {what}, and should name each output by its number", hint=example
        )
    places = [str(index) for index in range(len(stated))]
    if set(stated) != set(places):
        odd = next(key for key in stated if key not in places)
        raise ModelError(f"{model.address}: id2label has the key {odd!r}, and not 0 to {len(stated) - 1}", hint=example)
    if not all(isinstance(name, str) for name in stated.values()):
        raise ModelError(f"{model.address}: id2label has a name that is no text", hint=example)
    heads = {name: shape for name, shape in shapes(model).items() if _HEAD.search(name) and len(shape) == 2}
    if not heads:
        raise ModelError(f"{model.address} has no classification head", hint="is it a classifier or reward model?")
    name, shape = next(iter(heads.items()))
    if all(shape[0] != len(places) for shape in heads.values()):
        raise ModelError(
            f"{model.address}: config.json names {len(places)} labels, and its head {name} has {shape[0]} outputs",
            hint="name as many labels in id2label as the head has outputs",
        )
    return [str(stated[index]) for index in places]


def check_tokenizer(model: LocatedModel, file: Any) -> None:
    """See that tokenizer.json is one, as far as it is read here. Raises ModelError."""
    parts = file.get("model") if isinstance(file, dict) else None
    if not isinstance(parts, dict) or not isinstance(parts.get("vocab"), dict | list):
        raise ModelError(f"{model.address}: tokenizer.json holds no vocabulary", hint=HINT)
    added = file.get("added_tokens", [])
    if not isinstance(added, list) or not all(
        isinstance(token, dict) and isinstance(token.get("content"), str) and isinstance(token.get("id"), int)
        for token in added
    ):
        raise ModelError(f"{model.address}: tokenizer.json has added_tokens that are none", hint=HINT)


def _first(config: Mapping[str, Any], keys: tuple[str, ...]) -> int | None:
    return next((config[key] for key in keys if isinstance(config.get(key), int)), None)


def _shape(there: Shapes, pattern: re.Pattern[str]) -> tuple[int, ...] | None:
    return next((shape for name, shape in there.items() if pattern.search(name)), None)


def _same(model: LocatedModel, config: Mapping[str, Any], key: str, measured: int) -> None:
    value = config.get(key)
    if value is not None and value != measured:
        raise _other(model, key, value, f"{measured:,}")


def _other(model: LocatedModel, key: str, value: Any, found: str) -> ModelError:
    return ModelError(f"{model.address}: config.json says {key} {value:,}, and the weights have {found}", hint=HINT)


def _wrong(model: LocatedModel, key: str, value: Any, wanted: str) -> ModelError:
    shown = str(value) if isinstance(value, int | float) else json.dumps(value)
    return ModelError(f"{model.address}: config.json says {key} is {shown[:40]}, and not {wanted}", hint=HINT)
