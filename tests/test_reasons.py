"""Reasons of drops are true as read, and their rules are what is counted."""

import json

import numpy as np
import pyarrow as pa
import pytest

from curation.manifest.views import VIEWS
from curation.reasons import bounded, rules_of
from curation.rules import PROFILES, resolve
from curation.scorers.base import Context
from curation.scorers.rules import Rules, Settings
from pipelines.workspace import Workspace
from schemas.manifest import DOCUMENT, RESERVED

TEXTS = [
    "",
    "short text",
    "1 2 3 4 5 the of with and 12345 !!! ### " * 20,
    "the cat and the dog went to the store with that thing. " * 30,
    "\n".join(f"- point {n} of the list and that is with it ..." for n in range(60)),
    "word " * 200,
    "# # # the and of that with to be have " * 40,
    "{ lorem ipsum javascript } " * 30,
]


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        ("language.lang = 'en' is false: 'de'", "language.lang = 'en' is false"),
        ("a.x = '\n' is false: 'two\nlines is false: no'", "a.x = '\n' is false"),
        ("a.x > 1 or a.y is false: a.x = 0, a.y = false", "a.x > 1 or a.y is false"),
        ("gopher.pass is false", "gopher.pass is false"),
        ("alpha_words_ratio 0.741 < 0.8", "alpha_words_ratio < 0.8"),
        ("words 12 < 50", "words < 50"),
        ("x -1.5e-07 >= 0", "x >= 0"),
        ("unknown", "unknown"),
        ("gopher_short_doc", "gopher_short_doc"),
        (None, None),
    ],
)
def test_a_rule_is_a_reason_without_values(reason, rule):
    assert rules_of(pa.array([reason], pa.string())).to_pylist() == [rule]


def test_values_are_short_and_never_contradict_the_sentence():
    values = np.array([0.7412345, 0.79999, 0.0, 1e-9, -3.0])
    expected = ["r 0.741 < 0.8", "r 0.79999 < 0.8", "r 0 < 0.8", "r 1e-09 < 0.8", "r -3 < 0.8"]
    assert bounded("r", values, "<", 0.8).tolist() == expected
    assert bounded("r", np.array([0.18000001, 2.0]), ">", 0.18).tolist() == ["r 0.18000001 > 0.18", "r 2 > 0.18"]
    assert bounded("r", np.array([0.5]), ">=", 0.5).tolist() == ["r 0.5 >= 0.5"]


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_names_rule_value_and_bound_of_what_it_rejects(name, tmp_path):
    scorer = Rules(Settings(profile=name), Context(tmp_path))
    scored = scorer.score(pa.record_batch({"text": pa.array(TEXTS, pa.large_string())}))
    rejected = scored.filter(pa.array([value is False for value in scored["pass"].to_pylist()]))
    assert rejected.num_rows, "no text of these is rejected"
    found = scorer.grounds(rejected.to_struct_array())
    profile = resolve(name)
    for row, reason, value, bound in zip(rejected.to_pylist(), *found, strict=True):
        if reason is None:
            assert row["reason"] == profile.nothing
            continue
        column, said, sign, limit = reason.split()
        assert row[column] == pytest.approx(value)
        assert float(said) == pytest.approx(value, abs=0.0006)
        assert float(limit) == bound
        assert eval(f"{said} {sign} {limit}")
        rule = next(r for r in profile.rules if ((r.column, r.sign) == (column, sign) and r.reason == row["reason"])
                    or (row["reason"] == profile.nothing and r.column == column))  # fmt: skip
        assert scorer.thresholds[rule.name] == bound


def test_drops_have_reason_rule_score_and_threshold_and_are_counted_by_rule(tmp_path):
    texts = [*TEXTS[1:4], "Der schnelle braune Fuchs springt über den faulen Hund und läuft durch den Wald."]
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    rules = {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove", "thresholds": {"min_words": 30}}
    recipe = {
        "name": "r",
        "input": {"path": str(tmp_path / "in.jsonl")},
        "stages": [{"scorer": "language", "keep": "LANGUAGE.Lang = 'en'"}, {**rules, "keep": "GOPHER.Pass"}],
    }
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe)
    assert (result.outcome, result.kept, result.dropped, result.errored) == ("done", 1, 3, 0)
    drops = workspace.sql("SELECT row, reason, rule, score, threshold FROM drops ORDER BY row").to_pylist()
    lang = "LANGUAGE.Lang = 'en' is false"
    assert [tuple(row.values()) for row in drops] == [
        (0, "words 2 < 30", "words < 30", 2.0, 30.0),
        (1, "mean_word_length 2.2 < 3", "mean_word_length < 3", 2.2, 3.0),
        (3, f"{lang}: 'de'", lang, None, None),
    ]
    (record,) = workspace.manifest.read("decisions").to_pylist()
    assert {entry["reason"] for entry in record["tally"]} == {row["rule"] for row in drops} | {None}


def test_reserved_ids_are_all_columns_of_documents_that_are_no_stages(tmp_path):
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    columns = {row["column_name"] for row in workspace.sql("DESCRIBE documents").to_pylist()}
    assert columns == set(DOCUMENT) <= RESERVED
    shown = {row["name"] for row in workspace.sql("SHOW TABLES").to_pylist()}
    assert shown == set(VIEWS)
