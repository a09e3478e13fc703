"""`--to axolotl`: JSON lines and the YAML that names them, for its `chat_template` strategies.

https://docs.axolotl.ai/docs/dataset-formats/conversation.html and https://docs.axolotl.ai/docs/rlhf.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import yaml

from curation.formats.columns import FORMATS
from curation.formats.targets.base import TOOLS, Message, RefusedError, Target, single


class Axolotl(Target):
    """`messages`, `tools` where the recipe maps it; of preferences `messages`, `chosen` and `rejected`, one message
    each. `dataset.yaml` is the part of a configuration that is about data."""

    kind = "axolotl"
    reader = "axolotl"
    formats = tuple(item.kind for item in FORMATS)

    def example(self, row: dict[str, list[Message]]) -> dict[str, Any]:
        if not self.preference:
            return dict(row)
        # chat_template.default reads the role and the words of each message, and no tools
        if any("tool_calls" in message for messages in row.values() for message in messages):
            raise RefusedError("a call of tools, which axolotl does not read in preferences")
        plain = {name: [_plain(message) for message in messages] for name, messages in row.items()}
        sides = {side: single(plain[side]) for side in ("chosen", "rejected")}
        return {"messages": plain["prompt"], **sides}

    def spelled(self, line: bytes) -> bytes:
        """Messages as a JSON text: as objects, those with few keys would be given the others'."""
        if self.preference:
            return line
        example = orjson.loads(line)
        return orjson.dumps({**example, "messages": orjson.dumps(example["messages"]).decode()})

    def beside(self, name: str, files: Mapping[str, str]) -> dict[str, str]:
        facts: dict[str, Any] = {"rl": "dpo"} if self.preference else {}
        for split, file in files.items():
            facts["datasets" if split == "train" else "test_datasets"] = [self._entry(file)]
        text = "# Paths count from the folder that axolotl is started in.\n"
        return {"dataset.yaml": text + yaml.safe_dump(facts, sort_keys=False)}

    def _entry(self, file: str) -> dict[str, Any]:
        common = {"path": file, "ds_type": "json", "split": "train"}
        mappings = {"message_property_mappings": {"role": "role", "content": "content"}}
        if self.preference:
            fields = {"field_messages": "messages", "field_chosen": "chosen", "field_rejected": "rejected"}
            return {**common, "type": "chat_template.default", **fields, **mappings}
        tools = {"field_tools": TOOLS} if self.has_tools else {}
        return {**common, "type": "chat_template", "field_messages": "messages", **tools, **mappings}

    def usage(self, name: str, files: Mapping[str, str]) -> str:
        return "Put `dataset.yaml` into your configuration, with the paths from where you start axolotl."


def _plain(message: Message) -> Message:
    return {"role": message["role"], "content": message["content"]}
