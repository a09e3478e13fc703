"""`--to trl`: Parquet of conversations, as TRL's SFTTrainer reads them.

https://huggingface.co/docs/trl/dataset_formats, language modelling, conversational.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pyarrow as pa

from curation.formats.instruction import Instruction
from curation.formats.messages import Messages
from curation.formats.sharegpt import ShareGpt
from curation.formats.targets.base import TOOLS, Message, Target
from curation.formats.writers import Parquet, Writer

PLAIN = pa.list_(pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())]))
RICH = pa.list_(pa.json_())
"""Of messages that call tools: structs would give each message the others' keys, and each call the others' arguments.
`datasets` from 4.7 on, which TRL asks for, reads these as objects."""


class Trl(Target):
    """Column `messages`; `tools` where the recipe maps it."""

    kind = "trl"
    reader = "TRL's SFTTrainer"
    formats: ClassVar[tuple[str, ...]] = (Instruction.kind, Messages.kind, ShareGpt.kind)
    suffix = "parquet"
    no_tools = None
    parts: ClassVar[tuple[str, ...]] = ("messages",)
    trainer: ClassVar[str] = "SFTTrainer"

    def example(self, row: dict[str, list[Message]]) -> dict[str, Any]:
        return dict(row)

    def writer(self, path: Path, rich: bool) -> Writer:
        fields = [pa.field(name, RICH if rich else PLAIN) for name in self.parts]
        return Parquet(path, pa.schema([*fields, *([pa.field(TOOLS, pa.string())] if self.has_tools else [])]))

    def spelled(self, line: bytes) -> bytes:
        example = orjson.loads(line)
        for name in self.parts:
            example[name] = [orjson.dumps(message).decode() for message in example[name]]
        return orjson.dumps(example)

    def beside(self, name: str, files: Mapping[str, str]) -> dict[str, str]:
        return {}

    def usage(self, name: str, files: Mapping[str, str]) -> str:
        test = ', eval_dataset=data["test"]' if "test" in files else ""
        return (
            "```python\nfrom datasets import load_dataset\n"
            f"from trl import {self.trainer}\n\n"
            'data = load_dataset("this folder")\n'
            f'trainer = {self.trainer}("your model", train_dataset=data["train"]{test})\n```'
        )
