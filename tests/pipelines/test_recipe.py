"""A recipe is either loaded whole, or refused with everything that is wrong with it, each at its line."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from curation import registry
from curation.models.locate import ModelError
from curation.scorers.base import Scorer, Settings
from pipelines.recipe import load as recipe
from pipelines.recipe.schema import json_schema
from schemas.errors import CurationError
from schemas.manifest import DECISION, DOCUMENT, RESERVED
from schemas.recipe import FAMILIES


class SizedSettings(Settings):
    minimum: Annotated[int, Field(ge=0)] = 0
    ratio: float | None = None
    mode: Literal["fast", "slow"] = "fast"
    words: tuple[str, ...] = ()


class Sized(Scorer):
    """Length of a text."""

    kind = "sized"
    Settings = SizedSettings

    @property
    def fields(self):
        return [pa.field("length", pa.int64()), pa.field("lang", pa.string())]

    def score(self, batch):
        lengths = pa.array([len(text.as_py()) for text in batch["text"]], pa.int64())
        return pa.RecordBatch.from_arrays([lengths, pa.nulls(len(lengths), pa.string())], schema=pa.schema(self.fields))


class Picky(Sized):
    kind = "picky"

    def __init__(self, given, context):
        if given.minimum == 1:
            error = ValueError("minimum 1 is refused")
            error.hint = "use 2"
            raise error
        if given.minimum == 3:
            raise ModelError("weights are a pickle", "use package:")
        super().__init__(given, context)


class RankedSettings(Settings):
    by: str


class Ranked(Sized):
    kind = "ranked"
    Settings = RankedSettings

    @property
    def columns(self):
        return (self.settings.by,)

    @property
    def fields(self):
        return [pa.field("selected", pa.bool_())]


KINDS = {
    "scorer": {"sized": Sized, "picky": Picky, "two-words": Sized},
    "transform": {},
    "dedup": {},
    "select": {"ranked": Ranked},
}


@pytest.fixture(autouse=True)
def _kinds(monkeypatch):
    monkeypatch.setattr(registry, "find", lambda family, kind: KINDS[family][kind])
    monkeypatch.setattr(registry, "kinds", lambda family: sorted(KINDS[family]))


HEAD = "name: web\ninput: {path: crawl/*.parquet}\n"


def findings(text, **options):
    with pytest.raises(CurationError) as caught:
        recipe.parse(text, **options)
    return caught.value.findings


def only(text, **options):
    (finding,) = findings(text, **options)
    return finding


def test_a_good_recipe_is_typed_built_and_bound(tmp_path):
    path = tmp_path / "web.yaml"
    path.write_text(
        HEAD
        + "stages:\n"
        + "  - scorer: two-words\n    words: [a, b]\n    ratio: 1\n"
        + "  - scorer: sized\n    id: s\n    keep: s.length > 3 and two_words.lang = 'en' and s.status = 'ok'\n"
        + "  - select: ranked\n    by: s.length\n"
        + "output:\n  columns: [text, s.length, s.status, other.column]\n",
        encoding="utf-8",
    )
    loaded = recipe.load(path)
    assert [(s.family, s.kind, s.id) for s in loaded.recipe.stages] == [
        ("scorer", "two-words", "two_words"),
        ("scorer", "sized", "s"),
        ("select", "ranked", "ranked"),
    ]
    assert loaded.stages[0].settings == SizedSettings(words=("a", "b"), ratio=1.0)
    assert loaded.stages[0].context.recipe_dir == tmp_path.resolve()
    assert [gate and gate.columns for gate in loaded.gates] == [None, ("s.length", "two_words.lang", "s.status"), None]
    assert loaded.line("stages", 1, "keep") == 9
    assert loaded.line("stages", 2) == 10
    assert loaded.line("nothing") is None
    assert loaded.base == tmp_path.resolve()


def test_a_mapping_is_a_recipe_too_and_is_left_alone():
    given_recipe = {"name": "web", "input": {"path": "x"}, "stages": [{"scorer": "sized", "keep": "sized.length > 1"}]}
    loaded = recipe.parse(given_recipe, overrides={"stages.sized.keep": "sized.length > 2"})
    assert loaded.gates[0].sql == "sized.length > 2"
    assert given_recipe["stages"][0]["keep"] == "sized.length > 1"
    assert loaded.line("stages", 0, "keep") is None
    finding = only({"name": "web", "input": {"path": "x"}, "stages": [{"scorer": "sized", "minimun": 1}]})
    assert (finding.code, finding.file, finding.line, finding.excerpt) == ("C003", None, None, None)


def test_everything_that_is_wrong_is_found_at_once_each_at_its_line(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "name: bad name!\n"
        "input:\n"
        "  path: x\n"
        "  colums: {text: content}\n"
        "stages:\n"
        "  - scorer: siezd\n"
        "  - scorer: sized\n"
        "    minimum: abc\n"
        "  - scorer: sized\n"
        "    id: b\n"
        "    keep: b.lenght > 1\n"
        "errors: {documents: -1}\n",
        encoding="utf-8",
    )
    with pytest.raises(CurationError) as caught:
        recipe.load(path)
    assert [(f.code, f.line) for f in caught.value.findings] == [
        ("C004", 1),
        ("C003", 4),
        ("C006", 6),
        ("C004", 8),
        ("C010", 11),
        ("C004", 12),
    ]
    assert {finding.file for finding in caught.value.findings} == {str(path)}
    assert "did you mean 'columns'?" in caught.value.findings[1].hint
    assert "did you mean 'sized'?" in caught.value.findings[2].hint
    assert "expected a whole number, got 'abc'" in caught.value.findings[3].message
    assert "b.length" in caught.value.findings[4].hint
    assert caught.value.findings[4].excerpt == "    keep: b.lenght > 1\n          ^^^^^^^^"


@pytest.mark.parametrize(
    "keep",
    [
        "sized.lang = 'it' and sized.lenght > 1",
        "\"sized.lang = 'it' and sized.lenght > 1\"",
        "'sized.lang = ''it'' and sized.lenght > 1'",
        ">\n      sized.lang = 'it'\n      and sized.lenght > 1",
        "|\n      sized.lang = 'it'\n\n      and sized.lenght > 1",
        "sized.lang = 'it'\n      and sized.lenght > 1",
    ],
)
def test_the_caret_finds_a_gates_column_in_every_style_of_yaml(keep):
    finding = only(f"{HEAD}stages:\n  - scorer: sized\n    keep: {keep}\n")
    source, carets = finding.excerpt.split("\n")
    assert source[carets.index("^") : carets.index("^") + carets.count("^")] == "sized.lenght"
    assert finding.line == 5 + keep[: keep.index("sized.lenght")].count("\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: [", "C002"),
        ("base: &b {path: x}\nname: a\ninput:\n  <<: *b", "C002"),
        (HEAD.replace("}", ", columns: {bad-name: content}}"), "C004"),
        ("name: a\nname: b", "C002"),
        ("name: a\ninput: {path: x, path: y}", "C002"),
        ("- 1", "C002"),
        ("", "C002"),
        ("name: a\ninput: {path: x}\nx: &a [*a]", "C002"),
        ("name: !!python/object/apply:os.system [ls]", "C002"),
        ("a: " + "[" * 3000, "C002"),
        (HEAD + "stages: 3", "C004"),
        (HEAD + "stages: [3]", "C004"),
        (HEAD + "stages: [{}]", "C005"),
        (HEAD + "stages: [{scorer: 3}]", "C004"),
        (HEAD + "stages: [{scorer: sized, dedup: exact}]", "C003"),
        (HEAD + "stages: [{scorrer: sized}]", "C003"),
        (HEAD + "stages: [{scorer: sized, id: 3}]", "C004"),
        (HEAD + "stages: [{scorer: sized, keep: yes}]", "C004"),
        (HEAD + "stages: [{scorer: sized, id: 9a}]", "C008"),
        (HEAD + "stages: [{scorer: sized, id: Score}]", "C008"),
        (HEAD + "stages: [{scorer: sized}, {scorer: sized, id: SIZED}]", "C007"),
        (HEAD + "stages: [{dedup: sized}]", "C006"),
        (HEAD + "stages: [{scorer: sized, mode: fats}]", "C004"),
        (HEAD + "stages: [{scorer: sized, minimum: -1}]", "C004"),
        (HEAD + "stages: [{scorer: sized, minimum: true}]", "C004"),
        (HEAD + "stages: [{scorer: sized, minimum: 1.0}]", "C004"),
        (HEAD + "stages: [{scorer: sized, words: a}]", "C004"),
        (HEAD + "stages: [{scorer: sized, words: [a, 1]}]", "C004"),
        (HEAD + "stages: [{scorer: picky, minimum: 1}]", "C012"),
        (HEAD + "stages: [{scorer: picky, minimum: 3}]", "C013"),
        (HEAD + "stages: [{scorer: sized, keep: 'a ='}]", "C009"),
        (HEAD + "stages: [{scorer: sized, keep: ''}]", "C009"),
        (HEAD + "stages: [{scorer: sized, keep: count(*) > 1}]", "C011"),
        (HEAD + "stages: [{scorer: sized, keep: sized.length}]", "C011"),
        (HEAD + "stages: [{scorer: sized, keep: b.length > 1}, {scorer: sized, id: b}]", "C010"),
        (HEAD + "stages: [{select: ranked}]", "C005"),
        (HEAD + "stages: [{select: ranked, by: nope.x}]", "C014"),
        (HEAD + "stages: [{select: ranked, by: sized.length}, {scorer: sized}]", "C014"),
        (HEAD + "stages: [{scorer: sized}]\noutput: {columns: [sized.lenght]}", "C025"),
        (HEAD + "on_bad_shard: skipp", "C004"),
        (HEAD + "colour: red", "C003"),
        ("input: {path: x}", "C005"),
        ("name: web", "C005"),
        ("name: web\ninput: {path: []}", "C004"),
        ("name: web\ninput: {}", "C005"),
    ],
)
def test_each_mistake_has_its_code_and_one_finding(text, code):
    finding = only(text)
    assert finding.code == code
    assert "\n" not in finding.message
    assert finding.message


@pytest.mark.parametrize("name", ["bad-name", "9a", "ä", "", "a b", "a.b"])
def test_a_bad_name_of_a_column_is_reported_by_its_name(name):
    finding = only(HEAD.replace("}", f", columns: {{'{name}': content}}}}"))
    assert (finding.code, finding.message) == ("C004", f"recipe: input.columns: '{name}' is no name")
    assert "content" not in finding.message


def test_merge_keys_are_named_for_what_they_are():
    finding = only("base: &b {path: x}\nname: a\ninput:\n  <<: *b")
    assert "merge keys" in finding.message
    assert finding.line == 4


@pytest.mark.parametrize("name", sorted({*RESERVED, *(name.upper() for name in RESERVED)}))
def test_ids_that_are_columns_of_our_own_tables_are_reserved(name):
    finding = only(HEAD + f"stages: [{{scorer: sized, id: {name}}}]")
    assert (finding.code, name in finding.message) == ("C008", True)


def test_reserved_ids_are_the_columns_beside_a_stages_struct():
    assert {field.name for field in DECISION} | set(DOCUMENT) <= RESERVED


def test_a_gate_may_write_a_stages_id_in_any_case():
    text = (
        "stages:\n- {scorer: sized, id: s, keep: S.Length > 1}\n- {scorer: sized, minimum: x, keep: SIZED.length > 2}"
    )
    assert only(HEAD + text).code == "C004"


def test_a_stage_that_cannot_be_built_does_not_blame_the_gates_that_read_it():
    text = HEAD + "stages:\n- {scorer: sized, minimum: x}\n- {scorer: sized, id: b, keep: sized.length > b.length}\n"
    assert only(text).code == "C004"


def test_hints_explain_yamls_traps():
    assert "quotes" in only("name: no\ninput: {path: x}").hint
    assert "1.0e-3" in only(HEAD + "stages: [{scorer: sized, ratio: 1e-3}]").hint


def test_a_file_that_cannot_be_read_says_so(tmp_path):
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(CurationError) as caught:
            recipe.load(path)
        assert [finding.code for finding in caught.value.findings] == ["C001"]


def test_overrides_go_by_id_or_place_and_are_checked_like_text():
    text = HEAD + "stages: [{scorer: sized}, {scorer: sized, id: b}]"
    loaded = recipe.parse(text, overrides={"stages.b.minimum": 3, "stages.0.minimum": 2, "output.columns": ["text"]})
    assert [stage.settings.minimum for stage in loaded.stages] == [2, 3]
    assert loaded.recipe.output.columns == ["text"]
    assert only(text, overrides={"stages.c.minimum": 3}).code == "C003"
    assert only(text, overrides={"stages.b.minimum": "x"}).code == "C004"
    assert only(text, overrides={"name.x": 1}).code == "C003"


def test_aliases_to_aliases_do_not_fill_the_memory():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert only("\n".join(lines)).code == "C002"


def test_the_schema_accepts_good_recipes_and_names_every_kind():
    schema = json_schema()
    kinds = {f"{family}.{kind}" for family in FAMILIES for kind in KINDS[family]}
    assert kinds <= set(schema["$defs"])
    stage = schema["$defs"]["scorer.two-words"]
    assert stage["properties"]["scorer"] == {"const": "two-words"}
    assert stage["properties"]["id"]["default"] == "two_words"
    assert {"keep", "minimum", "words"} <= set(stage["properties"])
    assert stage["additionalProperties"] is False
    references = [choice["$ref"] for choice in schema["properties"]["stages"]["items"]["oneOf"]]
    assert all(reference.removeprefix("#/$defs/") in schema["$defs"] for reference in references)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text("ab: -[]{}&*!|>'\"\n\t#", max_size=60))
def test_any_text_is_a_recipe_or_a_clean_refusal(text):
    with pytest.raises(CurationError) as caught:
        recipe.parse(text)
    assert all(finding.message for finding in caught.value.findings)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["name", "input", "stages", "output", "errors", "on_bad_shard", "x"]),
)
def test_any_value_anywhere_is_taken_or_cleanly_refused(value, key):
    base = {"name": "web", "input": {"path": "x"}, "stages": [{"scorer": "sized"}]}
    for changed in ({**base, key: value}, {**base, "stages": [{"scorer": "sized", key: value, "words": value}]}):
        with suppress(CurationError):
            recipe.parse(changed, Path("."))


@pytest.mark.parametrize(
    ("count", "said"),
    [("010", "8"), ("1:30", "90"), ("9" * 5000, "5,000"), ('"\\uD800"', "surrogate")],
)
def test_what_yaml_makes_something_else_of_is_said(count, said):
    finding = only(HEAD + f"stages: [{{select: random, count: {count}}}]")
    assert (finding.code, finding.line) == ("C002", 3)
    assert said in finding.message
    assert "sys." not in finding.message
