"""A specification file as typed data and objects, with everything that is wrong with it found at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from curation.models.locate import ModelError
from curation.weak_to_strong import students, supervisors
from curation.weak_to_strong.students.base import Student
from curation.weak_to_strong.supervisors.base import Supervisor
from curation.weak_to_strong.task import Template
from pipelines.recipe import mistaken
from pipelines.recipe.document import Document, KeyPath, one_line, read_text, shown, validate
from schemas.errors import CurationError, Finding, advice
from schemas.weak_to_strong import LEARN, STUDENTS, SUPERVISORS, Spec

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class Loaded:
    """A specification that passed every check that needs no input data. No model's weights are open yet."""

    spec: Spec
    template: Template
    supervisors: tuple[Supervisor, ...]
    students: tuple[Student, ...]
    source: str
    """The text, kept with the run."""
    path: Path | None
    base: Path
    """Folder that relative paths count from."""
    _lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False)

    @property
    def members(self) -> tuple[Supervisor | Student, ...]:
        return (*self.supervisors, *self.students)

    def line(self, *path: str | int) -> int | None:
        """1-based line of a key; None where the text does not have it."""
        return self._lines.get(path)

    @property
    def mapping(self) -> dict[str, str]:
        """Mapped columns, ours: theirs; `text` is a column of that name unless it is mapped."""
        return {"text": "text", **self.spec.input.columns}

    @property
    def reads(self) -> list[str]:
        """Mapped columns that the task or a supervisor reads."""
        found = [*self.template.columns, *(name for one in self.supervisors for name in one.reads)]
        gold = [self.spec.task.gold] if self.spec.task.gold else []
        return list(dict.fromkeys([*found, *gold]))


def load(path: Path | str) -> Loaded:
    """Read a specification file. Raises CurationError with everything that is wrong."""
    path = Path(path)
    return parse(read_text(path, "specification"), path.resolve().parent, path)


def unpacked(path: Path, sent_from: Path) -> Loaded:
    """A specification that travelled: its paths count from the folder that it was sent from."""
    return parse(read_text(path, "specification"), sent_from.parent, sent_from)


def parse(source: str | Mapping[str, Any], base: Path | str = ".", path: Path | None = None) -> Loaded:
    """Check a specification given as YAML text, or as the mapping that the YAML would be."""
    text = source if isinstance(source, str) else yaml.safe_dump(dict(source), sort_keys=False, allow_unicode=True)
    document = Document(text, str(path) if path is not None else None)
    value = document.read()
    if not document.findings and not isinstance(value, dict):
        document.add("C002", "a specification is a mapping with name, input, task and supervisors")
    if document.findings:
        raise CurationError(*document.findings)
    if (instead := mistaken.recipe(value, document.file)) is not None:
        raise CurationError(instead)
    base = Path(base).resolve()
    lists = ("supervisors", "students")
    own = {key: section for key, section in value.items() if key not in lists}
    spec = validate(document, Spec, own, (), "specification", lists)
    spec = spec if isinstance(spec, Spec) else None
    classes = tuple(spec.task.classes) if spec else _classes(value)
    weak = _members(document, value, "supervisors", SUPERVISORS, supervisors.make, classes, base)
    strong = _members(document, value, "students", STUDENTS, students.make, classes, base)
    if "supervisors" not in value:
        document.add("C005", "specification: missing key 'supervisors'", (), "add `supervisors:`")
    template = None
    if spec is not None:
        template = _template(document, spec)
        _fits(document, spec, value, weak, template)
    if document.findings:
        raise CurationError(*sorted(document.findings, key=lambda finding: finding.line or 0))
    assert spec is not None
    assert template is not None
    lines = {key: mark.line + 1 for key, mark in document.keys.items()}
    return Loaded(spec, template, tuple(weak), tuple(strong), text, path, base, lines)


def _classes(value: dict[str, Any]) -> tuple[str, ...]:
    """Of a specification that has other faults."""
    found = value.get("task", {}).get("classes") if isinstance(value.get("task"), dict) else None
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _members(
    document: Document,
    value: dict[str, Any],
    section: str,
    kinds: Mapping[str, type[Any]],
    make: Any,
    classes: tuple[str, ...],
    base: Path,
) -> list[Any]:
    """Objects of a list's entries; each entry that is none has its findings."""
    given = value.get(section, [])
    if not isinstance(given, list) or (section == "supervisors" and section in value and not given):
        got = "an empty one" if given == [] else shown(given)
        document.add("C004", f"{section}: expected a list, got {got}", (section,), "begin each with `- `")
        return []
    key = section.removesuffix("s")
    members: list[Any] = []
    first: dict[str, int] = {}
    for index, entry in enumerate(given):
        entry_path: KeyPath = (section, index)
        kind = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(kind, str) or kind not in kinds:
            near = get_close_matches(str(kind), kinds, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            code, message = "C005", f"{key} {index + 1} does not say what it is"
            if isinstance(kind, str):
                code, message = "C006", f"unknown {key} '{kind}'"
            document.add(
                code, message, (*entry_path, key), f"{hint}known: {', '.join(kinds)}", value=isinstance(kind, str)
            )
            continue
        name = entry.get("id", kind.replace("-", "_"))
        if not isinstance(name, str) or not _IDENTIFIER.match(name):
            hint = "letters, digits and _ only, not beginning with a digit"
            document.add("C008", f"invalid id {shown(name)}", (*entry_path, "id"), hint, value=True)
            continue
        if first.setdefault(name.casefold(), index) != index:
            document.add("C007", f"two {section} have the id '{name}'", entry_path, "give one of them another `id:`")
            continue
        settings = {name: setting for name, setting in entry.items() if name not in (key, "id")}
        typed = validate(document, kinds[kind], settings, entry_path, f"{key} '{name}'", [key, "id"])
        if typed is not None and classes:
            members.append(_construct(document, entry_path, key, name, lambda: make(kind, name, typed, classes, base)))  # noqa: B023
    return [one for one in members if one is not None]


def _construct(document: Document, entry_path: KeyPath, key: str, name: str, make: Any) -> Any:
    label = f"{key} '{name}'"
    try:
        member = make()
        member.identity()
        return member
    except ModelError as failure:
        key_path = (*entry_path, "model") if (*entry_path, "model") in document.keys else (*entry_path, key)
        document.add("C013", f"{label}: {one_line(failure)}", key_path, failure.hint or None, value=True)
    except CurationError as failure:
        for found in failure.findings:
            document.add(found.code, f"{label}: {found.message}", _function(document, entry_path, found), found.hint)
    except ValueError as failure:
        message, hint = advice(failure)
        document.add("C012", f"{label}: {message}", (*entry_path, key), hint)
    return None


def _function(document: Document, entry_path: KeyPath, finding: Finding) -> KeyPath:
    """Where the function that a finding names stands."""
    for path, node in document.values.items():
        depth = len(entry_path) + 3
        named = len(path) == depth and path[: len(entry_path) + 1] == (*entry_path, "functions") and path[-1] == "name"
        if named and f"'{node.value}'" in finding.message:
            return path
    return entry_path


def _template(document: Document, spec: Spec) -> Template | None:
    try:
        return Template.parse(spec.task.text)
    except ValueError as failure:
        document.add("C012", f"task: text: {one_line(failure)}", ("task", "text"), value=True)
        return None


def _fits(
    document: Document, spec: Spec, value: dict[str, Any], weak: Sequence[Supervisor], template: Template | None
) -> None:
    """What no part of the specification can see alone."""
    mapped = {"text", *spec.input.columns}

    def column(name: str, path: KeyPath, who: str) -> None:
        if name not in mapped:
            near = get_close_matches(name, mapped, 1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            hint += "add it to input.columns"
            document.add("C021", f"{who} reads '{name}', to which no input column is mapped", path, hint, value=True)

    for name in template.columns if template else ():
        column(name, ("task", "text"), "task")
    if spec.task.gold is not None:
        column(spec.task.gold, ("task", "gold"), "task")
    by = spec.combine.by
    if by == "triplet" and len(spec.task.classes) != 2:
        document.add("C012", "combine: by: triplets are for two classes", ("combine", "by"), "write em", value=True)
    if by == "reliability" and spec.task.gold is None:
        hint = "name task.gold, or combine by em, which needs none"
        document.add("C012", "combine: by: reliability is measured on gold", ("combine", "by"), hint, value=True)
    if spec.combine.prior is not None and len(spec.combine.prior) != len(spec.task.classes):
        document.add("C012", "combine: prior: one share for each class", ("combine", "prior"))
    if by in ("triplet", "em") and weak and sum(len(one.voters) for one in weak) < 3:
        hint = "add some, or combine by mean or reliability"
        document.add("C012", f"combine: by: {by} takes three supervisors", ("combine", "by"), hint, value=True)
    index_of = {str(entry.get("id", str(entry.get("supervisor")).replace("-", "_"))): i for i, entry in _entries(value)}
    for one in weak:
        entry_path = ("supervisors", index_of[one.name])
        for name in one.reads:
            column(name, entry_path, f"supervisor '{one.name}'")
        if one.kind in LEARN and spec.task.gold is None:
            hint = "name task.gold; functions, zero-shot and imported need none"
            document.add("C012", f"supervisor '{one.name}' learns from gold, and there is none", entry_path, hint)


def _entries(value: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    given = value.get("supervisors")
    return [(i, entry) for i, entry in enumerate(given if isinstance(given, list) else []) if isinstance(entry, dict)]
