"""Recipes and weak-to-strong specs that are broken in a thousand ways: each is read, or refused by a code, soon."""

import random
import time
from copy import deepcopy
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from pipelines.recipe import load as recipe
from pipelines.weak_to_strong import spec
from schemas.errors import CODES, CurationError

SECONDS = 30.0
"""For one text, on a machine that does other things as well. The slowest take less than a tenth."""
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
        characters[place : place + rng.randrange(3)] = rng.choice(
            ["", ":", "\t", "- ", "{", "]", "'", '"', "&a", "*a", "\n", "!!x"]
        )
    return "".join(characters)


def refused(read, given):
    """Codes that it is refused with; none where it is read."""
    begun = time.monotonic()
    findings = ()
    try:
        read(given)
    except CurationError as failure:
        findings = failure.findings or pytest.fail("refused without a finding")
    codes = [finding.code for finding in findings]
    assert set(codes) <= set(CODES)
    assert all(finding.message and "\n" not in finding.message for finding in findings)
    assert time.monotonic() - begun < SECONDS
    return codes


def trials(count, seed, sources, parse):
    rng = random.Random(seed)
    texts = [path.read_text() for path in sources]
    seen = set()
    for number in range(count):
        place = rng.randrange(len(sources))
        base = sources[place].parent
        given = garbled(texts[place], rng) if number % 4 == 0 else mutate(yaml.safe_load(texts[place]), rng)
        if not isinstance(given, str | dict):
            given = str(given)
        try:
            seen.update(refused(lambda value, base=base: parse(value, base), given))
        except CurationError:
            raise
        except Exception as error:
            pytest.fail(f"seed {seed}, trial {number}, {sources[place].name}: {error!r}\n{given!r}"[:3000])
    return seen


@pytest.mark.parametrize("path", [*SHIPPED, *SPECS], ids=lambda path: path.name)
def test_what_is_shipped_is_read(path):
    text = path.read_text()
    codes = refused(lambda given: (spec if path in SPECS else recipe).parse(given, path.parent), text)
    assert set(codes) <= {"C012", "C013", "C038"}, "what a stage needs may not be there; the rest is sound"


@pytest.mark.parametrize(("count", "seed"), [(SHORT, 14), pytest.param(LONG, 15, marks=pytest.mark.slow)])
def test_broken_recipes_are_refused_by_a_code(count, seed, monkeypatch):
    monkeypatch.setenv("CURATION_GATE_MEMORY", "150")
    seen = trials(count, seed, SHIPPED, recipe.parse)
    assert len(seen) > 5, "the fuzzer has gone blind"


@pytest.mark.parametrize(("count", "seed"), [(SHORT // 3, 16), pytest.param(LONG // 3, 17, marks=pytest.mark.slow)])
def test_broken_specs_are_refused_by_a_code(count, seed, monkeypatch):
    monkeypatch.setenv("CURATION_GATE_MEMORY", "150")
    seen = trials(count, seed, SPECS, spec.parse)
    assert len(seen) > 3, "the fuzzer has gone blind"
