"""Conversations as columns: messages of many conversations one behind the other, with a role each."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation.sources.json_texts import as_json, without_nulls
from curation.sources.json_values import loads
from curation.sources.texts import nested, stringlike, valid_text
from schemas.documents import TEXT

ROLES = ("system", "user", "assistant", "tool")
SYSTEM, USER, ASSISTANT, TOOL = range(4)
ALIASES = {
    "system": SYSTEM, "developer": SYSTEM,
    "user": USER, "human": USER, "prompter": USER,
    "assistant": ASSISTANT, "gpt": ASSISTANT, "chatgpt": ASSISTANT, "bing": ASSISTANT, "bard": ASSISTANT,
    "model": ASSISTANT, "bot": ASSISTANT, "function_call": ASSISTANT,
    "tool": TOOL, "observation": TOOL, "function": TOOL, "ipython": TOOL,
}  # fmt: skip
"""Names of roles in OpenAI's, ShareGPT's, Gemma's and LLaMA-Factory's data, in lower case."""
CALL = "function_call"
"""The role of an assistant's message that is a call of tools as JSON, in ShareGPT's data."""
MORE = ("name", "reasoning_content", "thinking", "tool_call_id", "tool_calls")
"""What chat templates read of a message beside its role and content."""


@dataclass(frozen=True)
class Turns:
    """Messages of n conversations, m in all."""

    bounds: NDArray[np.int64]
    """[n + 1]: conversation i has the messages bounds[i] to bounds[i + 1]; none where it could not be read."""
    roles: NDArray[np.int8]
    """[m]: places in `ROLES`."""
    contents: pa.LargeStringArray
    """[m]: texts, never null. A call of tools without words is the JSON of its `tool_calls`."""
    faults: dict[int, str] = field(default_factory=dict)
    """By conversation, why it could not be read."""
    more: pa.Array | None = None
    """[m]: the JSON of what a message has of `MORE`, with its `content` where that is not what `contents` has; null
    where it has nothing, None where no message has anything."""
    replaced: dict[int, int] = field(default_factory=dict)
    """As it was read: by conversation, characters that were half a surrogate pair and are U+FFFD now."""

    @classmethod
    def read(cls, column: pa.Array, role: str = "role", content: str = "content") -> Turns:
        """From a column of lists of messages, or of their JSON; null is a conversation without messages."""
        if nested(column.type):
            found = _columnar(column, role, content)
            return _parsed(as_json(column), role, content, sparse=True) if found is None else found
        return _parsed(column, role, content)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def owner(self) -> NDArray[np.int64]:
        """[m]: the conversation of each message."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    def take(self, messages: NDArray[np.bool_]) -> Turns:
        """The same conversations with some of their messages."""
        counts = np.append(0, np.cumsum(messages))[self.bounds]
        chosen = pa.array(messages)
        more = None if self.more is None else self.more.filter(chosen)
        return Turns(counts, self.roles[messages], self.contents.filter(chosen), self.faults, more)

    def joined(self, separator: str) -> pa.Array:
        """[n]: all messages' texts, those that are blank left out."""
        some = self.take(pc.greater(pc.binary_length(self.contents), 0).to_numpy(zero_copy_only=False))
        lists = pa.LargeListArray.from_arrays(pa.array(some.bounds), some.contents)
        return pc.binary_join(lists, pa.scalar(separator, TEXT))

    def first(self, role: int) -> pa.Array:
        """[n]: the first message of a role, "" where there is none."""
        return self._picked(role, 0)

    def last(self, role: int) -> pa.Array:
        """[n]: the last message of a role, "" where there is none."""
        return self._picked(role, -1)

    def before_last(self, role: int) -> Turns:
        """Each conversation's messages before its last one of a role; all of them where there is none."""
        end = self._places(role, -1)
        end = np.where(end < 0, self.bounds[1:], end)
        return self.take(np.arange(len(self.roles)) < end[self.owner])

    def answers(self) -> NDArray[np.int64]:
        """Places of all assistant messages."""
        return np.flatnonzero(self.roles == ASSISTANT)

    def until(self, places: NDArray[np.int64], itself: bool) -> Turns:
        """A conversation for each place: the messages of that place's conversation before it, or up to it."""
        begin = self.bounds[:-1][self.owner[places]]
        counts = places - begin + itself
        bounds = np.append(0, np.cumsum(counts))
        at = np.arange(bounds[-1]) + np.repeat(begin - bounds[:-1], counts)
        return Turns(bounds, self.roles[at], self.contents.take(pa.array(at)))

    def json(self) -> pa.Array:
        """[n]: each conversation as the JSON list of its messages, with `role` and `content`."""
        # A loop over conversations: Arrow has no kernel that writes JSON.
        names = [ROLES[role] for role in self.roles.tolist()]
        items = [{"role": name, "content": text} for name, text in zip(names, self.contents.to_pylist(), strict=True)]
        bounds = self.bounds.tolist()
        made = [orjson.dumps(items[a:b]).decode() for a, b in pairwise(bounds)]
        return pa.array(made, TEXT)

    def _places(self, role: int, which: int) -> NDArray[np.int64]:
        """[n]: place of the first (0) or last (-1) message of a role, -1 where there is none."""
        indices = np.full(len(self), -1, dtype=np.int64)
        places = np.flatnonzero(self.roles == role)
        if which == 0:
            places = places[::-1]  # of equal keys the last assignment stays
        indices[self.owner[places]] = places
        return indices

    def _picked(self, role: int, which: int) -> pa.Array:
        places = self._places(role, which)
        return pc.fill_null(self.contents.take(pa.array(places, mask=places < 0)), "")


def exchange(asked: pa.Array, answered: pa.Array, system: pa.Array | None = None) -> Turns:
    """Conversations of one question and one answer, [n] each; blank ones are left out."""
    return side_by_side({SYSTEM: system, USER: asked, ASSISTANT: answered})


def side_by_side(columns: dict[int, pa.Array | None]) -> Turns:
    """Conversations of one message from each column, by its role, those that are blank left out."""
    parts = {role: pc.fill_null(text, "") for role, text in columns.items() if text is not None}
    width, rows = len(parts), len(next(iter(parts.values())))
    roles = np.tile(np.array(list(parts), dtype=np.int8), rows)
    order = np.arange(rows * width).reshape(width, rows).T.ravel()
    contents = pa.concat_arrays(list(parts.values())).take(pa.array(order))
    some = pc.greater(pc.binary_length(contents), 0).to_numpy(zero_copy_only=False)
    return Turns(np.arange(rows + 1) * width, roles, contents).take(some)


def _columnar(column: pa.Array, role: str, content: str) -> Turns | None:
    """Without a look at single messages, where they are structs of two texts; None where they are more than that."""
    kind = column.type.value_type if hasattr(column.type, "value_type") else None
    if kind is None or not pa.types.is_struct(kind) or pa.types.is_map(column.type):
        return None
    if any(kind.get_field_index(name) < 0 or not stringlike(kind.field(name).type) for name in (role, content)):
        return None
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    bounds = np.append(0, np.cumsum(lengths))
    flat = column.flatten()
    contents, _ = valid_text(pc.struct_field(flat, content).cast(TEXT))
    names = pc.utf8_lower(pc.struct_field(flat, role).cast(pa.string()))
    indices = pc.index_in(names, pa.array(list(ALIASES))).to_numpy(zero_copy_only=False)
    bad = np.isnan(indices.astype(float)) | np.asarray(contents.is_null())
    if bad.any():  # to say what is wrong with which message, or to find what stands in for its content
        return None
    roles = np.array(list(ALIASES.values()), dtype=np.int8)[indices.astype(np.int64)]
    return Turns(bounds, roles, contents, more=_columnar_more(flat, names, role, content))


def _columnar_more(flat: pa.Array, names: pa.Array, role: str, content: str) -> pa.Array | None:
    """`Turns.more` of messages that are structs."""
    present = [name for name in MORE if flat.type.get_field_index(name) >= 0]
    has_more = np.asarray(pc.equal(names, CALL))
    for name in present:
        has_more |= np.asarray(pc.struct_field(flat, name).is_valid())
    if not has_more.any():
        return None
    wanted = [role, content, *present]
    items = pa.StructArray.from_arrays([pc.struct_field(flat, name) for name in wanted], wanted).filter(
        pa.array(has_more)
    )
    found = [_more(item, role, content, sparse=True) for item in items.to_pylist()]
    return pa.array(found, TEXT).take(pa.array(np.cumsum(has_more) - 1, mask=~has_more))


def _parsed(column: pa.Array, role: str, content: str, sparse: bool = False) -> Turns:
    """A loop over conversations, since JSON is read one text at a time. `sparse`: nulls stand for keys that there are
    not, as they do in structs."""
    bounds = [0]
    roles: list[int] = []
    contents: list[str] = []
    more: list[str | None] = []
    faults: dict[int, str] = {}
    replaced: dict[int, int] = {}
    for row, text in enumerate(column.to_pylist()):
        try:
            messages, count = ([], 0) if text is None else _messages(text)
            if count:
                replaced[row] = count
            pairs = [_message(item, number, role, content) for number, item in enumerate(messages, 1)]
            beside = [_more(item, role, content, sparse) for item in messages]
        except ValueError as error:
            faults[row], pairs, beside = str(error), [], []
        roles += [role_code for role_code, _ in pairs]
        contents += [what for _, what in pairs]
        more += beside
        bounds.append(len(roles))
    kept = pa.array(more, TEXT) if any(more) else None
    return Turns(np.array(bounds), np.array(roles, dtype=np.int8), pa.array(contents, TEXT), faults, kept, replaced)


def _messages(text: str) -> tuple[list[Any], int]:
    try:
        value, count = loads(text)
    except ValueError:
        raise ValueError("not a list of messages") from None
    if not isinstance(value, list):
        raise ValueError("not a list of messages")
    return value, count


def _message(item: Any, number: int, role: str, content: str) -> tuple[int, str]:
    if not isinstance(item, dict):
        raise ValueError(f"message {number} is no object")
    name = item.get(role)
    if not isinstance(name, str):
        raise ValueError(f"message {number} has no '{role}'")
    code = ALIASES.get(name.lower())
    if code is None:
        raise ValueError(f"message {number} has an unknown role")
    value = item.get(content)
    if isinstance(value, list):
        value = _text_of_parts(value, number)
    calls = item.get("tool_calls") or (_called(item) if value is None else None)
    if value is None and calls:
        value = orjson.dumps(calls).decode()
    if not isinstance(value, str):
        raise ValueError(f"message {number} has no '{content}'")
    return code, value


def _text_of_parts(parts: list[Any], number: int) -> str:
    """OpenAI's content in parts, of which only texts can be read."""
    texts = []
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ValueError(f"message {number} holds something that is not text")
        texts.append(part["text"])
    return "\n".join(texts)


def _more(item: dict[str, Any], role: str, content: str, sparse: bool) -> str | None:
    """What `Turns.more` has of one message."""
    more = {name: item[name] for name in MORE if item.get(name)}
    called = _called(item) if item.get(content) is None else None
    if called and "tool_calls" not in more:
        more["tool_calls"] = [{"type": "function", "function": called}]
    if "tool_calls" in more and item.get(content) is None:
        more["content"] = ""
    if item[role].lower() == CALL and "tool_calls" not in more:
        call = _call(item.get(content))
        more |= {} if call is None else {"content": "", "tool_calls": call}
    if not more:
        return None
    try:
        return orjson.dumps(without_nulls(more) if sparse else more).decode()
    except TypeError:
        raise ValueError("a message is nested too deep") from None


def _called(item: dict[str, Any]) -> dict[str, Any] | None:
    """The one call of a function that a message of OpenAI's older format has beside its content."""
    call = item.get(CALL)
    return call if isinstance(call, dict) and isinstance(call.get("name"), str) else None


def _call(text: Any) -> list[dict[str, Any]] | None:
    """A call of tools, or several, out of the words of a message; None where they are none."""
    try:
        value = orjson.loads(text)
    except (TypeError, orjson.JSONDecodeError):
        return None
    calls = value if isinstance(value, list) else [value]
    fits = bool(calls) and all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls)
    return [{"type": "function", "function": call} for call in calls] if fits else None
