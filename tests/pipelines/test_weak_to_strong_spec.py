"""A specification that holds numbers, lists and mappings where names are due is findings, whatever stands where."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.weak_to_strong.data import find_files
from pipelines.weak_to_strong.spec import parse
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

SPEC: dict[str, Any] = {
    "name": "reviews",
    "input": {"path": "in.jsonl", "columns": {"text": "text", "gold": "label", "p": "p"}},
    "task": {"text": "{text}", "classes": ["bad", "good"], "gold": "gold"},
    "splits": {"weak": 0.3, "transfer": 0.3, "calibration": 0.1, "certification": 0.1, "test": 0.2},
    "combine": {"by": "mean", "prior": [0.5, 0.5]},
    "certify": {"alpha": 0.1},
    "supervisors": [
        {"supervisor": "functions", "id": "f", "functions": [{"name": "a", "class": "good", "regex": "fine"}]},
        {
            "supervisor": "functions",
            "id": "g",
            "functions": [{"name": "b", "sql": "CASE WHEN p > 0.5 THEN 'good' END"}],
        },
        {"supervisor": "imported", "id": "i", "probabilities": {"good": "p"}},
        {"supervisor": "imported", "column": "gold"},
        {"supervisor": "fasttext", "rows": 10},
    ],
    "students": [],
}
ODD: list[Any] = [
    5,
    1.5,
    True,
    None,
    "",
    "x\x1b[31m",
    [],
    {},
    [1],
    [[]],
    {"a": 1},
    {"a": [1]},
    {1: 2},
    10**400,
    "🙂" * 300,
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def _findings(text: str, folder: Path) -> tuple[Finding, ...]:
    try:
        parse(text, folder)
    except CurationError as failure:
        return tuple(failure.findings)
    return ()


def changed(path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    here: Any = spec
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = odd
    return spec


@pytest.mark.parametrize("path", list(places(SPEC)), ids=lambda path: ".".join(map(str, path)))
def test_odd_values_are_findings(path: tuple[Any, ...], tmp_path: Path) -> None:
    for odd in ODD:
        text = yaml.safe_dump(changed(path, odd), sort_keys=False, allow_unicode=True)
        findings = _findings(text, tmp_path)
        assert all(finding.code and finding.message for finding in findings)


@pytest.mark.parametrize(
    "path", [p for p in places(SPEC) if isinstance(p[-1], str)], ids=lambda p: ".".join(map(str, p))
)
@pytest.mark.parametrize("key", [5, 1.5, True, None, "🙂", "a b"])
def test_odd_keys_are_findings(path: tuple[Any, ...], key: Any, tmp_path: Path) -> None:
    spec = copy.deepcopy(SPEC)
    here: Any = spec
    for step in path[:-1]:
        here = here[step]
    here[key] = here.pop(path[-1])
    findings = _findings(yaml.safe_dump(spec, sort_keys=False), tmp_path)
    assert all(finding.code and finding.message for finding in findings)


def test_the_check_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "fine", "label": "good", "p": 0.5}\n' * 3)
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(SPEC))
    Workspace(tmp_path / "ws").weak_to_strong_check(path)
    for where in (("supervisors", 0, "id"), ("task", "gold"), ("input", "columns", "text"), ("name",)):
        for odd in ({"a": 1}, [1], 5):
            path.write_text(yaml.safe_dump(changed(where, odd)))
            with pytest.raises(CurationError):
                Workspace(tmp_path / "ws").weak_to_strong_check(path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, ["C005: specification: missing key 'supervisors'"]),
        ([], ["C004: supervisors: expected a list, got an empty one"]),
        (7, ["C004: supervisors: expected a list, got 7"]),
    ],
)
def test_no_supervisors_are_one_finding_in_true_words(given: Any, says: list[str]) -> None:
    spec = {name: part for name, part in SPEC.items() if name not in ("supervisors", "combine")}
    with pytest.raises(CurationError) as refused:
        parse(spec if given is None else {**spec, "supervisors": given})
    assert [f"{finding.code}: {finding.message}" for finding in refused.value.findings] == says


def test_what_is_left_out_of_the_input_is_said(tmp_path: Path) -> None:
    (tmp_path / "in/old").mkdir(parents=True)
    for name in ("in/a.jsonl", "in/old/b.jsonl"):
        (tmp_path / name).write_text('{"text": "fine words", "label": "good", "p": 0.5}\n')
    (tmp_path / "in/old/workspace.json").write_text('{"format_version": 1}')
    spec = parse({**SPEC, "input": {**SPEC["input"], "path": "in"}}, tmp_path)
    found = find_files(spec, Workspace(tmp_path / "ws").manifest)
    assert found.rows == 1
    assert [line.partition(":")[0] for line in found.notices] == ["left out of the input"]
