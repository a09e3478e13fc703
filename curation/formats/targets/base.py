"""What a target of `curate export` is: which rows it takes, and what it makes of each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pyarrow as pa

from curation.formats.base import FormatRows
from curation.formats.columns import Columns, Opened
from curation.formats.preference import Pairs, Preference
from curation.formats.turns import ROLES, USER, Turns
from curation.formats.writers import JsonLines, Writer
from curation.sources.json_texts import as_json
from curation.sources.texts import nested
from schemas.documents import TEXT

Message = dict[str, Any]
"""`role`, `content`, and what there is of `curation.formats.turns.MORE`."""
TOOLS = "tools"
"""Mapped name of a column that describes the tools of each conversation, as a JSON list."""


class RefusedError(Exception):
    """Why a row cannot be said in the target's format; counted, so the same words for the same reason."""


@dataclass(frozen=True)
class Examples:
    """What became of a batch of rows, k of which can be said in the target's format."""

    lines: pa.LargeStringArray
    """[k]: an example each, as JSON."""
    asked: pa.LargeStringArray
    """[k]: what the user says in it."""
    refused: Counter[str]
    """Other rows, by reason."""
    rich: bool
    """Whether some message has more than a role and words."""


class Target(ABC):
    """A trainer's format. Made for the columns of one recipe."""

    kind: ClassVar[str]
    reader: ClassVar[str]
    """Who reads it, for people."""
    formats: ClassVar[tuple[str, ...]]
    """Kinds of rows that can be written."""
    suffix: ClassVar[str] = "jsonl"
    no_tools: ClassVar[str | None] = "[]"
    """Stands for tools where a row has none. Readers of JSON lines guess a column's type from its first values, so it
    is a text."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self.preference = columns.kind == Preference.kind
        self.has_tools = TOOLS in columns.mapping

    @property
    def needs(self) -> list[str]:
        """Mapped names of the columns that are read."""
        return [*self.columns.parts, *([TOOLS] if self.has_tools else [])]

    @abstractmethod
    def example(self, row: dict[str, list[Message]]) -> dict[str, Any]:
        """One row: `messages`, or of a preference `prompt`, `chosen` and `rejected`. Raises RefusedError."""

    def writer(self, path: Path, rich: bool) -> Writer:
        """Of the lines of one split; `rich` where some message of the export has more than a role and words."""
        return JsonLines(path)

    def spelled(self, line: bytes) -> bytes:
        """A line as it is given to a `rich` writer."""
        return line

    @abstractmethod
    def beside(self, name: str, files: Mapping[str, str]) -> dict[str, str]:
        """Texts of further files, by file name. `name`: the dataset's; `files`: by split, `train` and perhaps `test`,
        the file with its examples."""

    @abstractmethod
    def usage(self, name: str, files: Mapping[str, str]) -> str:
        """How the trainer is told to read the folder, in Markdown."""

    def read(self, opened: Opened) -> Examples:
        """Examples of a batch that has the source columns of `needs`."""
        turns = _turns(opened.rows)
        columns = {name: _messages(part) for name, part in turns.items()}
        tools = self._tools(opened)
        lines, kept, refused, rich = [], [], Counter[str](), False
        # A loop over rows: trainers read objects, and there is no kernel that writes JSON.
        for row in range(opened.batch.num_rows):
            try:
                if row in opened.faults:
                    raise RefusedError("not a conversation")
                row_columns = {
                    name: [_with_calls(message) for message in column[row]] for name, column in columns.items()
                }
                _check(row_columns)
                example = self.example(row_columns)
                if tools is not None:
                    example[TOOLS] = _checked_tools(tools[row]) or self.no_tools
            except RefusedError as reason:
                refused[str(reason)] += 1
                continue
            kept.append(row)
            lines.append(orjson.dumps(example).decode())
            rich = rich or any(len(message) > 2 for part in row_columns.values() for message in part)
        first = next(iter(turns.values()))
        asked = first.take(first.roles == USER).joined("\n").take(pa.array(kept, pa.int64()))
        return Examples(pa.array(lines, TEXT), asked, refused, rich)

    def _tools(self, opened: Opened) -> list[str | None] | None:
        if not self.has_tools:
            return None
        column = opened.batch.column(self.columns.mapping[TOOLS])
        found: list[str | None] = (as_json(column) if nested(column.type) else column).to_pylist()
        return found


def _turns(rows: FormatRows) -> dict[str, Turns]:
    return {"prompt": rows.prompt, **rows.rest} if isinstance(rows, Pairs) else {"messages": rows.conversation()}


def _messages(turns: Turns) -> list[list[Message]]:
    names = [ROLES[role] for role in turns.roles.tolist()]
    all_messages = [
        {"role": name, "content": text} for name, text in zip(names, turns.contents.to_pylist(), strict=True)
    ]
    if turns.more is not None:
        for message, more in zip(all_messages, turns.more.to_pylist(), strict=True):
            message |= {} if more is None else orjson.loads(more)
    return [all_messages[a:b] for a, b in pairwise(turns.bounds.tolist())]


def _with_calls(message: Message) -> Message:
    """The calls of a message in OpenAI's form, with arguments as an object, as chat templates want them."""
    if "tool_calls" not in message:
        return message
    try:
        return {**message, "tool_calls": [_call(call) for call in message["tool_calls"]]}
    except (TypeError, ValueError, KeyError, AttributeError):
        raise RefusedError("a call of tools that cannot be read") from None


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", call)
    arguments = function.get("arguments", function.get("parameters")) or {}
    if isinstance(arguments, str):
        arguments = orjson.loads(arguments)
    if not isinstance(function["name"], str) or not isinstance(arguments, dict):
        raise ValueError
    named = {"id": call["id"]} if call.get("id") else {}
    return {**named, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _checked_tools(text: str | None) -> str | None:
    if not text or not text.strip():
        return None
    try:
        tools = orjson.loads(text)
    except orjson.JSONDecodeError:
        tools = None
    if not isinstance(tools, list):
        raise RefusedError("tools that are no JSON list")
    return text if tools else None


def _check(row: dict[str, list[Message]]) -> None:
    """What every trainer wants: a question, and an answer, or two of them."""
    asked, *answers = row.items()
    if not any(message["role"] == "user" and message["content"].strip() for message in asked[1]):
        raise RefusedError("no question")
    for name, messages in answers or [asked]:
        if not any(message["role"] == "assistant" and _says(message) for message in messages):
            raise RefusedError(f"no {name} answer" if answers else "no answer")


def _says(message: Message) -> bool:
    return bool(message["content"].strip() or "tool_calls" in message)


def single(messages: list[Message]) -> Message:
    """The one message that an answer is. Raises RefusedError for an answer that goes on."""
    if len(messages) > 1:
        raise RefusedError("an answer of several messages")
    return messages[0]
