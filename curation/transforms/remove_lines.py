"""Lines that no reader came for, taken out: the rules of C4 or of RefinedWeb as a transform."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pydantic import Field

from curation.rules import c4, refinedweb
from curation.rules.c4_options import Options
from curation.rules.profile import did_you_mean
from curation.scorers import base
from curation.scorers.base import Context, Transform
from curation.text import words

PROFILES = (c4.NAME, refinedweb.NAME)
_DEFAULTS = Options()


class C4Rules(base.Settings):
    """Switches and bounds of c4@datatrove, those of datatrove's C4QualityFilter by its names; null or -1 is off.

    FineWeb has `filter_no_terminal_punct: false`.
    """

    remove_citations: bool = _DEFAULTS.remove_citations
    """Of [12], [], [edit] and [citation needed]."""
    filter_no_terminal_punct: bool = _DEFAULTS.filter_no_terminal_punct
    """Of lines that end in none of . ? ! " ' or in "..."."""
    min_num_sentences: int | None = Field(default=_DEFAULTS.min_num_sentences, ge=-1)
    """In what is left of a document."""
    min_words_per_line: int | None = Field(default=_DEFAULTS.min_words_per_line, ge=-1)
    max_word_length: int | None = Field(default=_DEFAULTS.max_word_length, ge=-1)
    """Characters of the longest word in a line."""
    filter_lorem_ipsum: bool = _DEFAULTS.filter_lorem_ipsum
    """Of documents."""
    filter_javascript: bool = _DEFAULTS.filter_javascript
    """Of lines."""
    filter_curly_bracket: bool = _DEFAULTS.filter_curly_bracket
    """Of documents."""
    filter_policy: bool = _DEFAULTS.filter_policy
    """Of lines about cookies, policies or terms of use."""

    def options(self) -> Options:
        """The same for the kernel, which knows -1 only."""
        values: dict[str, Any] = {name: -1 if value is None else value for name, value in self.model_dump().items()}
        return Options(**values)


class Settings(base.Settings):
    """Which rules choose the lines."""

    profile: str = c4.NAME
    """c4@datatrove or refinedweb@dclm."""
    # left out of fingerprints while nothing is switched, so that what was scored before this key existed counts
    rules: C4Rules = Field(default=C4Rules(), exclude_if=lambda rules: rules.options() == _DEFAULTS)
    """Of c4@datatrove only."""


class RemoveLines(Transform):
    """Columns `pass`, `reason` (null when it passes), `lines`, `lines_removed_<rule>` for each rule, then what else the
    profile counts, as `curation.rules.c4` and `curation.rules.refinedweb` tell, and the edits.

    Applied, the edits leave the text as the profile's toolkit would have: of c4@datatrove the surviving lines, stripped
    and without citation marks, joined by line feeds. Whether a document that fails is dropped is the gate's business
    (`keep: remove-lines.pass`): it is edited all the same.

    Raises ValueError for an unknown profile, naming the known ones, and for `rules` with another profile than c4's.
    """

    kind = "remove-lines"
    version = 1
    Settings = Settings

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        self.profile: str = self.settings.profile
        self.options: Options = self.settings.rules.options()
        if self.profile not in PROFILES:
            raise ValueError(did_you_mean("profile", self.profile, PROFILES))
        if self.profile != c4.NAME and self.options != _DEFAULTS:
            raise ValueError(f"`rules` switches those of {c4.NAME}; {self.profile} has none to switch")

    @property
    def fields(self) -> list[pa.Field]:
        return list(c4.FIELDS if self.profile == c4.NAME else refinedweb.FIELDS)

    def identity(self) -> dict[str, Any]:
        if self.profile == refinedweb.NAME:
            return {"profile": refinedweb.NAME, "version": refinedweb.VERSION}
        identity: dict[str, Any] = {"profile": c4.NAME, "version": c4.VERSION, "words": words.VERSION}
        return identity if self.options == _DEFAULTS else {**identity, "rules": self.options._asdict()}

    def load(self) -> None:
        self._clean(pa.array(["A few words."], pa.large_string()))

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self._clean(batch.column("text"))

    def _clean(self, text: pa.LargeStringArray) -> pa.RecordBatch:
        return refinedweb.clean(text) if self.profile == refinedweb.NAME else c4.clean(text, self.options)
