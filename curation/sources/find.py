"""Which files an input path means: a file, a folder or a pattern, on disk and behind URLs by the same rules.

- A path that exists as it is written is that file or folder, whatever characters it has.
- A folder means every file in it and below, links followed; so does `**`. Names that begin with `.` or `_` are passed
  over, as Spark, Hive and Dask have it. `*` and `?` find names with `_` too, as a shell does.
- A folder whose name ends like a file's (`x.parquet`) is the folder of its parts wherever a file of that name would do.
- A file that one source reaches twice, by links, is one file. One that two sources reach is refused.
- Folders that this engine wrote are passed over, unless the path itself names them.
- What has a known ending and is no file (a link to nothing, a pipe) is found as a file that cannot be read.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any

from curation.paths import expanded, is_text, no_text, printable
from curation.sources import outputs
from curation.sources.files import ENDINGS, OFTEN_OTHER, format_of, input_format
from curation.sources.trees import Disk, Entry, Objects, Tree
from curation.store import NoBucketError, StoreError, is_url
from schemas.errors import CurationError, Finding

SHOWN = 5
"""Folders or files that one line names."""
_MARKS = re.compile(r"[*?\[]")


@dataclass
class InputFiles:
    """What the paths of an input mean."""

    files: dict[str, str] = field(default_factory=dict)
    """Source by path, in the run's order: by source, then by path."""
    findings: list[Finding] = field(default_factory=list)
    ignored: int = 0
    """Files of other formats, passed over."""
    notices: list[str] = field(default_factory=list)
    """Lines about what was passed over, and why."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of files whose listing said so: on a store each would be a request."""


def find(
    patterns: list[str], base: Path, sources: list[str] | None = None, workspace: str | Path | None = None
) -> InputFiles:
    """Files behind the patterns, in run order: by pattern, then by path.

    `sources` names the patterns; without it, a source is called as its pattern. `workspace` is left out as an output,
    though it may not be there yet. Findings: nothing matched, listed twice, not readable, a name that is no text.
    Raises StoreError for a store that does not answer or refuses.
    """
    result = InputFiles()
    first: dict[object, str] = {}
    left_out: dict[str, str] = {}
    again: list[str] = []
    for source, pattern in zip(sources or patterns, patterns, strict=True):
        try:
            search = _search(pattern, base, workspace)
        except CurationError as failure:
            result.findings += failure.findings
            continue
        search.pass_over()
        result.findings += search.findings
        result.ignored += search.ignored
        left_out |= search.left_out
        again += search.again
        if not search.files and not search.findings:
            result.findings.append(_nothing(pattern, search))
        for path, identity in search.files:
            if not is_text(path):
                result.findings.append(no_text(path, "the input file"))
            elif identity in first:
                other = first[identity]
                what = "is listed twice" if other == path else f"is {other}, which is listed already"
                result.findings.append(Finding("C024", f"input file {path} {what}", "name it in one source only"))
            else:
                first[identity] = path
                result.files[path] = source
                if (size := search.sizes.get(path)) is not None:
                    result.sizes[path] = size
    if left_out:
        listed = _listed([f"{path} is {kind}" for path, kind in sorted(left_out.items())])
        result.notices.append(f"left out of the input: {_counted(len(left_out), 'folder')}: {listed}")
    if again:
        result.notices.append(
            f"read once, though links lead there again: {_counted(len(again), 'file')}: {_listed(again)}"
        )
    return result


def _nothing(pattern: str, search: _Search) -> Finding:
    if search.left_out:
        path, kind = min(search.left_out.items())
        inside = f", such as {path}/datasets/NAME/RUN" if kind == "a workspace" else ""
        hint = f"what a run wrote is read where input.path names its folder itself{inside}"
        listed = _listed([f"{path} is {kind}" for path, kind in sorted(search.left_out.items())])
        return Finding("C050", f"input '{pattern}' finds nothing but what was written by this engine: {listed}", hint)
    if search.bucket is not None:
        hint = "see that its name and the store's endpoint (AWS_ENDPOINT_URL, for S3) are right"
        return Finding("C020", f"input '{pattern}': there is no bucket '{search.bucket}'", hint)
    if pattern.lower().endswith((".yaml", ".yml")) and search.ignored:
        recipe = shlex.quote(pattern)
        message = f"input '{pattern}' is YAML, as a recipe is, and no data"
        return Finding("C020", message, f"a recipe is looked at with: curate check {recipe}")
    what = "matches no Parquet, JSON, CSV or text file" if search.ignored else "matches no file"
    return Finding(
        "C020",
        f"input '{pattern}' {what}",
        f"looked for {search.where}; known endings: {ENDINGS}; and .txt, packed or not",
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' if count != 1 else ''}"


def _listed(items: list[str]) -> str:
    more = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f", and {more:,} more" if more > 0 else "")


def _search(pattern: str, base: Path, workspace: str | Path | None) -> _Search:
    address = re.sub(r"^(file|local)://(?=/)", "", pattern)
    ours = None if workspace is None else str(workspace)
    if is_url(address):
        search = _Search(Objects(address), address, ours)
        fixed = address.index("://") + 3
        if _MARKS.search(address[fixed:].lstrip("/").partition("/")[0]):
            message = f"input '{pattern}' has a pattern in the place of the bucket"
            raise CurationError(Finding("C020", message, "name the bucket; patterns may follow it"))
    else:
        root = str(base.absolute())
        where = os.path.join(root, expanded(address)) + ("/" if address.endswith("/") else "")
        search = _Search(Disk(), where, ours)
        fixed = len(root) if where.startswith(root.rstrip("/") + "/") else 0
    if address.strip():
        search.run(fixed)
    return search


class _Search:
    """One pattern's files."""

    def __init__(self, tree: Tree, where: str, workspace: str | None) -> None:
        self.tree = tree
        self.where = where
        self.workspace = workspace
        self.files: list[tuple[str, object]] = []
        """Path and identity: one for all names of a file."""
        self.sizes: dict[str, int | None] = {}
        self.findings: list[Finding] = []
        self.ignored = 0
        self.left_out: dict[str, str] = {}
        self.again: list[str] = []
        self.bucket: str | None = None
        """The bucket, if it is that which is not there."""

    def run(self, fixed: int) -> None:
        """Search; the first `fixed` characters of the pattern are no pattern."""
        tree, where = self.tree, self.where
        try:
            is_folder = tree.is_folder(where)
            if is_folder:
                entries = list(self._below(where.rstrip("/") or "/"))
            elif is_folder is not None:
                entries = [(where, tree.entry(where))]
            else:
                mark = _MARKS.search(where, fixed)
                if mark is None:
                    return
                root, _, begun = where[: mark.start()].rpartition("/")
                parts = [part for part in f"{begun}{where[mark.start() :]}".split("/") if part not in ("", ".")]
                entries = list(self._matching(root or "/", parts, hidden="**" not in parts))
        except NoBucketError as failure:
            self.bucket = failure.bucket
            return
        except PermissionError as failure:
            self._unreadable(where.rstrip("/").rpartition("/")[0], failure)
            return
        self._take(entries)

    def pass_over(self) -> None:
        """Leave JSON and CSV out that were found together with Parquet or JSON lines, and text that was found together
        with any other: they describe those."""
        ranks = [_rank(path) for path, _ in self.files]
        surest = min(ranks, default=0)
        data = [found for found, rank in zip(self.files, ranks, strict=True) if rank == surest]
        self.ignored += len(self.files) - len(data)
        self.files = data

    def _take(self, found: Iterable[tuple[str, Entry]]) -> None:
        """Sort what was found, and take each file once: by the name that is no link, if there is one."""
        unique = {self.tree.absolute(path): entry for path, entry in found}
        chosen: dict[object, tuple[str, Entry]] = {}
        for path, entry in sorted(unique.items()):
            if not input_format(path):
                self.ignored += 1
                continue
            if entry.name in outputs.MARKERS and self._is_mark(path, entry.name):
                continue
            identity = self.tree.identity(path, entry)
            before = chosen.get(identity)
            if before is None:
                chosen[identity] = path, entry
                continue
            if before[1].link and not entry.link:
                chosen[identity] = path, entry
                path, before = before[0], (path, entry)
            self.again.append(f"{path} is {before[0]}")
        self.files = sorted((path, identity) for identity, (path, _) in chosen.items())
        self.sizes = {path: entry.size for path, entry in chosen.values()}

    def _is_mark(self, path: str, name: str) -> bool:
        """Whether a JSON file is the mark of an output whose folder the path names."""
        return outputs.kind_of([name], lambda _: self.tree.head(path, outputs.HEAD_BYTES)) is not None

    def _entries(self, folder: str) -> list[Entry]:
        """What lies in a folder; nothing, and a finding, where it cannot be listed."""
        try:
            return self.tree.entries(folder)
        except (FileNotFoundError, NotADirectoryError) as failure:
            if isinstance(failure, NoBucketError):
                raise
            return []  # gone meanwhile
        except StoreError:
            raise
        except OSError as failure:
            self._unreadable(folder, failure)
            return []

    def _unreadable(self, path: str, failure: OSError) -> None:
        message = f"input folder {printable(self.tree.absolute(path))} cannot be read: {failure.strerror or failure}"
        finding = Finding("C020", message, "make it readable, or name the files beside it")
        if finding not in self.findings:
            self.findings.append(finding)

    def _is_ours(self, folder: str) -> bool:
        """Whether a folder that was found, not named, is left out; it is noted then."""
        kind = None
        if self.workspace is not None and self.tree.same_folder(folder, self.workspace):
            kind = "a workspace"
        else:
            entries = self._entries(folder)
            names = {entry.name for entry in entries if not entry.folder}
            marks = names.intersection(outputs.MARKERS)
            holds = any(map(format_of, names)) or any(entry.name == outputs.DATA for entry in entries)
            if marks - {outputs.WORKSPACE} and not holds:
                names &= {outputs.WORKSPACE}  # nothing in it would be read: not worth a request
            if names:
                kind = outputs.kind_of(
                    names, lambda name: self.tree.head(self.tree.joined(folder, name), outputs.HEAD_BYTES)
                )
        if kind is not None:
            self.left_out[self.tree.absolute(folder)] = kind
        return kind is not None

    def _is_part(self, folder: str, name: str, inside: list[Entry]) -> bool:
        """Whether a folder holds what a workspace consists of, and the one around it is the workspace."""
        if name not in outputs.PARTS_OF_A_WORKSPACE:
            return False
        marked = any(entry.name == outputs.WORKSPACE for entry in inside)
        if not marked and not (self.workspace is not None and self.tree.same_folder(folder, self.workspace)):
            return False
        self.left_out[self.tree.absolute(folder)] = "a workspace"
        return True

    def _folders(self, root: str) -> Iterator[tuple[str, list[Entry]]]:
        """A folder and all below that are read with it, each real one once, with what lies in them.

        Links come last: so a folder is known by its own name where it has one here.
        """
        real = self.tree.real(root)
        seen = {real}
        links: list[tuple[str, str]] = []
        waiting = [(root, real)]
        while waiting or links:
            if not waiting:
                folder, parent = links.pop(0)
                real = self.tree.real(folder)
                if real in seen or f"{parent}/".startswith(f"{real.rstrip('/')}/") or self._is_ours(folder):
                    continue  # it leads back up, or to what is read already
                seen.add(real)
                waiting.append((folder, real))
            folder, real = waiting.pop()
            inside = self._entries(folder)
            yield folder, inside
            for entry in inside:
                if not entry.folder or _hidden(entry.name) or self._is_part(folder, entry.name, inside):
                    continue
                path = self.tree.joined(folder, entry.name)
                if entry.link:
                    links.append((path, real))
                elif (inner := f"{real.rstrip('/')}/{entry.name}") not in seen and not self._is_ours(path):
                    seen.add(inner)
                    waiting.append((path, inner))

    def _below(self, root: str) -> Iterator[tuple[str, Entry]]:
        """Every file in a folder and below."""
        self.tree.prepare(root)
        for folder, inside in self._folders(root):
            for entry in inside:
                if not entry.folder and not _hidden(entry.name):
                    yield self.tree.joined(folder, entry.name), entry

    def _matching(self, folder: str, parts: list[str], hidden: bool) -> Iterator[tuple[str, Entry]]:
        """Files that the rest of a pattern means in a folder; names with `_` among them where `hidden`."""
        head, rest = parts[0], parts[1:]
        if head == "**":
            if not rest:
                yield from self._below(folder)
                return
            if rest[0] == "**":
                yield from self._matching(folder, rest, hidden)
                return
            self.tree.prepare(folder)
            for inside, _ in self._folders(folder):
                yield from self._matching(inside, rest, hidden)
            return
        for entry, is_named in self._chosen(folder, head, hidden, last=not rest):
            path = self.tree.joined(folder, entry.name)
            if not rest and not entry.folder:
                if not self.where.endswith("/"):
                    yield path, entry
            elif not entry.folder or (not rest and not (format_of(entry.name) or self.where.endswith("/"))):
                continue
            elif is_named or not (self._is_part(folder, entry.name, self._entries(folder)) or self._is_ours(path)):
                yield from self._matching(path, rest, hidden) if rest else self._below(path)

    def _chosen(self, folder: str, part: str, hidden: bool, last: bool) -> list[tuple[Entry, bool]]:
        """What lies in a folder and matches one part of a pattern, and whether by its very name."""
        if not _MARKS.search(part):
            entry = self._entry(self.tree.joined(folder, part))
            return [] if entry is None else [(entry, True)]
        inside = self._entries(folder)
        if not last:
            exact = [entry for entry in inside if entry.name == part]
            if exact:
                return [(exact[0], True)]
        matches = _matcher(part)
        return [
            (entry, False)
            for entry in inside
            if matches(entry.name)
            and (not entry.name.startswith(".") or part.startswith("."))
            and (hidden or not entry.name.startswith("_") or part.startswith("_"))
        ]

    def _entry(self, path: str) -> Entry | None:
        try:
            is_folder = self.tree.is_folder(path)
            return None if is_folder is None else self.tree.entry(path)
        except PermissionError as failure:
            self._unreadable(path.rpartition("/")[0], failure)
            return None


def _rank(path: str) -> int:
    """Of a format: the lower, the surer is a file data."""
    name = format_of(path)
    return 2 if name is None else int(name.partition(".")[0] in OFTEN_OTHER)


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


@lru_cache(maxsize=64)
def _matcher(part: str) -> Callable[[str], Any]:
    return re.compile(translate(part)).match
