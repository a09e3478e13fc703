"""`--to llama-factory`: ShareGPT's form as JSON lines, and the `dataset_info.json` that describes it.

https://github.com/hiyouga/LLaMA-Factory/blob/main/data/README.md. Its converters give the same for rows in Alpaca's
form, whose instruction and input they join with a newline.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson

from curation.formats.columns import FORMATS
from curation.formats.targets.base import TOOLS, Message, RefusedError, Target, single

TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
ASKS = ("user", "tool")


class LlamaFactory(Target):
    """`conversations`, `tools` where the recipe maps it; of preferences `chosen` and `rejected` beside.

    A system message stands first or nowhere, then questions and answers alternate: it skips other rows, so they are
    refused here, where they are counted.
    """

    kind = "llama-factory"
    reader = "LLaMA-Factory"
    formats = tuple(item.kind for item in FORMATS)

    def example(self, row: dict[str, list[Message]]) -> dict[str, Any]:
        if not self.preference:
            messages = row["messages"]
            _alternating(messages)
            return {"conversations": [_turn(message) for message in messages]}
        sides = {side: single(row[side]) for side in ("chosen", "rejected")}
        for answer in sides.values():
            _alternating([*row["prompt"], answer])
        answers = {side: _turn(answer) for side, answer in sides.items()}
        return {"conversations": [_turn(message) for message in row["prompt"]], **answers}

    def beside(self, name: str, files: Mapping[str, str]) -> dict[str, str]:
        columns = {"messages": "conversations"}
        columns |= {"chosen": "chosen", "rejected": "rejected"} if self.preference else {}
        columns |= {TOOLS: TOOLS} if self.has_tools else {}
        about = {"formatting": "sharegpt", **({"ranking": True} if self.preference else {})}
        facts = {
            _named(name, split): {"file_name": file, **about, "columns": columns, "tags": TAGS}
            for split, file in files.items()
        }
        return {"dataset_info.json": json.dumps(facts, indent=2) + "\n"}

    def usage(self, name: str, files: Mapping[str, str]) -> str:
        test = f"\neval_dataset: {_named(name, 'test')}" if "test" in files else ""
        return f"```yaml\ndataset_dir: this folder\ndataset: {_named(name, 'train')}{test}\n```"


def _named(name: str, split: str) -> str:
    return name if split == "train" else f"{name}_{split}"


def _alternating(messages: list[Message]) -> None:
    begin = 1 if messages[0]["role"] == "system" else 0
    for place, message in enumerate(messages[begin:]):
        if (message["role"] in ASKS) != (place % 2 == 0) or message["role"] == "system":
            raise RefusedError("turns that do not alternate")
    if (len(messages) - begin) % 2:
        raise RefusedError("no answer at the end")


def _turn(message: Message) -> dict[str, str]:
    if "reasoning_content" in message or "thinking" in message:
        raise RefusedError("reasoning apart from the words")
    if "tool_calls" not in message:
        return {"from": NAMES[message["role"]], "value": message["content"]}
    if message["content"].strip():
        raise RefusedError("words beside a call of tools")
    return {
        "from": "function_call",
        "value": orjson.dumps([call["function"] for call in message["tool_calls"]]).decode(),
    }
