"""Two answers to one prompt, the better one in `chosen`, the worse one in `rejected`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.formats.base import Format, FormatRows
from curation.formats.messages import column_of
from curation.formats.turns import ASSISTANT, USER, Turns
from curation.sources.texts import nested
from schemas.documents import TEXT

SIDES = ("chosen", "rejected")


class Preference(Format):
    """Pairs of answers, as texts or as lists of messages, of which those that both begin with are the prompt.

    Gives `prompt`, `chosen` and `rejected` as texts, `SIDE_text` and `SIDE_messages` of prompt and answer together, and
    for scorers of single answers what belongs to the chosen one: `text`, `instruction`, `input` (""), `output`,
    `messages`.
    """

    kind = "preference"
    required = SIDES
    optional = ("prompt",)
    gives = (
        "prompt", "chosen", "rejected", "chosen_text", "rejected_text", "chosen_messages", "rejected_messages",
        "text", "instruction", "input", "output", "messages",
    )  # fmt: skip

    def read(self, columns: dict[str, pa.Array]) -> FormatRows:
        return Pairs(columns)


class Pairs(FormatRows):
    """Two conversations each, and where they part: `prompt`, and by side what stands behind it in `rest`."""

    def __init__(self, columns: dict[str, pa.Array]) -> None:
        asked = _turns(columns["prompt"], USER) if "prompt" in columns else None
        sides = {side: _turns(columns[side], ASSISTANT) for side in SIDES}
        self.faults = {}
        self.replaced = {}
        for turns in (*sides.values(), *([] if asked is None else [asked])):
            self.faults |= turns.faults
            for row, count in turns.replaced.items():
                self.replaced[row] = self.replaced.get(row, 0) + count
        self.missing = pc.and_(columns["chosen"].is_null(), columns["rejected"].is_null())
        shared = _shared(*sides.values())
        self.whole: dict[str, Turns] = {}
        self.rest: dict[str, Turns] = {}
        for side, turns in sides.items():
            rest = turns.take(np.arange(len(turns.roles)) >= (turns.bounds[:-1] + shared)[turns.owner])
            prompt = turns.take(np.arange(len(turns.roles)) < (turns.bounds[:-1] + shared)[turns.owner])
            before = prompt if asked is None else _either(prompt, asked)
            self.whole[side] = _behind(before, rest)
            self.rest[side] = rest
            self.prompt = before

    def conversation(self) -> Turns:
        return self.whole["chosen"]

    def column(self, name: str) -> pa.Array:
        return pc.if_else(self.missing, None, self._unmasked(name))

    def _unmasked(self, name: str) -> pa.Array:
        if name in SIDES:
            return self.rest[name].joined("\n")
        side, _, what = name.partition("_")
        if side in SIDES and what:
            return column_of(self.whole[side], what)
        if name in ("prompt", "instruction"):
            return self.prompt.joined("\n")
        return self.rest["chosen"].joined("\n") if name == "output" else column_of(self.whole["chosen"], name)


def _turns(column: pa.Array, role: int) -> Turns:
    """Lists of messages, or texts as one message of a role each. In a column of texts, a JSON list of objects is
    one."""
    if nested(column.type):
        return Turns.read(column)
    lists = np.asarray(pc.fill_null(pc.match_substring_regex(column, r'^\s*\[\s*\{\s*"role"\s*:'), False)).astype(bool)
    texts = pc.fill_null(column, "")
    some = ~lists & pc.greater(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    plain = Turns(np.append(0, np.cumsum(some)), np.full(some.sum(), role, dtype=np.int8), texts.filter(pa.array(some)))
    if not lists.any():
        return plain
    parsed = Turns.read(pc.if_else(pa.array(lists), column, None))
    return replace(_either(parsed, plain), replaced=parsed.replaced)


def _shared(one: Turns, other: Turns) -> np.ndarray:
    """How many messages both conversations begin with (int64 [n]), of which an answer is none."""
    count = np.zeros(len(one), dtype=np.int64)
    going = np.ones(len(one), dtype=bool)
    while going.any():
        a, b = one.bounds[:-1] + count, other.bounds[:-1] + count
        going &= (a < one.bounds[1:]) & (b < other.bounds[1:])
        rows = np.flatnonzero(going)
        a, b = a[rows], b[rows]
        same = one.roles[a] == other.roles[b]
        same &= pc.equal(one.contents.take(pa.array(a)), other.contents.take(pa.array(b))).to_numpy(
            zero_copy_only=False
        )
        # An answer that stands last on one side is what is compared, even where both are the same.
        last = (a + 1 == one.bounds[1:][rows]) | (b + 1 == other.bounds[1:][rows])
        same &= ~(last & (one.roles[a] == ASSISTANT))
        going[rows] = same
        count[rows[same]] += 1
    return count


def _either(first: Turns, second: Turns) -> Turns:
    """The first one's messages, and where it has none the second one's."""
    empty = np.diff(first.bounds) == 0
    return _behind(first, second.take(empty[second.owner]))


def _behind(first: Turns, second: Turns) -> Turns:
    """Conversation by conversation, the second one's messages behind the first one's."""
    owner = np.concatenate([first.owner, second.owner])
    order = np.argsort(owner, kind="stable")
    contents = pa.concat_arrays([first.contents, second.contents]).take(pa.array(order))
    roles = np.concatenate([first.roles, second.roles])[order]
    more = None
    if first.more is not None or second.more is not None:
        both = [pa.nulls(len(turns.roles), TEXT) if turns.more is None else turns.more for turns in (first, second)]
        more = pa.concat_arrays(both).take(pa.array(order))
    return Turns(first.bounds + second.bounds, roles, contents, first.faults | second.faults, more)
