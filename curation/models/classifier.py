"""Hugging Face sequence classifiers, regressors and reward models.

The network's body runs in `dtype`, its head in fp32: in bf16 a logit between 2 and 4 moves in steps of 1/64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.models.config import labels_of, read_json
from curation.models.devices import Device, Dtype, exact_products
from curation.models.forward import LENGTHS, States, segment_means
from curation.models.locate import LocatedModel, ModelError
from curation.models.reader import CAUSAL, OFFSET_POSITIONS, PACKABLE, Reader
from curation.models.sequences import BARE, framed, framed_pairs
from curation.models.tokens import ALL, Ids

Problem = Literal["regression", "single", "multi"]
PROBLEMS: dict[str, Problem] = {
    "regression": "regression",
    "single_label_classification": "single",
    "multi_label_classification": "multi",
}
"""`problem_type` of config.json, in our words."""

EAGER = ("deberta", "deberta-v2", "modernbert")
"""Encoders whose attention is more than queries, keys and values."""

TEMPLATE_DATE = datetime(2024, 7, 26)
"""The day that a chat template is told it is, so that no score depends on when it was made (Llama 3.1's default)."""

Message = dict[str, str]
_CONFIGS = ("config.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


class Classified(NamedTuple):
    """What `Classifier.classify` returns, one row a document."""

    logits: NDArray[np.float32]
    """[n, labels], as the head gives them."""
    tokens: NDArray[np.int32]
    """[n]: tokens that the model read, special tokens included, after truncation."""
    truncated: NDArray[np.bool_]
    """[n]: something was cut off. Of a pair the longer part loses tokens first."""


class Classifier(Reader):
    """A network with a classification head, and what its config.json says of the head.

    `max_tokens` lowers the model's own limit (its positions, the tokenizer's `model_max_length`, at most 8,192).
    `labels` are the names in config.json, `problem` its `problem_type`, or where it has none what transformers takes
    it for: regression for one output, else one label.

    Raises ModelError: no safetensors or tokenizer.json, an architecture that is not among those above, an unknown
    problem type, or `max_tokens` above the limit.
    """

    def __init__(
        self,
        model: LocatedModel,
        *,
        max_tokens: int | None = None,
        pack: int | None = None,
        device: Device | None = None,
        dtype: Dtype | None = None,
    ) -> None:
        config = read_json(model, "config.json")
        kind = str(config.get("model_type"))
        if kind not in (*PACKABLE, *EAGER, *CAUSAL):
            known = ", ".join(sorted((*PACKABLE, *EAGER, *CAUSAL)))
            raise ModelError(f"{model.address} is a {kind} model", hint=f"known classifiers: {known}")
        self.labels = labels_of(model, config)
        problem = config.get("problem_type")
        if problem is None:
            problem = "regression" if len(self.labels) == 1 else "single_label_classification"
        if not isinstance(problem, str) or problem not in PROBLEMS:
            raise ModelError(f"{model.address}: unknown problem_type {problem!r}", hint=f"known: {', '.join(PROBLEMS)}")
        self.problem = PROBLEMS[problem]
        self._settings = read_json(model, "tokenizer_config.json") if "tokenizer_config.json" in model.files else {}
        super().__init__(
            model,
            kind=kind,
            limit=_limit(kind, config, self._settings),
            max_tokens=max_tokens,
            pack=pack,
            device=device,
            dtype=dtype,
        )
        self._head: Callable[[States], Any] | None = None

    def identity(self) -> dict[str, Any]:
        hashes = {name: file.sha256 for name, file in self.model.files.items()}
        return {
            **super().identity(),
            "config": {name: hashes[name] for name in _CONFIGS if name in hashes},
            "head": "fp32",
        }

    @property
    def template(self) -> str | None:
        """The tokenizer's chat template, or None."""
        if "chat_template.jinja" in self.model.files:
            return self.model.file("chat_template.jinja").read_text(encoding="utf-8")
        chat_template = self._settings.get("chat_template")
        if isinstance(chat_template, list):  # several by name
            chat_template = next((item["template"] for item in chat_template if item.get("name") == "default"), None)
        return chat_template if isinstance(chat_template, str) else None

    def load(self) -> None:
        """Open tokenizer and weights. Does nothing when that was done.

        Raises ModelError: a file changed since it was located, weights that do not fit config.json, or no CUDA device
        where one is asked for.
        """
        if self._head is None:
            self._head = self._open()

    def ids(self, texts: Sequence[pa.LargeStringArray]) -> list[Ids]:
        """Tokens of one column of texts, or of two: what `classify_ids` wants. Opens the tokenizer only."""
        return [self.tokens.ids(column, self.max_tokens if len(texts) == 1 else ALL) for column in texts]

    def classify(self, texts: Sequence[str], others: Sequence[str] | None = None, rendered: bool = False) -> Classified:
        """Logits of texts, or of text pairs as the tokenizer joins them; each on its own. See `classify_ids`."""
        columns = [pa.array(list(column), pa.large_string()) for column in (texts, others) if column is not None]
        return self.classify_ids(self.ids(columns), rendered)

    def classify_ids(self, ids: Sequence[Ids], rendered: bool = False) -> Classified:
        """Logits of texts given as `ids` found them; of `rendered` ones a chat template wrote the special tokens.

        NaN where there is no token at all.
        """
        self.load()
        assert self._head is not None
        if len(ids) == 2:
            cut = framed_pairs(ids[0], ids[1], self.frame(pair=True), self.max_tokens)
        else:
            cut = framed(ids[0], BARE if rendered else self.frame(), self.max_tokens)
        logits = np.full((len(cut.tokens), len(self.labels)), np.nan, dtype=np.float32)
        with self.meter.working():
            self.collect(cut.sequences, self._head, logits)
        return Classified(logits, cut.tokens, cut.truncated)

    def render(self, messages: Sequence[Message]) -> str:
        """A conversation in the tokenizer's chat template. Raises ValueError where the template refuses it."""
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import _compile_jinja_template

        special = {
            name: value["content"] if isinstance(value, dict) else value
            for name, value in self._settings.items()
            if name.endswith("_token") and isinstance(value, str | dict)
        }
        try:
            # Sandboxed and remembered. transformers' public way in would tell the template today's date.
            template = _compile_jinja_template(self.template)
            return str(template.render(messages=list(messages), strftime_now=TEMPLATE_DATE.strftime, **special))
        except (TemplateError, TypeError) as error:
            raise ValueError("the chat template refuses these messages") from error

    def _open(self) -> Callable[[States], Any]:
        import torch
        from transformers import AutoModelForSequenceClassification

        network = self.forward(AutoModelForSequenceClassification, "a sequence classifier")
        if self.causal and not isinstance(getattr(network, "score", None), torch.nn.Linear):
            raise ModelError(f"{self.model.address} has no linear head", hint="is it a reward model or classifier?")
        network.float()
        if self.dtype == "bf16":
            network.base_model.to(torch.bfloat16)
        pooler = getattr(network.base_model, "pooler", None)
        if isinstance(pooler, torch.nn.Module):  # a part of the head that lies in the body, which runs it as well
            pooler.float().register_forward_pre_hook(_as_float)
        head = partial(_HEADS.get(self.kind, _score), network)
        return partial(by_row, head, self.device)


def by_row(head: Callable[[States], Any], device: Device, states: States) -> Any:
    """What a head says of each sequence, whichever row it lies in.

    A body's product has hundreds of rows, a document's always cut alike. A head has one row a document, and a CPU's
    kernels sum the last few of an odd number of rows in another order: so there each goes by itself.
    """
    import torch

    if device == "cuda":
        return head(states)
    with exact_products():
        each = [
            head(States(states.rows[i : i + 1], states.hidden, states.starts[i : i + 1], states.counts[i : i + 1]))
            for i in range(len(states.rows))
        ]
    return torch.cat(each)


def _first(states: States) -> Any:
    """State of each sequence's first token, fp32 [k, 1, width]; cloned, for alignment."""
    import torch

    return states.hidden[torch.from_numpy(states.starts).to(states.hidden.device)].float()[:, None].clone()


def _score(network: Any, states: States) -> Any:
    """Decoders are read at the last token: by count, not by pad id, which a document may hold."""
    import torch

    last = torch.from_numpy(states.starts + states.counts - 1).to(states.hidden.device)
    return network.score(states.hidden[last].float().clone())


def _pooled(network: Any, states: States) -> Any:
    return network.classifier(network.base_model.pooler(_first(states)))


def _plain(network: Any, states: States) -> Any:
    return network.classifier(_first(states))


def _albert(network: Any, states: States) -> Any:
    body = network.base_model
    return network.classifier(body.pooler_activation(body.pooler(_first(states)[:, 0])))


def _distilbert(network: Any, states: States) -> Any:
    return network.classifier(network.pre_classifier(_first(states)[:, 0]).relu())


def _deberta(network: Any, states: States) -> Any:
    return network.classifier(network.pooler(_first(states)))


def _modernbert(network: Any, states: States) -> Any:
    mean = network.config.classifier_pooling == "mean"
    return network.classifier(network.head(segment_means(states) if mean else _first(states)[:, 0]))


_HEADS: dict[str, Callable[[Any, States], Any]] = {
    "albert": _albert,
    "bert": _pooled,
    "camembert": _plain,
    "deberta": _deberta,
    "deberta-v2": _deberta,
    "distilbert": _distilbert,
    "electra": _plain,
    "modernbert": _modernbert,
    "roberta": _plain,
    "xlm-roberta": _plain,
}
"""What transformers does behind the body, of states in place of padded rows."""


def _as_float(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.float() for value in given)


def _limit(kind: str, config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    limits = [LENGTHS[-1]]
    if isinstance(positions, int) and positions > 0:
        # RoBERTa's positions begin behind the pad id, 1.
        limits.append(positions - 2 if kind in OFFSET_POSITIONS else positions)
    stated = tokenizer.get("model_max_length")
    if isinstance(stated, int) and stated > 2:  # "no limit" is written as 1e30
        limits.append(stated)
    return min(limits)
