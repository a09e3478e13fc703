"""What kind of data rows are, told from the names of their columns and what stands in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, get_args

from curation.sources.json_values import loads
from pipelines.planning.sampling import Row, RowSample
from schemas.errors import CurationError, Finding

Kind = Literal["web", "text", "instructions", "chats", "preferences", "labels", "verifiable"]
KINDS: tuple[Kind, ...] = get_args(Kind)
TITLES: dict[Kind, str] = {
    "web": "web text",
    "text": "plain text",
    "instructions": "instructions and answers",
    "chats": "conversations",
    "preferences": "preferences between two answers",
    "labels": "labelled text",
    "verifiable": "problems with answers that can be checked",
}
NAMES = {
    "text": "text content body document raw_content page_content markdown article passage raw_text sentence",
    "id": "id doc_id document_id uuid guid _id idx index uid example_id prompt_id conversation_id key",
    "url": "url source_url uri link page_url warc_target_uri",
    "instruction": "instruction question prompt query problem task user",
    "input": "input context",
    "system": "system system_prompt system_message",
    "output": "output response answer completion solution target reply assistant human_response chosen",
    "messages": "messages conversation conversations chat dialog dialogue turns",
    "chosen": "chosen chosen_response response_chosen preferred winner",
    "rejected": "rejected rejected_response response_rejected dispreferred loser",
    "source": "source dataset subset corpus origin",
    "reference": "answer final_answer reference ground_truth expected gold",
    "label": "label labels label_text rating score stars quality toxic toxicity sentiment class category grade level y",
}
"""Names that people give to columns, lower case, the likelier first."""
_BY_NAME = {ours: theirs.split() for ours, theirs in NAMES.items()}
MOST_LABELS = 64
DATA = "\x00"
"""Stands in a command for the files."""
_CRAWL = re.compile(r"(?i)\bc4\b|common.?crawl|\bcc-(?:main|news)\b|\bweb\b|oscar|refinedweb|fineweb|\bhtml?\b")
"""Values of a column of sources that name pages of the web."""
_PAIR = re.compile(r"(?i)^(response|answer|output|completion|reply)[_-]?([12ab])$")
_FINAL = re.compile(r"####\s*\S|\\boxed\{|(?i:the (?:final )?answer is)")
_SHORT_ANSWER = re.compile(r"\s*(?:\$?[-+]?[\d.,/]+\s?%?|\(?[A-Ja-j]\)?|(?i:true|false|yes|no))\s*")


@dataclass
class Told:
    kind: Kind
    why: str
    mapping: dict[str, str]
    label: str | None = None
    url: str | None = None
    notes: list[str] = field(default_factory=list)
    convert: str | None = None


def no_such_kind(kind: str) -> Finding:
    return Finding("C004", f"there is no kind of data '{kind}'", f"known: {', '.join(KINDS)}")


def tell_kind(columns: dict[str, str], rows: list[Row], kind: Kind | None) -> Told:
    """The first kind that fits, or the one that was asked for."""
    tests: dict[Kind, Callable[[dict[str, str], list[Row]], Told | None]] = {
        "preferences": _preferences,
        "chats": _chats,
        "verifiable": _verifiable,
        "instructions": _instructions,
        "labels": _labels,
        "web": _web,
        "text": _text,
    }
    if kind in ("web", "text"):
        text = _text(columns, rows)
        if text is not None:
            return Told(kind, "your word", text.mapping, url=_named("url", columns))
    for name, test in tests.items():
        if kind in (None, name) and (told := test(columns, rows)) is not None:
            return told
    listed = ", ".join(columns)
    if kind is None:
        hint = f"columns: {listed}; map one in a recipe: curate recipes measure"
        raise CurationError(Finding("C021", "no column holds texts", hint))
    needs = {
        "preferences": "two answers, in columns such as chosen and rejected",
        "chats": "lists of messages, in a column such as messages",
        "verifiable": "a problem and its answer, in columns such as question and answer",
        "instructions": "a question and an answer, in columns such as instruction and output",
        "labels": "a text and a label, in columns such as text and label",
    }.get(kind, "a text")
    raise CurationError(Finding("C021", f"kind '{kind}' needs {needs}", f"columns: {listed}"))


def _preferences(columns: dict[str, str], rows: list[Row]) -> Told | None:
    chosen, rejected = _named("chosen", columns), _named("rejected", columns)
    if chosen and rejected:
        mapping = {"chosen": chosen, "rejected": rejected}
        prompt = _named("instruction", columns, text=True)
        return Told(
            "preferences",
            f"columns '{chosen}' and '{rejected}'",
            {"prompt": prompt, **mapping} if prompt else mapping,
        )
    answers: dict[str, dict[str, str]] = {}
    for name in columns:
        if found := _PAIR.match(name):
            answers.setdefault(found[1].lower(), {})[found[2].lower()] = name
    pair = next((sorted(sides.items()) for sides in answers.values() if len(sides) == 2), None)
    question = _named("instruction", columns, text=True)
    if pair is None or question is None:
        return None
    (first, one), (second, other) = pair
    mapping = {"instruction": question, "output": one}
    if more := _named("input", columns, text=True):
        mapping["input"] = more
    votes = [name for name in columns if _votes(name, rows)]
    note = (
        f"which of '{one}' and '{other}' is better stands in no column that a recipe reads: '{one}' is taken for the "
    )
    note += "answer until columns chosen and rejected are made"
    sides = {"a": "a", "b": "b"} if first == "a" else {"1": "1", "2": "2"}
    convert = None
    if votes:
        vote, better, worse = _sql(votes[0]), _sql(one), _sql(other)
        is_first = f"{vote}::VARCHAR ILIKE '{sides[first]}'"
        convert = (
            f"COPY (SELECT *, CASE WHEN {is_first} THEN {better} ELSE {worse} END AS chosen, "
            f"CASE WHEN {is_first} THEN {worse} ELSE {better} END AS rejected FROM {DATA} "
            f"WHERE {vote}::VARCHAR IN ('{sides[first]}', '{sides[second]}')) TO 'preferences.parquet'"
        )
    return Told("preferences", f"two answers, '{one}' and '{other}'", mapping, notes=[note], convert=convert)


def _chats(columns: dict[str, str], rows: list[Row]) -> Told | None:
    for name in (*all_named("messages", columns), *columns):
        shape = next((shape for row in rows[:50] if (shape := _message_shape(row.get(name)))), None)
        if shape == "messages":
            return Told("chats", f"column '{name}' holds messages with role and content", {"messages": name})
        if shape == "conversations":
            return Told("chats", f"column '{name}' holds messages with from and value", {"conversations": name})
    return None


def _verifiable(columns: dict[str, str], rows: list[Row]) -> Told | None:
    question = next((name for name in all_named("instruction", columns) if name.lower() in ("question", "problem")), "")
    answer = _named("reference", columns)
    if (
        not question
        or not answer
        or _share(rows, answer, lambda text: bool(_SHORT_ANSWER.fullmatch(text) or _FINAL.search(text))) < 0.8
    ):
        return None
    solutions = [name for name in all_named("output", columns) if name != answer and columns[name] == columns[question]]
    output = solutions[0] if solutions else answer
    mapping = {"instruction": question, "output": output, "reference": answer}
    return Told("verifiable", f"column '{answer}', whose answers are numbers or choices", mapping)


def _instructions(columns: dict[str, str], rows: list[Row]) -> Told | None:
    question = _named("instruction", columns, text=True)
    answers = [name for name in all_named("output", columns) if name != question and _is_text(columns[name])]
    answers += [
        name for name in columns if name.lower().endswith(("_response", "_answer", "_output")) and name not in answers
    ]
    if question is None and answers and (only := _named("input", columns, text=True)):
        question = only
    if question is None or not answers:
        return None
    mapping = {"instruction": question, "output": answers[0]}
    for ours in ("input", "system"):
        name = _named(ours, columns, text=True)
        if name and name not in mapping.values():
            mapping[ours] = name
    notes = [f"other answers, which nothing reads: {', '.join(answers[1:])}"] if answers[1:] else []
    return Told("instructions", f"columns '{question}' and '{answers[0]}'", mapping, notes=notes)


def _labels(columns: dict[str, str], rows: list[Row]) -> Told | None:
    text = _text_column(columns, rows)
    if text is None or _named("url", columns):
        return None
    for name in all_named("label", columns):
        values = Counter(str(row.get(name)) for row in rows if row.get(name) is not None)
        labels = len(values) >= 2 and (len(values) <= MOST_LABELS or _is_number(rows, name))
        if name != text and labels and max(map(len, values)) <= MOST_LABELS:
            return Told("labels", f"column '{name}' of {len(values):,} values", {"text": text}, label=name)
    return None


def _web(columns: dict[str, str], rows: list[Row]) -> Told | None:
    text = _text_column(columns, rows)
    if text is None:
        return None
    url = _named("url", columns, text=True)
    if url is not None:
        return Told("web", f"column '{url}'", {"text": text, "url": url}, url=url)
    for source in all_named("source", columns):
        share = _share(rows, source, lambda name: bool(_CRAWL.search(name)))
        if share >= 0.2:
            return Told("web", f"column '{source}' names crawls of the web in {share:.0%} of the rows", {"text": text})
    return None


def _text(columns: dict[str, str], rows: list[Row]) -> Told | None:
    text = _text_column(columns, rows)
    return None if text is None else Told("text", f"column '{text}'", {"text": text})


# --- columns ----------------------------------------------------------------------------------------------------------


def columns_of(sample: RowSample) -> dict[str, str]:
    names = list(dict.fromkeys([*sample.types, *(name for row in sample.rows for name in row)]))
    return {name: sample.types.get(name) or _type(sample.rows, name) for name in names}


def _type(rows: list[Row], name: str) -> str:
    """The type of most values."""
    words = {str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}
    kinds = Counter(words.get(type(row[name]), "text") for row in rows if row.get(name) is not None)
    return kinds.most_common(1)[0][0] if kinds else "null"


def _is_text(kind: str) -> bool:
    return kind in ("text", "string", "large_string", "binary", "large_binary")


def all_named(ours: str, columns: dict[str, str]) -> list[str]:
    by_name = {name.lower(): name for name in reversed(columns)}
    return [by_name[name] for name in _BY_NAME[ours] if name in by_name]


def _named(ours: str, columns: dict[str, str], text: bool = False) -> str | None:
    return next((name for name in all_named(ours, columns) if not text or _is_text(columns[name])), None)


def _text_column(columns: dict[str, str], rows: list[Row]) -> str | None:
    """The column with a name for texts, or the one of which half the values are longest."""
    named = next((name for name in all_named("text", columns) if _is_text(columns[name])), None)
    if named is not None:
        return named
    lengths = {
        name: median([len(_str(row.get(name))) for row in rows])
        for name, kind in columns.items()
        if _is_text(kind) and name not in all_named("url", columns)
    }
    longest = max(lengths, key=lambda name: lengths[name], default=None)
    return longest if longest is not None and any(_str(row.get(longest)) for row in rows) else None


def _message_shape(value: Any) -> str | None:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = loads(value)[0]
        except ValueError:
            return None
    first = value[0] if isinstance(value, list) and value else None
    if not isinstance(first, dict):
        return None
    return (
        "messages"
        if {"role", "content"} <= first.keys()
        else "conversations"
        if {"from", "value"} <= first.keys()
        else None
    )


def _votes(name: str, rows: list[Row]) -> bool:
    values = {_str(row.get(name)).lower() for row in rows} - {""}
    return bool(values) and (values <= {"0", "1", "2", "tie"} or values <= {"a", "b", "tie"}) and len(values) > 1


def _is_number(rows: list[Row], name: str) -> bool:
    values = [row[name] for row in rows if row.get(name) is not None]
    return bool(values) and all(isinstance(value, int | float) for value in values)


# --- texts ------------------------------------------------------------------------------------------------------------


def texts_of(rows: list[Row], mapping: dict[str, str], blank: bool = False) -> list[str]:
    """What each row says, parts of a pair or a conversation one behind the other; `blank` ones left out, or not."""
    parts = [
        ours for ours in ("text", "system", "prompt", "instruction", "input", "output", "chosen") if ours in mapping
    ]
    lists = [mapping[ours] for ours in ("messages", "conversations") if ours in mapping]
    texts = []
    for row in rows:
        words = [_str(row.get(mapping[part])) for part in parts] + [_str(row.get(name)) for name in lists]
        texts.append("\n".join(filter(None, words)))
    return [text for text in texts if blank or text.strip()]


def _str(value: Any) -> str:
    """A value as text; of messages their contents."""
    if isinstance(value, list):
        parts = [item.get("content", item.get("value")) if isinstance(item, dict) else item for item in value]
        return "\n".join(_str(part) for part in parts)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return "" if value is None else str(value)


def _share(rows: list[Row], name: str, test: Callable[[str], bool]) -> float:
    texts = [text for row in rows if (text := _str(row.get(name)))]
    return sum(map(test, texts)) / len(texts) if texts else 0.0


def _sql(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
