"""Recipes and weak-to-strong specs that are broken in a thousand ways: each is read, or refused by a code, soon."""

import os
import random
from copy import deepcopy
from importlib.resources import files
from itertools import chain
from pathlib import Path

import pytest
import yaml
from trials import seeds

from pipelines.recipe import load as recipe
from pipelines.weak_to_strong import spec
from schemas.errors import CODES, CurationError

SECONDS = 30.0
"""Of CPU, for one text. The slowest take less than a tenth."""
SHORT, LONG = 36, 1_000
SHIPPED = sorted(
    path
    for folder in ("recipes", "demo", "demo_instructions")
    for path in (Path(str(files("pipelines"))) / folder).glob("*.yaml")
)
SPECS = sorted((Path(str(files("pipelines"))) / "recipes" / "weak_to_strong").glob("*.yaml"))
ODD = [
    None, True, False, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", " ", "x", "no", "a\0b", "\ud800", "é" * 50,
    "x" * 5000, [], [[]], {}, {"": ""}, {"a": {"b": []}}, ["x"] * 300, "../..", "/", "~nobody/x", "s3://", "hub:",
    "path:", "package:none", "2020-01-01", "1e5", "a: b", "*", "&a", "<<", "text", "outcome", "input", "ROW",
]  # fmt: skip
GATES = [
    "'abc' = 5", "1 // 0 > 1", "x", "x.y", "{id}.x", "{ID}.status = 'ok'", "{id}.status > 5", "{id}.status = null",
    "{id}", "(" * 2000 + ")" * 2000, "not " * 2000 + "true",
    " and ".join(["{id}.status = 'ok'"] * 30), "{id}.status ~ '('",
    "count(*) > 1", "(select 1) = 1", "random() > 0.5", "version() = ''", "; drop table x", "{id}.status in (1, 2)",
    "{id}.status::int > 'a'", "{id}.status like 'a' escape 'xx'", "length(repeat('x', 900000000)) > 5", "\0", "true --",
    "list_contains(range(1000000000), 1)", "{id}.status = '\ud800'", "1" + "+1" * 3000 + " > 1", "case when", "$1 = 1",
]  # fmt: skip

SIGNS = ["", ":", "\t", "- ", "{", "]", "'", '"', "&a", "*a", "\n", "!!x"]


def places(value, path=()):
    """Paths of everything in a tree, itself too."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def mutate(tree, rng):
    """One to three changes: a value, a key, a place or a gate."""
    tree = deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 3))):
        path = rng.choice([path for path in places(tree) if path] or [()])
        if not path:
            return rng.choice(ODD)
        parent, key = at(tree, path[:-1]), path[-1]
        kind = rng.randrange(6)
        if kind == 0:
            parent[key] = deepcopy(rng.choice(ODD))
        elif kind == 1:
            del parent[key]
        elif kind == 2 and isinstance(parent, dict):
            parent[rng.choice(["keep", "id", "turns", "resources", "x", "", "<<", "scorer", str(key) + "s"])] = (
                parent.pop(key)
            )
        elif kind == 3 and isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), deepcopy(parent[key]))
        elif kind == 4:
            parent[key] = deepcopy(at(tree, rng.choice(list(places(tree)))))
        else:
            stages = (
                [stage for stage in tree.get("stages") or () if isinstance(stage, dict)]
                if isinstance(tree, dict)
                else []
            )
            if stages:
                stage = rng.choice(stages)
                name = str(stage.get("id") or stage.get("scorer") or "x").replace("-", "_")
                gate = rng.choice(GATES)
                stage["keep"] = gate.replace("{id}", name).replace("{ID}", name.upper())
        if not isinstance(tree, dict | list):
            break
    return tree


def garbled(text, rng):
    """The text with a few characters changed: no longer YAML, or another."""
    characters = list(text)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(characters))
        characters[place : place + rng.randrange(3)] = rng.choice(SIGNS)
    return "".join(characters)


def refused(read, given):
    """Codes that it is refused with; none where it is read."""
    begun = sum(os.times()[:4])
    findings = ()
    try:
        read(given)
    except CurationError as failure:
        findings = failure.findings or pytest.fail("refused without a finding")
    codes = [finding.code for finding in findings]
    assert set(codes) <= set(CODES)
    assert all(finding.message and "\n" not in finding.message for finding in findings)
    assert sum(os.times()[:4]) - begun < SECONDS
    return codes


def trial(seed, sources, parse):
    """Codes that a broken one of `sources` is refused with."""
    rng = random.Random(seed)
    source = sources[rng.randrange(len(sources))]
    text = source.read_text()
    given = garbled(text, rng) if seed % 4 == 0 else mutate(yaml.safe_load(text), rng)
    given = given if isinstance(given, str | dict) else str(given)
    try:
        return refused(lambda value: parse(value, source.parent), given)
    except BaseException as failure:
        failure.add_note(f"{source.name}: {given!r}"[:3000])
        raise


@pytest.fixture(scope="module")
def codes():
    """What was found, by parser."""
    found = {recipe.parse: [], spec.parse: []}
    yield found
    for trials in found.values():
        assert len(trials) < SHORT // 3 or len(set(chain(*trials))) > 3, "the fuzzer has gone blind"


@pytest.mark.parametrize("path", [*SHIPPED, *SPECS], ids=lambda path: path.name)
def test_what_is_shipped_is_read(path):
    text = path.read_text()
    codes = refused(lambda given: (spec if path in SPECS else recipe).parse(given, path.parent), text)
    assert set(codes) <= {"C012", "C013", "C038"}, "what a stage needs may not be there; the rest is sound"


@seeds(range(SHORT), range(SHORT, LONG))
def test_broken_recipes_are_refused_by_a_code(seed, codes, monkeypatch):
    monkeypatch.setenv("CURATION_GATE_MEMORY", "150")
    codes[recipe.parse].append(trial(seed, SHIPPED, recipe.parse))


@seeds(range(SHORT // 3), range(SHORT // 3, LONG // 3))
def test_broken_specs_are_refused_by_a_code(seed, codes, monkeypatch):
    monkeypatch.setenv("CURATION_GATE_MEMORY", "150")
    codes[spec.parse].append(trial(seed, SPECS, spec.parse))
