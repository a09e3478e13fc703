"""What a gate is: one expression, scalar and deterministic, cut at its conjuncts; its columns and thresholds."""

import pickle

import pytest
from gate_columns import FIELDS, refusal

from curation.gates import Gate, GateError
from schemas.errors import CurationError


@pytest.mark.parametrize(
    "sql",
    [
        "1; DROP TABLE x",
        "a.x FROM t",
        "a.x, a.y",
        "a.x AS y",
        "a.x y",
        "y: a.x",
        "ALL a.x",
        "DISTINCT a.x",
        "a.x WHERE a.y",
        "a.x ORDER BY 1",
        "a.x LIMIT 1",
        "a.x GROUP BY 1",
        "a.x QUALIFY a.y",
        "a.x USING SAMPLE 1",
        "a.x UNION SELECT true",
        "true) FROM (SELECT 1",
        "true), (true",
        "true) --",
        "a.x /*",
        "a.x = 'y",
        "a.x AND",
        "a.x\0 OR true",
        "",
        " \n",
        "-- nothing",
    ],
)
def test_more_or_less_than_one_expression_is_refused(sql):
    with pytest.raises(GateError) as caught:
        Gate.parse(sql)
    assert {finding.code for finding in caught.value.findings} <= {"C009", "C011"}


@pytest.mark.parametrize(
    "sql",
    [
        "(SELECT true)",
        "EXISTS (SELECT 1)",
        "a.x IN (SELECT 1)",
        "a.x = ANY ([1])",
        "ARRAY(SELECT 1) = [1]",
        "a.x > (WITH t AS (COPY x TO 'y') SELECT 1 FROM t)",
        "*",
        "a.*",
        "COLUMNS('x')",
        "?",
        "$1",
        "$name",
        "#1",
        "DEFAULT",
        "count(*) > 1",
        "sum(a.x) > 1",
        "sum(a.x) OVER () > 1",
        "row_number() OVER () > 1",
        "first(a.x)",
        "wavg(a.x, 1) > 1",
        "json_group_array(a.x) = '[]'",
        "unnest([true])",
        "read_text('/etc/passwd') = ''",
        "random() > 0.5",
        "main.random() > 0.5",
        "now() > a.x",
        "today() > a.x",
        "current_date > a.x",
        "CURRENT_TIMESTAMP > a.x",
        "localtimestamp > a.x",
        "current_localtimestamp() > a.x",
        "age(a.x) > INTERVAL 1 DAY",
        "ago('1 day') > a.x",
        "uuid() = a.x",
        "nextval('s') > 1",
        "getvariable('x') = 1",
        "current_setting('threads') = 1",
        "list_filter(a.l, lambda x: x > random()) = []",
        "CASE WHEN a.x THEN random() > 0.5 END",
        "a.x.lower() = 'y'",
    ],
)
def test_what_is_not_scalar_and_deterministic_is_refused(sql):
    with pytest.raises(GateError) as caught:
        Gate.parse(sql)
    assert [finding.code for finding in caught.value.findings] == ["C011"]


@pytest.mark.parametrize(
    ("sql", "conjuncts"),
    [
        ("a.x = 'y'  AND  a.z > 1", ["a.x = 'y'", "a.z > 1"]),
        ("a.x BETWEEN 1 AND 3 AND a.y", ["a.x BETWEEN 1 AND 3", "a.y"]),
        ("a.x and (a.y and (a.z))", ["a.x", "a.y", "a.z"]),
        ("(a.x and a.y)", ["a.x", "a.y"]),
        ("a.x and (a.y or a.z)", ["a.x", "a.y or a.z"]),
        ("not (a.x and a.y)", ["not (a.x and a.y)"]),
        ("a.x in (')and(', '--') and a.y", ["a.x in (')and(', '--')", "a.y"]),
        ("case when a.x and a.y then a.z end and a.w", ["case when a.x and a.y then a.z end", "a.w"]),
        ("a.x -- why and how\n and a.y /* and */ > 1", ["a.x", "a.y  > 1"]),
        ("a.x\n   = 1 and a.y", ["a.x = 1", "a.y"]),
        ("a.x = 'one\n two' and a.y", ["a.x = 'one\n two'", "a.y"]),
        ("ä.ö = 'é' and ü.ß > 1", ["ä.ö = 'é'", "ü.ß > 1"]),
        ("list_filter(a.l, lambda x: x > 1 and x < 3) = [] and a.y", None),
    ],
)
def test_conjuncts_are_split_and_keep_the_users_text(sql, conjuncts):
    found = [conjunct.sql for conjunct in Gate.parse(sql).conjuncts]
    assert found == (conjuncts or ["list_filter(a.l, lambda x: x > 1 and x < 3) = []", "a.y"])


def test_columns_are_named_once_in_order_and_lambda_parameters_are_not_columns():
    gate = Gate.parse("b.x > 1 and list_sum(list_transform(a.l, lambda x: x * b.y)) > 2 and b.x < 5")
    assert gate.columns == ("b.x", "a.l", "b.y")
    assert gate.stages == ("b", "a")
    assert [gate.sql[start:end] for start, end in gate.spans] == ["b.x", "a.l", "b.y"]


def test_simple_comparisons_know_their_threshold_whichever_side_it_is_on():
    conjuncts = Gate.parse("a.x >= -0.5 and 1_000 > a.y and a.z = 'en' and a.x + 1 > 2 and a.x > a.y").conjuncts
    assert [(c.column, c.op, c.threshold) for c in conjuncts] == [
        ("a.x", ">=", -0.5),
        ("a.y", "<", 1000.0),
        ("a.z", "=", None),
        (None, None, None),
        (None, None, None),
    ]


def test_canonical_ignores_spelling_and_tells_meaning_apart():
    assert Gate.parse("a.x>1 AND(a.y)").canonical == Gate.parse("a.x  > 1 -- note\n and a.y").canonical
    assert Gate.parse("a.x > 1").canonical != Gate.parse("a.x >= 1").canonical


def test_unknown_columns_are_all_named_with_the_nearest_one():
    error = refusal("language.prb > 1 and gopher.wrds > 3 and nope.x")
    assert [finding.code for finding in error.findings] == ["C010"] * 3
    assert "language.prob" in error.findings[0].hint
    assert "gopher.words" in error.findings[1].hint
    assert error.spans[0] == (0, 12)


def test_a_gate_reads_no_later_stage():
    error = refusal("later.x > 1", later=["later"])
    assert error.findings[0].code == "C010"
    assert "runs after" in error.findings[0].hint


@pytest.mark.parametrize(
    "sql", ["gopher.words", "language.prob > 0 and gopher.words", "NULL", "1", "lower(language.lang)"]
)
def test_every_conjunct_must_be_a_condition(sql):
    assert refusal(sql).findings[0].code == "C011"


@pytest.mark.parametrize("sql", ["gopher IS NOT NULL", "gopher['words'] > 1"])
def test_a_whole_stage_is_not_a_column(sql):
    assert refusal(sql).findings[0].code == "C010"


def test_types_that_do_not_compare_are_refused():
    assert refusal("gopher.pass > [1]").findings[0].code == "C011"


@pytest.mark.parametrize(
    "sql", ["language.status = 'ok'", "GOPHER.Pass", "gopher.words IN (1, 2)", "language.lang LIKE 'e%'", "true"]
)
def test_good_gates_pass_the_check(sql):
    Gate.parse(sql).check(FIELDS)


def test_errors_and_gates_cross_process_borders():
    error = pickle.loads(pickle.dumps(refusal("language.prb > 1")))
    assert isinstance(error, CurationError)
    assert error.spans == ((0, 12),)
    gate = Gate.parse("a.x > 1")
    assert pickle.loads(pickle.dumps(gate)) == gate
