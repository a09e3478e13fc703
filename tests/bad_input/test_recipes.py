"""Recipes that cannot be meant: each finding with its code, all at once."""

from pathlib import Path

import pytest
import yaml
from bad_inputs import RULES, only, plain, recipe, refused, write

from pipelines import Workspace
from pipelines.recipe.load import load
from schemas.errors import CODES, CurationError

# --- the recipe --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "C001"),
        (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "C001"),
        (b"name: x\x00y", "C002"),
        (b"", "C002"),
        (b"- scorer: rules\n", "C002"),
        (b"just text", "C002"),
        (b"name: a\nname: b\ninput: {path: x}\n", "C002"),
        (b"name: a\n\tinput: x\n", "C002"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_whole(place, content, code):
    path = place / "recipe.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(CurationError) as caught:
        Workspace(place / "ws").run(path)
    finding = only(caught.value.findings)
    plain(finding.code, finding.message, finding.hint)
    assert finding.code == code
    assert finding.file == str(path)
    assert not (place / "ws").exists(), "a recipe that cannot be used makes no workspace"


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"inputs": {}}, "C003", "inputs"),
        ({"stages": [RULES | {"profil": "x"}]}, "C003", "profil"),
        ({"stages": [RULES | {"thresholds": 5}]}, "C004", "thresholds"),
        ({"stages": [{"select": "top", "by": "rules.words", "fraction": 1.5}]}, "C004", "fraction"),
        ({"errors": {"documents": "many"}}, "C004", "errors.documents"),
        ({"stages": [{"scorer": "rulez"}]}, "C006", "rulez"),
        ({"stages": [RULES, RULES]}, "C007", "'rules'"),
        ({"stages": [RULES | {"id": "text"}]}, "C008", "'text'"),
        ({"stages": [RULES | {"keep": "rules.words >"}]}, "C009", "rules"),
        ({"stages": [RULES | {"keep": "rules.wurds > 1"}]}, "C010", "wurds"),
        ({"stages": [RULES | {"keep": "later.words > 1"}, RULES | {"id": "later"}]}, "C010", "later"),
        ({"stages": [RULES | {"keep": "rules.words > avg(rules.words)"}]}, "C011", "avg"),
        ({"stages": [RULES | {"keep": "row_number() over (order by rules.words) < 9"}]}, "C011", "window function"),
        ({"stages": [RULES | {"keep": "rules.words > (select 1)"}]}, "C011", "quer"),
        ({"stages": [RULES | {"keep": "rules.words > random() * 9"}]}, "C011", "random"),
        ({"stages": [RULES | {"profile": "gopher@nobody"}]}, "C012", "gopher@nobody"),
        ({"stages": [RULES, {"select": "top", "by": "rules.word", "count": 1}]}, "C014", "rules.word"),
        ({"stages": [RULES, {"select": "top", "by": "rules.reason", "count": 1}]}, "C014", "string"),
        (
            {"stages": [RULES, {"select": "top", "by": "id", "count": 1}], "input": {"columns": {"id": "n"}}},
            "C014",
            "'id'",
        ),
        ({"output": {"columns": ["text", "rules.wurds"]}}, "C025", "rules.wurds"),
        ({"stages": [RULES, {"dedup": "exact"}], "output": {"columns": ["exact.status"]}}, "C025", "exact.status"),
        ({"output": {"columns": ["text", "m"]}}, "C025", "'m'"),
        ({"output": {"columns": []}}, "C025", "empty"),
        ({"output": {"columns": ["n", "n.words"]}, "stages": [RULES | {"id": "n"}]}, "C058", "n"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused_with_its_code(place, change, code, says):
    write(place / "a.parquet")
    given = recipe() | {key: value for key, value in change.items() if key != "input"}
    given["input"] = given["input"] | change.get("input", {})
    (place / "r.yaml").write_text(yaml.safe_dump(given, sort_keys=False))
    with pytest.raises(CurationError) as caught:
        Workspace(place / "ws").run(place / "r.yaml")
    finding = only(caught.value.findings)
    plain(finding.code, finding.message, finding.hint)
    assert finding.code == code
    assert says in finding.message
    assert (finding.file, finding.line is not None) == (str(place / "r.yaml"), True)
    assert finding.excerpt
    assert not (place / "ws" / "scores").exists()


def test_everything_wrong_with_input_and_output_is_said_at_once(place):
    write(place / "a.parquet")
    findings = refused(place, input={"columns": {"text": "body", "id": "key"}}, output={"columns": ["text", "link"]})
    assert [finding.code for finding in findings] == ["C021", "C021", "C025"]


def test_every_message_code_has_a_page():
    pages = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    for code, title in CODES.items():
        assert f"### {code} {title}\n" in pages


def test_the_recipe_loader_is_what_check_uses(place):
    write(place / "a.parquet")
    (place / "r.yaml").write_text(yaml.safe_dump(recipe()))
    assert Workspace(place / "ws").check(place / "r.yaml").recipe == load(place / "r.yaml").recipe
