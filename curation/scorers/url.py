"""What a document's URL says against it: lists of domains, pages and words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from curation.models.locate import sha256
from curation.rules import lists
from curation.rules import url as rules
from curation.rules.lists import Files
from curation.scorers import base
from curation.scorers.base import Context, Scorer

_BUILDERS: dict[str, Callable[[pa.LargeStringArray], Any]] = {
    "domains": rules.domains,
    "urls": rules.pages,
    "words": rules.words,
    "substrings": rules.substrings,
    "soft_words": rules.words,
}


class Settings(base.Settings):
    """Files of entries, one a line, # at the start of a line for comments, .gz or plain; several files are one list."""

    domains: Files = Field(default_factory=list)
    """Domains, with their subdomains."""
    urls: Files = Field(default_factory=list)
    """Pages, with what lies below them."""
    words: Files = Field(default_factory=list)
    """Words that may not be one of the host's or the path's."""
    substrings: Files = Field(default_factory=list)
    """What may not be anywhere in host, path or query."""
    soft_words: Files = Field(default_factory=list)
    """Words of which a URL may have some."""
    soft_limit: int = Field(default=2, ge=1)
    """Different soft words from which it is condemned."""


class Url(Scorer):
    """Columns `pass`, `reason` (`curation.rules.url.REASONS`, the first that holds; null when it passes), `scheme`,
    `host` in lower case and punycode, and `matched`, the entry behind the reason.

    A missing or empty URL is judged like any other, as `invalid_url`; `pass or reason = 'invalid_url'` keeps it.

    Raises ValueError for a list that does not exist, and on loading for an entry that is none.
    """

    kind = "url"
    version = 1
    reads: tuple[str, ...] = ("url",)
    Settings = Settings

    def __init__(self, settings: base.Settings, context: Context) -> None:
        super().__init__(settings, context)
        self._loaded: tuple[dict[str, Any], rules.Blocklists] | None = None
        for paths in self._paths().values():
            for path in paths:
                lists.check(path)

    @property
    def fields(self) -> list[pa.Field]:
        return list(rules.FIELDS)

    @property
    def contract(self) -> base.Contract:
        return base.Contract("pass", 1, "ordinal")

    def identity(self) -> dict[str, Any]:
        """The parser, and the hash of every list."""
        hashes = {name: [sha256(path) for path in paths] for name, paths in self._paths().items()}
        return {"parser": rules.PARSER, **hashes}

    def lists(self) -> list[Path]:
        return [path for paths in self._paths().values() for path in paths]

    def check(self) -> None:
        """Read every list."""
        for path in self.lists():
            lists.read(path)
        self._blocklists()

    def load(self) -> None:
        rules.judge(pa.array(["https://example.com/a?b"], pa.large_string()), self._blocklists())

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return rules.judge(batch.column("url"), self._blocklists())

    def _blocklists(self) -> rules.Blocklists:
        # A process may outlive a list: the object that it keeps follows the files.
        identity = self.identity()
        if self._loaded is None or self._loaded[0] != identity:
            built = {name: _build(name, paths) for name, paths in self._paths().items()}
            self._loaded = identity, rules.Blocklists(**built, soft_limit=self.settings.soft_limit)
        return self._loaded[1]

    def _paths(self) -> dict[str, list[Path]]:
        return {
            name: [self.context.resolve(file) for file in lists.names(getattr(self.settings, name))]
            for name in _BUILDERS
        }


def _build(name: str, paths: list[Path]) -> Any:
    entry_lists = [lists.read(path) for path in paths]
    try:
        return _BUILDERS[name](pa.concat_arrays([pa.array([], pa.large_string()), *entry_lists]))
    except ValueError as failure:
        for path, entries in zip(paths, entry_lists, strict=True):
            wrong = _first_wrong(_BUILDERS[name], entries)
            if wrong is not None:
                raise ValueError(f"{name}: {path}, line {lists.line_of(path, wrong)}: {failure}") from failure
        raise ValueError(f"{name}: {failure}") from failure


def _first_wrong(build: Callable[[pa.LargeStringArray], Any], entries: pa.LargeStringArray) -> int | None:
    """The first entry with which a list cannot be built; None where it can."""
    low, high = 0, len(entries) + 1  # the list can be built of `low` entries; of `high` it cannot, or there are fewer
    while high - low > 1:
        middle = (low + high) // 2
        try:
            build(entries[:middle])
        except ValueError:
            high = middle
        else:
            low = middle
    return low if low < len(entries) else None
