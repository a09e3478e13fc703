"""Lists of messages with `role` and `content`, as OpenAI's and TRL's data have them."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from curation.formats.base import PARAGRAPH, Format, FormatRows
from curation.formats.turns import ASSISTANT, SYSTEM, USER, Turns
from schemas.documents import TEXT


class Messages(Format):
    """Conversations: system, user, assistant and tool, any number of turns.

    Gives of a whole conversation `text` (all messages as paragraphs), `system`, `instruction` (the first question),
    `prompt` (all before the last answer), `output` (the last answer), `input` (""), and `messages` (JSON with our names
    of the roles). A scorer that reads `output` is asked once for each answer instead (`curation.scorers.turns`).
    """

    kind = "messages"
    required = ("messages",)
    gives = ("text", "system", "instruction", "prompt", "input", "output", "messages")
    conversation = True
    role: ClassVar[str] = "role"
    content: ClassVar[str] = "content"

    def read(self, columns: dict[str, pa.Array]) -> FormatRows:
        return Conversations(columns[self.required[0]], self.role, self.content)


class Conversations(FormatRows):
    def __init__(self, column: pa.Array, role: str, content: str) -> None:
        self.turns = Turns.read(column, role, content)
        self.faults = self.turns.faults
        self.replaced = self.turns.replaced
        self.missing = column.is_null()

    def conversation(self) -> Turns:
        return self.turns

    def column(self, name: str) -> pa.Array:
        return pc.if_else(self.missing, None, column_of(self.turns, name))


def column_of(turns: Turns, name: str) -> pa.Array:
    """A column of whole conversations, [n]."""
    match name:
        case "text":
            return turns.joined(PARAGRAPH)
        case "system":
            return turns.first(SYSTEM)
        case "instruction":
            return turns.first(USER)
        case "prompt":
            return turns.before_last(ASSISTANT).joined("\n")
        case "output":
            return turns.last(ASSISTANT)
        case "messages":
            return turns.json()
        case "input":
            return pa.repeat(pa.scalar("", TEXT), len(turns))
    raise KeyError(name)
