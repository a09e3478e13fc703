"""What `check` refuses: gates that fail or hold for no document, by types and by constants."""

import pytest
from gate_columns import FIELDS, TYPES, refusal, struct

from curation.gates import Gate, GateError
from curation.gates.functions import ONE_CONDITION


@pytest.mark.parametrize(
    "sql",
    [
        "'abc' = 5",
        "1 // 0 > 1",
        "'x'::int = 1",
        "DATE '2020-02-30' > DATE '2020-01-01'",
        "strptime('abc', '%Y') > DATE '2000-01-01'",
        "factorial(100) > 1",
        "chr(-1) = 'x'",
        "g.words > 1 or 'abc' = 5",
        "g.pass and g.words > 'many'",
        "g.words in ('a')",
        "g.words between 'a' and 'b'",
        "g.words != 'a'",
        "g.prob > 'x'",
        "g.pass = 'good'",
        "g.list = 5",
        "g.list[1] = 'x'",
        "list_contains(g.list, 'x')",
        "g.deep.a.b > 'x'",
        "g.lang ~ '('",
        "g.lang similar to '['",
        "case g.words when 'a' then true end",
        "nullif(g.words, 'x') = 1",
        "g.words = null",
        "null <> g.lang",
        "g.words > null::int",
        "null::boolean",
        "g.pass > 1",
        "2 = g.pass",
        "g.words = 1.5",
        "g.small > 127",
        "-129 > g.small",
        "g.words > 99999999999999999999",
    ],
)
def test_a_gate_that_fails_or_holds_for_no_document_is_refused(sql):
    found = refusal(sql, TYPES)
    assert [finding.code for finding in found.findings] == ["C056"]
    start, end = found.spans[0]
    assert sql[start:end] in (sql, sql.partition(" and ")[2])


@pytest.mark.parametrize(
    ("sql", "types"),
    [("g.words > 'many'", "; g.words is int64"), ("g.lang > g.words", "g.lang is string, g.words is int64")],
)
def test_what_cannot_be_compared_is_told_with_the_types_of_its_columns(sql, types):
    [finding] = refusal(sql, TYPES).findings
    assert finding.message.endswith(types)
    assert finding.hint.startswith("compare ")


@pytest.mark.parametrize(
    "sql",
    [
        "g.lang > 5",
        "g.lang = 5",
        "5 != g.lang",
        "g.lang in (1, 2)",
        "g.lang not in (1)",
        "g.lang between 1 and 2",
        "g.lang is distinct from 5",
        "case g.lang when 5 then true end",
        "g.lang = true",
        "g.pass = g.lang",
        "g.words = g.lang",
        "g.lang = DATE '2020-01-01'",
        "g.words > DATE '2020-01-01'",
        "g.lang like 'a' escape 'xx'",
        "g.deep.a.c > 1",
        "version() = 'x'",
        "hash(g.lang) > 5",
        "current_schemas(true) = []",
        "pg_typeof(g.lang) = 'x'",
        "getvariable('x') = 1",
        "true and " * 2000 + "true",
    ],
)
def test_types_that_do_not_compare_and_what_depends_on_the_engine_are_refused(sql):
    assert {finding.code for finding in refusal(sql, TYPES).findings} == {"C011"}


@pytest.mark.parametrize(
    "sql",
    [
        "g.lang::int > 5",
        "try_cast(g.lang as int) > 3",
        "try('abc'::int) is null",
        "g.words > '5'",
        "g.pass = 1",
        "g.pass = 'yes'",
        "g.words::varchar = '5'",
        "G.Words > 5 and g.LANG = 'en'",
        '"G"."words" > 5',
        "g.deep.a.b > 3",
        "g.small <= 127",
        "g.words / 0 > 1",
        "g.words is null or g.words > 1",
        "strptime(g.lang, '%d/%m/%Y') > DATE '2000-01-01'",
        "not (g.lang = 'en') is not true",
    ],
)
def test_what_may_hold_for_some_document_passes_the_check(sql):
    Gate.parse(sql).check(TYPES)


@pytest.mark.long
def test_who_writes_an_operator_of_another_language_is_shown_a_condition():
    [finding] = refusal("g.lang == 'en' && 1", TYPES).findings
    assert (finding.code, finding.hint) == ("C011", ONE_CONDITION)
    assert " and " in ONE_CONDITION


def test_a_gate_may_not_take_more_memory_or_time_than_is_set(monkeypatch):
    monkeypatch.setenv("CURATION_GATE_MEMORY", "300")
    for sql in (
        "list_contains(range(1000000000), 5)",
        "list_contains(range(g.words * 100000000), 5)",
        "length(repeat(g.lang, 1000000000)) > 5",
    ):
        (finding,) = refusal(sql, TYPES).findings
        assert finding.code == "C057"
        assert "300 MB" in finding.message
    Gate.parse("list_sum(list_transform(g.list, lambda x: x + 1)) > 3").check(TYPES)
    monkeypatch.setenv("CURATION_GATE_SECONDS", "1")
    (finding,) = refusal("list_reduce(range(1000000), lambda x, y: (x + y) % 7) > 3", TYPES).findings
    assert (finding.code, "1 s" in finding.message) == ("C057", True)


def test_limits_that_are_no_numbers_are_a_finding(monkeypatch):
    monkeypatch.setenv("CURATION_GATE_SECONDS", "soon")
    assert refusal("g.pass", TYPES).findings[0].code == "C004"


def test_constants_of_expressions_whose_columns_are_not_known_are_computed(monkeypatch):
    monkeypatch.setenv("CURATION_GATE_MEMORY", "300")
    for sql, code in (("'x'::int = a", "C056"), ("length(repeat('x', 900000000)) > b", "C057")):
        with pytest.raises(GateError) as caught:
            Gate.parse(sql).check_constants()
        assert [finding.code for finding in caught.value.findings] == [code]
    Gate.parse("text like '%x%' and try('x'::int) is null and a > abs(-3)").check_constants()


@pytest.mark.parametrize(
    "sql",
    [
        "language.lang IN (NULL)",
        "language.lang NOT IN ('a', NULL)",
        "NOT language.lang IN ('a', NULL)",
        "gopher.words BETWEEN NULL AND 5",
        "gopher.words NOT BETWEEN NULL AND NULL",
        "language.lang NOT LIKE NULL",
        "language.lang = NULL OR gopher.words < NULL",
        "gopher.words BETWEEN 10 AND 5",
        "NOT (gopher.words >= -9223372036854775808)",
        "gopher.words = 10 / 4.0",
    ],
)
def test_what_holds_for_no_document_is_refused(sql):
    (finding,) = refusal(sql).findings
    assert finding.code == "C056"
    assert f"'{sql}' holds for no document" in finding.message


@pytest.mark.parametrize(
    "sql",
    ["gopher.pass OR language.lang = NULL", "coalesce(language.lang = NULL, true)", "NOT (gopher.pass AND 1 = NULL)"],
)
def test_a_comparison_with_null_within_a_gate_is_told_as_what_it_is(sql):
    (finding,) = refusal(sql).findings
    assert finding.code == "C056"
    assert "compares with NULL" in finding.message


@pytest.mark.parametrize(
    "sql",
    ["language.lang IN ('a', NULL)", "gopher.words NOT BETWEEN NULL AND 5", "language.lang IS DISTINCT FROM NULL"],
)
def test_null_where_it_decides_nothing_is_let_be(sql):
    Gate.parse(sql).check(FIELDS)


@pytest.mark.parametrize(
    "sql",
    [
        "NOT language.lang",
        "language.lang OR gopher.pass",
        "NOT (gopher.pass AND language.lang)",
        "NOT lower(language.lang)",
        "CASE WHEN language.lang THEN true ELSE false END",
    ],
)
def test_a_text_is_no_condition_wherever_it_stands(sql):
    (finding,) = refusal(sql).findings
    assert finding.code == "C011"
    assert "is a VARCHAR, not a condition" in finding.message
    assert "= 'en'" in finding.hint


@pytest.mark.parametrize(
    ("sql", "threshold"),
    [
        ("NOT gopher.words < 50", 50.0),
        ("NOT NOT gopher.words >= 50", 50.0),
        ("gopher.words >= 10 * 5", 50.0),
        ("gopher.words >= 50::FLOAT", 50.0),
        ("abs(-50) <= gopher.words", 50.0),
        ("gopher.words BETWEEN 7 * 7 AND 100", 49.0),
    ],
)
def test_a_threshold_is_known_however_it_is_written(sql, threshold):
    drops = Gate.parse(sql).evaluate({"gopher": struct(words=[3])}).drops.to_pylist()
    assert [(drop["score"], drop["threshold"]) for drop in drops] == [(3.0, threshold)]


@pytest.mark.parametrize(
    "sql",
    [
        "gopher.words::BLOB = 'x'",
        "gopher.words::DATE > '2020-01-01'",
        "gopher.pass::UUID IS NOT NULL",
        "CAST(language.prob AS TIMESTAMP) IS NULL",
        "gopher.words > 3 AND language.prob::INTERVAL > INTERVAL 1 DAY",
        "printf('%d', language.lang) = '3'",
        "format('{:d}', language.prob) = '3'",
        "format('{}-{}', gopher.words) = '3-4'",
    ],
)
def test_what_no_value_of_a_type_survives_is_refused(sql):
    """DuckDB binds it, and computes it of NULL: it would fail each document."""
    (finding,) = refusal(sql).findings
    assert finding.code == "C056"


@pytest.mark.parametrize("sql", ["TRY_CAST(gopher.words AS BLOB) IS NULL", "language.lang::DATE > '2020-01-01'"])
def test_a_cast_that_may_work_is_not_refused(sql):
    Gate.parse(sql).check(FIELDS)
