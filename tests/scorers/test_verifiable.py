"""Final numbers, letters and texts are found and compared; gsm8k's own answers pass, shifted ones do not."""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from curation.scorers.base import Context
from curation.scorers.verifiable import NOT_SAMPLES, Verifiable, VerifiableSettings, _choice, _number
from pipelines.workspace import Workspace
from schemas.documents import TEXT

GSM8K = Path(__file__).parents[2].parent / "shared" / "data" / "gsm8k_test.parquet"


def checked(pairs: list[tuple[str, str]], **settings: Any) -> list[dict[str, Any]]:
    settings = settings if "samples" in settings else {"response": "response", **settings}
    scorer = Verifiable(VerifiableSettings(**settings), Context(Path()))
    batch = pa.record_batch({n: pa.array([p[i] for p in pairs], TEXT) for i, n in enumerate(scorer.reads)})
    return scorer.score(batch).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("reference", "response", "passes"),
    [
        ("#### 72", "48 / 2 = 24, and 48 + 24 = 72.", True),
        ("#### 1,000", "So it costs $1000.00 in all.", True),
        ("#### 1000", "The answer is 1,000 dollars, not 999.", True),
        ("#### -5", "x = −5", True),
        ("#### 0.5", r"\boxed{1/2}", True),
        ("3/4", "0.75", True),
        ("1/3", "0.3333333333", True),
        ("#### 50", "That is 50%.", True),
        ("#### 0", "-0", True),
        ("#### 72", "#### 73 (72 would be wrong)", False),
        ("#### 72", "seventy-two", False),
        ("#### 7", "The answer is 70.", False),
        ("5", "5/0", False),
    ],
)
def test_final_numbers(reference: str, response: str, passes: bool) -> None:
    [row] = checked([(reference, response)])
    assert (row["pass_rate"], row["passed"], row["samples"]) == (float(passes), int(passes), 1)


@pytest.mark.parametrize(
    ("match", "reference", "response", "passes"),
    [
        ("choice", "B", "The answer is (B) because of A.", True),
        ("choice", "b", "B", False),  # a lone small letter is a word
        ("choice", "C", "It cannot be A, so it must be C.", True),
        ("choice", "C", "None of them", False),
        ("exact", "Paris.", "  paris ", True),
        ("exact", "Paris", "In Paris", False),
    ],
)
def test_choices_and_texts(match: str, reference: str, response: str, passes: bool) -> None:
    [row] = checked([(reference, response)], match=match)
    assert row.get("pass_rate") == (float(passes) if reference != "b" else None)


NUMBERS = [
    ("48 / 2 = 24, and 48 + 24 = 72.", "72"), ("So it costs $1000.00 in all.", "1000"),
    ("The answer is 1,000 dollars, not 999.", "1000"), ("x = −5", "-5"), (r"\boxed{1/2}", "0.5"),
    ("That is 50%.", "50"), ("-0", "0"), ("#### 73 (72 would be wrong)", "73"), ("seventy-two", None),
    ("The answer is 70.", "70"), ("5/0", None), ("3-5", None), ("3–5", None), ("The answer is 3-5.", None),
    ("The answer is 3 to 5", None), ("between 3 and 5", None), (r"\boxed{\frac{1}{2}}", "0.5"),
    (r"\boxed{\frac{3}{2}}", "1.5"), (r"\boxed{-\dfrac{3}{4}}", "-0.75"), (r"$\boxed{\tfrac12}$", "0.5"),
    (r"\boxed{2\frac{1}{2}}", "2.5"), ("1 1/2", "1.5"), ("-1 1/2", "-1.5"), ("1,000,000", "1000000"),
    ("1.000,5", None), ("1,5", None), ("1.000.000", None), ("1e3", "1000"), ("1.5 × 10^6", "1500000"),
    (r"\boxed{1.5 \times 10^{6}}", "1500000"), ("2^10", "1024"), ("9^9^9^9", None), ("9**9**9**9", None),
    (r"\boxed{9^{9^{9^9}}}", None), ("(1, 2)", None), (r"\boxed{(1,2)}", None), ("[0, 1)", None), ("(0,1]", None),
    ("5x", None), (r"\boxed{5x}", None), (r"\boxed{2\sqrt{3}}", None), (r"2\sqrt{3}", None), (r"\frac{\pi}{2}", None),
    (r"\boxed{90^\circ}", "90"), ("90°", "90"), (r"\boxed{90^{\circ}}", "90"), (r"\boxed{5\text{ cm}}", "5"),
    (r"\boxed{5 \text{ cm}^2}", "5"), (r"\boxed{50\%}", "50"), (r"\boxed{\$5.50}", "5.5"), ("**42**", "42"),
    ("The answer is **42**.", "42"), ("**Answer:** 42", "42"), ("Answer:\n42", "42"),
    (r"The final answer is: $\boxed{42}$. I hope it is correct.", "42"), ("5:30", None), ("3:5", None),
    ("1/2/2020", None), ("2020-05-03", None), ("1.2.3", None), ("H2O", None), ("v2", None), ("5th", None),
    ("5 million", "5000000"), ("1.5 million dollars", "1500000"), ("2 dozen", None), ("5 and a half", None),
    ("2 hours and 30 minutes", None), ("5 feet 6 inches", None), ("3 out of 8", None), ("not 5", None),
    ("less than 5", None), ("x > 5", None), (r"\boxed{x = 5}", "5"), (r"\boxed{x = 3, y = 5}", None),
    (r"\boxed{x=5 \text{ or } x=6}", None), (r"\boxed{\pm 5}", None), ("minus 5", "-5"), ("negative 5", "-5"),
    ("7 minus 5", None), ("3 - 5 = -2", "-2"), ("5 - 3", None), ("$-5$", "-5"), ("-$5", "-5"), ("(-5)", "-5"),
    ("1000000007", "1000000007"), ("#### Step 3: add", None), ("#### 3. Compute the sum", None), ("1/3", "1/3"),
    ("0.333...", None), ("½", "0.5"), ("2½", "2.5"), ("5²", "25"), ("5 m²", "5"), ("0x1F", None), ("1{,}000", "1000"),
    ("1\u202f000", "1000"), (r"1\,000", "1000"), ("The answer is 5 because 2+3 = 5", "5"),
    ("The answer is x = 5", "5"), ("The answer to the question is 12.", "12"), ("She has 5 apples left.", "5"),
    ("5 apples cost $10.", "10"), ("€5", "5"), ("5 €", "5"), ("5€", "5"), ("$5-$10", None), ("$5 - $10", None),
    ("The answer is 3 - 5", None), ("  -7  ", "-7"), ("+7", "7"), (".5", "0.5"), ("3.", "3"), ("10 km/h", "10"),
    ("60 mph", "60"), ("5kg", "5"), ("2x10^3", None), ("101_2", None), ("5!", None), ("The answer is 5!", "5"),
    ("a 3 × 5 card", None), (r"\boxed{3 \cdot 5}", "15"), ("1 000", None), ("12 345", None),
    ("The price is $12.50 per book.", "12.5"), ("５", "5"), ("٥", None), ("1\u200b2", None), ("12,34", None),
    ("0,5", None), ("1,0000", None), (r"The answer is -\frac{3}{4}.", "-0.75"), ("Answer: 3/4 cup", "0.75"),
    ("the total is 3 * 1/2", None), ("1e999", None), ("((((5))))", "5"),
    ("((((((((((((((((((((((((((((((((((((((((((((((((((5))))))))))))))))))))))))))))))))))))))))))))))))))", None),
    ("C(5,2)", None), ("f(3)", None), ("f(3) = 7", "7"), ("5'", "5"), ("The answer is approximately 3.14", "3.14"),
    ("x ≈ 3.14", "3.14"), ("3/4/5", None), (r"The answer is $\frac{1}{2}$.", "0.5"), ("A total of 12 eggs", "12"),
    ("The answer is a total of 12 eggs", "12"), ("The answer is equal to 12", "12"), ("5 (five)", "5"),
    ("5, 6", None), ("3, 4, and 5", None), ("{1, 2}", None), (r"\{1,2\}", None), ("3 ≤ 5", None), (r"3 \le 5", None),
    ("5%", "5"), ("10%–20%", None), ("−3/4", "-0.75"), ("3/−4", "-0.75"), ("$ 5", "5"), ("5.0", "5"),
    ("5 × 3 = 15", "15"), ("USD 5", "5"), ("US$5", "5"), ("- 5", None), (r"\boxed{- 5}", "-5"), ("555-1234", None),
    ("mid-1990", None), ("1990s", None), ("20-year-old", None), ("2.5e-3", "0.0025"), ("2.5E+3", "2500"),
    ("5 more than x", None), (r"\boxed{12 \text{ inches}}", "12"), (r"\boxed{\text{12}}", "12"),
    (r"\boxed{\mathbf{12}}", "12"), (r"\boxed{12\ \mathrm{m/s}^2}", "12"), (r"\boxed{12 apples and 3 pears}", None),
    (r"\boxed{12 \mod 5}", None), (r"\(12\)", "12"), (r"\[x = 12\]", "12"),
    ("<think>3 + 4</think>\n<answer>7</answer>", "7"), ("The answer is <b>12</b>.", "12"), ("12<br>", "12"),
    ("<answer>3-5</answer>", None), ("H<sub>2</sub>O", None), ("12<sup>2</sup>", None), ("3<br>5", None),
    ('{"answer": 12}', "12"), ("{3, 12}", None), (r"\sqrt{a+12}", None), ("f{12}", None),
    ("答案是12。", "12"), ("答案：-3/4。", "-0.75"), ("小明有3个苹果，小红有5个，共8个。", "8"),
    ("答えは12です。", "12"), ("정답은 12입니다.", "12"), ("等于12", "12"), ("大于12", None), ("12万", None),
    ("第12", None), ("负12", None), ("12至15", None), ("12个半", None), ("3小时20分钟", None), ("12以上", None),
    ("12만", None), ("12。34", "34"),
]  # fmt: skip
"""What an answer is read as; None: it cannot be read whole, so it is none."""


@pytest.mark.parametrize(("text", "number"), NUMBERS)
def test_a_number_is_read_whole_or_not_at_all(text: str, number: str | None) -> None:
    [row] = checked([("0", text)])
    assert row["found"] == number
    [row] = checked([(text, number or "0")])
    assert row.get("pass_rate") == (1.0 if number else None), "as a reference it is the same number"


CHOICES = [
    ("The answer is (B) because of A.", "B"), ("b", None), ("B", "B"), ("It cannot be A, so it must be C.", "C"),
    ("None of them", None), ("**B**", "B"), (r"\boxed{B}", "B"), ("(d)", "D"), ("The answer is (d).", "D"),
    ("A dog is an animal.", None), ("I think it is a cat.", None), ("I think the answer is B", "B"),
    ("The answer is A.", "A"), ("The answer is I.", "I"), ("The answer is a dog.", None),
    ("The answer is A dog", None), ("Answer: B) Paris", "B"), ("Answer: **C**", "C"), ("**Answer: C**", "C"),
    (r"\boxed{\text{C}}", "C"), (r"\boxed{\textbf{(C)}}", "C"), (r"\boxed{(C) 12}", "C"), (r"\boxed{A, B}", None),
    ("A or B", None), ("The answer is A or B", None), ("The answer is not A.", None),
    ("The answer is B, not A.", "B"), ("It must be B, not C.", "B"), ("A) Paris\nB) Rome\nC) Oslo", None),
    ("A) Paris\nB) Rome\nC) Oslo\n\nThe answer is B", "B"), ("A) Paris\nB) Rome\n\nB", "B"),
    ("The correct option is D", "D"), ("Option C is correct", "C"), ("A is correct", "A"), ("B.", "B"),
    ("B. Rome", "B"), ("(B) Rome", "B"), ("[B]", "B"), ("`B`", "B"), ("So I choose option E.", "E"),
    ("Therefore, B.", "B"), ("The correct answer is:\n\nD", "D"), ("Answer: d", "D"), ("Answer: A", "A"),
    ("Answer: I do not know", None), ("Final Answer: (A) and (B)", None), ("answer is both A and B", None),
    ("A", "A"), ("I", "I"), ("I'm not sure.", None), ("Vitamin C helps.", None), ('"B"', "B"), ("'B'", "B"),
    ("U.S.A.", None), ("C++", None), ("A+", None), ("a", None), ("(a)", "A"), ("a)", "A"), ("The answer is b)", "B"),
    ("The answer is option (c)", "C"), ("The answer must be **(A)**.", "A"), (r"$\boxed{\mathrm{D}}$", "D"),
    ("The answer is C: Paris", "C"), ("The answer is C - Paris", "C"), ("It's B", "B"),
    ("B is wrong, so A is right", "A"), ("Answer: E=mc2", None), ("Choice I", "I"), ("A. I think so", "A"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "letter"), CHOICES)
def test_a_letter_is_one_that_is_meant(text: str, letter: str | None) -> None:
    [row] = checked([("(A)", text)], match="choice")
    assert (row["expected"], row["found"]) == ("A", letter)


@pytest.mark.long
def test_of_planted_answers_no_two_different_ones_are_equal() -> None:
    """Each pair, both ways round: equal where the values are, and nowhere else."""
    values: dict[str, Fraction] = {text: Fraction(number) for text, number in NUMBERS[::3] if number is not None}
    values |= {str(n): Fraction(n) for n in (10**9 + 6, 10**9 + 7, 10**40, 10**40 + 1, 2**64, 2**64 + 1)}
    values |= {f"\\boxed{{\\frac{{{a}}}{{{b}}}}}": Fraction(a, b) for a in range(-4, 5) for b in range(1, 6)}
    values |= {
        "0.1": Fraction(1, 10),
        "0.10000000001": Fraction("0.10000000001"),
        "1000000000.3": Fraction("1000000000.3"),
    }
    texts = list(values)
    pairs = [(one, other) for one in texts for other in texts]
    passed = [row["pass_rate"] == 1 for row in checked(pairs)]
    assert passed == [values[one] == values[other] for one, other in pairs]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1/3", "0.333333333", True),
        ("2/3", "0.6666666667", True),
        ("2/3", "0.6666666666", True),
        ("1/3", "0.33", False),
        ("1/3", "0.3333333334", True),
        ("1/3", "0.3333333336", False),
        (r"\frac{3000000001}{3}", "1000000000", False),
        (r"\frac{3000000001}{3}", "1000000000.3", True),
        ("1000000007", "1000000006", False),
        ("1000000007.5", "1000000007.4", False),
        ("12345678901234567890", "12345678901234567891", False),
    ],
)
def test_only_a_quotient_without_an_end_equals_what_was_cut_from_it(one: str, other: str, equal: bool) -> None:
    rows = checked([(one, other), (other, one)])
    assert [row["pass_rate"] for row in rows] == [float(equal)] * 2


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("(0, 1)", "[0, 1]", False), (".5", "5", False), ("5!", "5", False), ("-5", "5", False),
        ("Paris.", '"paris"', True), ("**Paris**", "Paris", True), ("(Paris)", "paris!", True),
        ("`x`", "x", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("A+", "A", False), ("(a)(b)", "a)(b", False), ("Paris, France", "Paris", False),
    ],
)  # fmt: skip
def test_texts_lose_at_their_ends_only_what_says_nothing(one: str, other: str, equal: bool) -> None:
    rows = checked([(one, other), (other, one)], match="exact")
    assert [row["pass_rate"] for row in rows] == [float(equal)] * 2


HOSTILE = [
    "\n", " ", "\t", "{", "}", "\\", "$", "9", "9,", "9^", "9**", "(", "*", "-", "1/", "1 ", "\\boxed", "\\boxed{",
    "\\frac{",
    "\\text{", "####", "#### 1", "answer", "answer is ", "answer to a ",
    "answer: \n", ":", "= ", "A ", "(A)", "A, ", "½", "⁰",
    "\u200b", "\x00", "\u2028",
]  # fmt: skip


@pytest.mark.parametrize("match", ["number", "choice", "exact"])
@pytest.mark.parametrize("piece", HOSTILE)
def test_no_text_takes_more_than_its_length_asks_for(piece: str, match: Any) -> None:
    """Twenty thousand lines' ends took 6 s."""
    text = piece * (20_000 // len(piece))
    begun = time.process_time()
    checked([("1", text), ("1", f"5{text}5"), (text, "1")], match=match)
    assert time.process_time() - begun < 1.5


@pytest.mark.parametrize(
    "text",
    ["9^9^9^9", r"\boxed{9^{9^{9^9}}}", "1e999", "9" * 5_000, "(" * 500 + "5" + ")" * 500, "10^99999"],
)
def test_what_would_not_end_is_no_answer(text: str) -> None:
    [row] = checked([("5", text)])
    assert row["found"] is None


def test_a_marker_says_where_the_answer_stands() -> None:
    rows = checked([("Answer= 4", "2 + 2. Answer= 4 (not 5)"), ("Answer= 4", "2 + 2 = 4")], marker="Answer=")
    assert [row["pass_rate"] for row in rows] == [1.0, 0.0]
    assert rows[1]["found"] is None


def test_samples_have_a_rate_and_what_is_none_has_a_status() -> None:
    many = json.dumps(["It is 4.", "5", "#### 4.0", "no idea"])
    rows = checked(
        [("4", many), ("", many), ("4", ""), ("no number", many), ("4", "[1]"), ("4", "{"), ("4", "[]")],
        samples="responses",
    )
    assert rows[0]["pass_rate"] == 0.5
    assert (rows[0]["passed"], rows[0]["samples"], rows[0]["expected"], rows[0]["found"]) == (2, 4, "4", "4")
    assert [row["status"] for row in rows] == ["ok", "empty", "empty", "empty", "error", "error", "empty"]
    assert [row["message"] for row in rows][4:6] == [NOT_SAMPLES] * 2
    assert all(row["pass_rate"] is None for row in rows[1:])


@pytest.mark.parametrize("match", ["exact", "number", "choice"])
def test_half_a_surrogate_pair_in_a_sample_spoils_no_other_row(match: Any) -> None:
    pairs = [("B", r'["B \ud800"]'), ("5", r'["5"]'), ("B", r'["B"]')]
    rows = checked(pairs, samples="samples", match=match)
    rates = {"exact": [0.0, 1.0, 1.0], "number": [None, 1.0, None], "choice": [1.0, None, 1.0]}
    assert [row.get("pass_rate") for row in rows] == rates[match]


def test_settings_that_say_too_little_or_too_much_are_refused() -> None:
    for settings in ({}, {"response": "a", "samples": "b"}):
        with pytest.raises(ValidationError, match="either response"):
            VerifiableSettings(**settings)
    with pytest.raises(ValueError, match="one column"):
        Verifiable(VerifiableSettings(reference="a", response="a"), Context(Path()))


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_lists_are_read_as_they_come(kind: str, tmp_path: Path) -> None:
    """A column of lists of texts is a column of samples, and is written as it was."""
    rows = [{"text": f"{n} + {n}?", "answer": str(2 * n), "said": [str(2 * n), "7"]} for n in range(4)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    else:
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "name": "sums",
        "input": {"path": str(tmp_path / f"in.{kind}"), "columns": {"answer": "answer", "said": "said"}},
        "stages": [{"scorer": "verifiable", "samples": "said", "keep": "verifiable.pass_rate < 1"}],
    }
    result = Workspace(tmp_path / "ws").run(recipe, executor="local")
    assert result.outcome == "done", result.failures
    table = pq.read_table(next(result.folder.glob("data/*.parquet")))
    said = table.column("said").to_pylist()
    assert [json.loads(row) if isinstance(row, str) else row for row in said] == [row["said"] for row in rows]


@pytest.mark.skipif(not GSM8K.is_file(), reason="shared/data is not there")
def test_every_worked_solution_of_gsm8k_reaches_its_own_answer_and_no_other() -> None:
    answers = pq.read_table(GSM8K).column("answer").to_pylist()
    finals = [answer.rpartition("####")[2].strip() for answer in answers]
    own = checked(list(zip(finals, answers, strict=True)))
    assert np.mean([row["pass_rate"] for row in own]) == 1
    other = checked(list(zip(finals, [*answers[1:], answers[0]], strict=True)))
    same = [a.replace(",", "") == b.replace(",", "") for a, b in zip(finals, [*finals[1:], finals[0]], strict=True)]
    assert [row["pass_rate"] == 1 for row in other] == same


@pytest.mark.parametrize(
    "said",
    [
        "x=1 or x=3",
        "x=5, y=3",
        "5; 3",
        "(-\\infty, 3)",
        "(3, \\infty)",
        "(3, x)",
        "log 3",
        "sin 3",
        "The answer is log 3",
        "The answer isn't 3",
        "The answer wasn’t 3",
        "-\\boxed{3}",
        "2\\boxed{3}",
        "\\sqrt{\\boxed{3}}",
        "\\boxed{3}^2",
        "\\boxed{3}!",
        "\\boxed{3}\\pi",
    ],
)
def test_a_number_that_is_part_of_something_else_is_no_answer(said):
    assert _number(said, marked=False) is None


@pytest.mark.parametrize(
    "said",
    [
        "x = 5, so y = 3",
        "5 + 5 = 10, 10 - 7 = 3",
        "3\u200b",
        "so (in all, 3)",
        "$x = \\boxed{3}$",
        "**\\boxed{3}**",
        "answer=3",
    ],
)
def test_a_number_is_read_though_something_stands_beside_it(said):
    assert _number(said, marked=False) == "3"


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("It isn’t A", None),
        ("It can't be A", None),
        ("The answer isn't A, it is B.", "B"),
        ("The answer is I and II", None),
        ("The answer is vitamin C", None),
        ("Plan B is best", None),
        ("The answer is option b", "B"),
        ("Ｂ", "B"),
        ("B\u200b", "B"),
        ("答案是B", "B"),
        ("答案：Ｃ。", "C"),
    ],
)
def test_letters_beside_words_and_signs(said, letter):
    assert _choice(said, marked=False) == letter
