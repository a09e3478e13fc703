"""What a gate says of documents: verdicts, reasons with the values that decided, faults, limits."""

import json
import sys
import threading
import time

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from gate_columns import struct
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.gates import DROPS, ERRORED, PASSED, UNKNOWN, Gate
from curation.gates.database import limited
from schemas.errors import CurationError


def test_dropped_documents_say_why_at_what_score_and_threshold():
    gate = Gate.parse("language.lang = 'en' and language.prob > 0.5")
    verdicts = gate.evaluate(
        {"language": struct(lang=["en", "de", "en", "en", None, None], prob=[0.75, 0.25, 0.25, None, 0.75, 0.25])}
    )
    assert verdicts.passed.tolist() == [True, False, False, False, False, False]
    assert verdicts.failed.tolist() == [PASSED, 0, 1, UNKNOWN, UNKNOWN, 1]
    assert verdicts.failed.dtype == np.int16
    assert not verdicts.errored.any()
    assert verdicts.error is None
    assert verdicts.drops.schema == DROPS
    assert verdicts.drops.to_pylist() == [
        {
            "row": 1,
            "reason": "language.lang = 'en' is false: 'de'",
            "score": None,
            "threshold": None,
            "details": '{"language.lang":"de"}',
        },
        {
            "row": 2,
            "reason": "language.prob > 0.5 is false: 0.25",
            "score": 0.25,
            "threshold": 0.5,
            "details": '{"language.prob":0.25}',
        },
        {
            "row": 3,
            "reason": "unknown",
            "score": None,
            "threshold": None,
            "details": '{"language.lang":"en","language.prob":null}',
        },
        {
            "row": 4,
            "reason": "unknown",
            "score": None,
            "threshold": None,
            "details": '{"language.lang":null,"language.prob":0.75}',
        },
        {
            "row": 5,
            "reason": "language.prob > 0.5 is false: 0.25",
            "score": 0.25,
            "threshold": 0.5,
            "details": '{"language.prob":0.25}',
        },
    ]


def test_a_stages_own_verdict_gives_its_own_reason():
    stage = struct(**{"pass": [True, False, False, None], "reason": [None, "too_short", None, None]})
    drops = Gate.parse("gopher.pass").evaluate({"gopher": stage}).drops
    assert drops["reason"].to_pylist() == ["too_short", "gopher.pass is false", "unknown"]
    drops = Gate.parse("gopher.pass = true").evaluate({"gopher": stage}).drops
    assert drops["reason"].to_pylist() == ["gopher.pass = true is false: false"] * 2 + ["unknown"]


def test_a_failing_cast_costs_only_its_own_rows_and_leaks_no_value():
    gate = Gate.parse("a.kind = 'n' and a.value::int > 3")
    stage = struct(kind=["n", "n", "s", "n", None], value=["5", "secret", "secret", "1", "secret"])
    verdicts = gate.evaluate({"a": stage})
    assert verdicts.failed.tolist() == [PASSED, ERRORED, 0, 1, ERRORED]
    assert verdicts.errored.tolist() == [False, True, False, False, True]
    assert "secret" not in verdicts.error
    assert verdicts.drops["row"].to_pylist() == [2, 3]
    # The same for each row alone as among its neighbours.
    alone = [int(gate.evaluate({"a": stage.slice(row, 1)}).failed[0]) for row in range(len(stage))]
    assert alone == verdicts.failed.tolist()


def test_only_the_stages_that_a_gate_reads_are_touched():
    class Untouchable:
        def __getattr__(self, name):
            raise AssertionError(name)

    verdicts = Gate.parse("a.x > 1").evaluate({"a": struct(x=[1, 2]), "b": Untouchable()})
    assert verdicts.passed.tolist() == [False, True]


def test_null_structs_slices_half_floats_and_missing_status_are_read_right():
    stage = pa.StructArray.from_arrays(
        [pa.array([1, 2, 3, 4]), pa.array(np.array([1, 2, 3, 4], np.float16))],
        names=["x", "h"],
        mask=pa.array([False, False, True, False]),
    ).slice(1)
    gate = Gate.parse("a.x > 1 and a.h < 4 and a.status = 'ok'")
    gate.check({"a": list(stage.type)})
    assert gate.evaluate({"a": stage}).failed.tolist() == [PASSED, UNKNOWN, 1]


@pytest.mark.parametrize("stage", ["failed", "details", "batch", "gate_batch", "select", "a"])
def test_any_stage_id_and_any_case_work(stage):
    gate = Gate.parse(f'"{stage}".x > 1 and "{stage.upper()}".X < 3')
    gate.check({stage: [pa.field("x", pa.int64())]})
    verdicts = gate.evaluate({stage: struct(x=[1, 2, 3])})
    assert verdicts.failed.tolist() == [0, PASSED, 1]
    assert verdicts.drops["score"].to_pylist() == [1.0, 3.0]


def test_no_rows_and_constant_gates():
    assert Gate.parse("a.x > 1").evaluate({"a": struct(x=pa.array([], pa.int64()))}).drops.num_rows == 0
    verdicts = Gate.parse("1 > 2").evaluate({"a": struct(x=[1, 2])})
    assert verdicts.failed.tolist() == [0, 0]
    assert verdicts.drops["details"].to_pylist() == [None, None]


def test_details_are_json_whatever_the_values():
    stage = struct(x=[float("nan"), float("-inf"), None, 0.5], s=['"\n', "é", None, "\\"], l=[[1.5], [], None, [2.0]])
    drops = Gate.parse("a.x > 1 and a.s = 'x' and a.l = []").evaluate({"a": stage}).drops
    for text in drops["details"].to_pylist():
        json.loads(text, parse_constant=lambda word: pytest.fail(word))


def test_threads_have_their_own_connections():
    gate = Gate.parse("a.x > 0.5")
    values = np.linspace(0, 1, 5000)
    results = []

    def work():
        results.extend(int(gate.evaluate({"a": struct(x=values)}).passed.sum()) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [int((values > 0.5).sum())] * 20


atoms = st.sampled_from(
    [
        "a.p",
        "b.q",
        "a.x > 1",
        "2 >= b.y",
        "a.x BETWEEN 0 AND 2",
        "a.x IS NULL",
        "a.x IN (1, NULL)",
        "b.s = 'it''s and'",
        "b.s LIKE '%and%'",
        "a.x = b.y",
        "CASE WHEN a.p AND b.q THEN a.x > 0 ELSE b.q END",
        "coalesce(a.p, b.q)",
        "list_contains([a.x, b.y], 1)",
        "NULL::boolean",
    ]
)


conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "and", "\n  AND", "/* AND */ AND"]), inner).map(" ".join),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})"),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"NOT ({text})"),
    ),
    max_leaves=8,
)


booleans = st.sampled_from([True, False, None])


integers = st.sampled_from([0, 1, 2, 3, None])


rows = st.lists(
    st.tuples(booleans, integers, booleans, integers, st.sampled_from(["it's and", "and", "", None])),
    min_size=1,
    max_size=30,
)


@pytest.mark.long
@settings(max_examples=150, deadline=None)
@given(conditions, rows)
def test_splitting_changes_nothing(sql, values):
    p, x, q, y, s = (list(column) for column in zip(*values, strict=True))
    structs = {
        "a": struct(p=pa.array(p, pa.bool_()), x=pa.array(x, pa.int64())),
        "b": struct(q=pa.array(q, pa.bool_()), y=pa.array(y, pa.int64()), s=pa.array(s, pa.string())),
    }
    gate = Gate.parse(sql)
    verdicts = gate.evaluate(structs)

    batch = pa.table(structs)
    connection = duckdb.connect()
    connection.register("batch", batch)
    whole = [row[0] for row in connection.sql(f"SELECT ({sql}\n) FROM batch").fetchall()]
    parts = ", ".join(f"({conjunct.sql})" for conjunct in gate.conjuncts)
    each = connection.sql(f"SELECT {parts} FROM batch").fetchall()

    assert verdicts.passed.tolist() == [value is True for value in whole]
    expected = [
        next((index for index, value in enumerate(row) if value is False), UNKNOWN if None in row else PASSED)
        for row in each
    ]
    assert verdicts.failed.tolist() == expected
    assert [(code >= 0, code == UNKNOWN) for code in expected] == [(v is False, v is None) for v in whole]
    assert verdicts.drops["row"].to_pylist() == [row for row, value in enumerate(whole) if value is not True]
    assert Gate.parse(gate.canonical).canonical == gate.canonical


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.text("ax.()'\"-;,*/ \n=", max_size=20))
def test_any_text_is_a_gate_or_a_clean_refusal(text):
    try:
        gate = Gate.parse(text)
    except CurationError:
        return
    assert Gate.parse(gate.canonical).canonical == gate.canonical


def test_a_gate_is_stopped_while_it_decides(monkeypatch):
    monkeypatch.setenv("CURATION_GATE_SECONDS", "0.05")
    gate = Gate.parse(" and ".join(f"md5(md5(md5(a.s || '{n}'))) > ''" for n in range(40)))
    with pytest.raises(CurationError) as caught:
        gate.evaluate({"a": struct(s=["x" * 500] * 10_000)})
    assert caught.value.findings[0].code == "C057"
    monkeypatch.delenv("CURATION_GATE_SECONDS")  # another gate is not to be late, too, on a slow machine
    assert Gate.parse("a.s = 'y'").evaluate({"a": struct(s=["y"])}).passed.tolist() == [True]


def test_a_gate_is_stopped_also_where_its_time_ends_before_it_begins(monkeypatch):
    monkeypatch.setenv("CURATION_GATE_SECONDS", "0.001")  # DuckDB forgets an interrupt that comes before the query

    def late():
        with limited("gate", 1) as connection:
            time.sleep(0.2)
            connection.execute("SELECT sum(i ^ 0.5) FROM range(3000000000) t(i)").fetchall()

    with pytest.raises(CurationError) as caught:
        late()
    assert caught.value.findings[0].code == "C057"


def test_a_gate_of_many_rows_is_the_same_whether_it_is_cut_or_not():
    values = list(range(1000))
    simple = Gate.parse("a.x % 7 = 3").evaluate({"a": struct(x=values)})
    cut = Gate.parse("list_sum(list_transform([a.x % 7], lambda y: y + 0)) = 3").evaluate({"a": struct(x=values)})
    assert simple.failed.tolist() == cut.failed.tolist()
    assert simple.drops["details"].to_pylist() == cut.drops["details"].to_pylist()


@pytest.mark.parametrize(
    ("sql", "reason", "score", "threshold"),
    [
        ("a.x > 5", "a.x > 5 is false: 2", 2.0, 5.0),
        ("5 < a.x", "5 < a.x is false: 2", 2.0, 5.0),
        ("A.X > '5'", "A.X > '5' is false: 2", 2.0, 5.0),
        ("a.x between 3 and 9", "a.x between 3 and 9 is false: 2", 2.0, 3.0),
        ("a.x between 0 and 1", "a.x between 0 and 1 is false: 2", 2.0, 1.0),
        ("a.f >= 0.75", "a.f >= 0.75 is false: 0.7", 0.699999988079071, 0.75),
        ("a.s = 'it''s'", "a.s = 'it''s' is false: 'de'", None, None),
        ("a.s like 'e%' and a.x > 5", "a.s like 'e%' is false: 'de'", None, None),
        ("a.x > 5 or a.s = 'en'", "a.x > 5 or a.s = 'en' is false: a.x = 2, a.s = 'de'", None, None),
        ("a.x > 5 or a.n > 1 is true", "a.x > 5 or a.n > 1 is true is false: a.x = 2, a.n = NULL", None, None),
        ("not a.p", "not a.p is false: true", None, None),
        ("a.l = []", "a.l = [] is false: [1, 2]", None, None),
        ("a.long = ''", f"a.long = '' is false: '{'x' * 60}…'", None, None),
        ("1 > 2", "1 > 2 is false", None, None),
        ("a.n > 1", "unknown", None, None),
        ("a.s = '{}'", "a.s = '{}' is false: 'de'", None, None),
    ],
)
def test_reasons_are_true_as_read_with_the_values_that_decided(sql, reason, score, threshold):
    stage = struct(
        x=[2], f=pa.array([0.7], pa.float32()), s=["de"], n=pa.array([None], pa.int64()), p=[True], l=[[1, 2]],
        long=["x" * 100],
    )  # fmt: skip
    (row,) = Gate.parse(sql).evaluate({"a": stage}).drops.to_pylist()
    assert (row["reason"], row["score"], row["threshold"]) == (reason, score, threshold)


def test_a_fault_that_try_does_not_hold_is_an_error_of_the_documents_and_no_crash():
    verdicts = Gate.parse("a.s like 'a' escape 'xx'").evaluate({"a": struct(s=["a", None])})
    assert verdicts.errored.any()
    assert "Syntax Error" in verdicts.error


def test_a_process_that_cannot_begin_is_no_fault_of_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate.parse("replace(a.lang, 'x', 'y') = 'z'")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="the process that tries gates ended with 1"):
        gate.check({"a": [pa.field("lang", pa.string())]})
