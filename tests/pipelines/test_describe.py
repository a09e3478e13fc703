"""What the engine says of itself: stages, the schema for editors, error codes. Nothing is left out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from curation import registry
from pipelines.cli.main import _main
from pipelines.recipe.describe import common_keys, describe, kinds
from pipelines.recipe.schema import json_schema
from pipelines.results.error_texts import codes, explained
from schemas.errors import CODES, CurationError
from schemas.recipe import FAMILIES

ROOT = Path(__file__).parents[2]
BUILTIN = [(family, kind) for family in FAMILIES for kind in registry.BUILTIN[family]]


def test_every_kind_is_listed_with_a_sentence() -> None:
    listed = {(row["family"], row["kind"]): row["what"] for row in kinds().to_pylist()}
    assert set(BUILTIN) <= listed.keys()
    assert [kind for kind, what in listed.items() if len(what) < 20 or what[-1] not in ".:"] == []


@pytest.mark.parametrize(("family", "kind"), BUILTIN)
def test_every_key_of_a_stage_has_a_type_a_default_and_a_meaning(family: str, kind: str) -> None:
    [stage] = [one for one in describe(kind) if one.family == family]
    assert {"id", "keep", "resources"} <= {key.key for key in stage.keys}
    assert [key.key for key in stage.keys if not (key.type and key.meaning)] == []
    assert stage.text
    assert stage.columns or stage.lacks


def test_columns_and_gate_are_those_of_a_run() -> None:
    [language] = describe("language")
    assert [name for name, _ in language.columns][:2] == ["lang", "prob"]
    assert language.columns[-1][0] == "status"
    assert language.alone == "Without `keep:` it drops nothing."
    [hygiene] = describe("hygiene")
    assert hygiene.keep == "hygiene.pass"
    [rules] = describe("rules", {"profile": "fineweb-paper"})
    assert "char_dup_ratio" in [name for name, _ in rules.columns]
    for kind, settings, code in (("langage", {}, "C006"), ("rules", {"profile": "x"}, "C012")):
        with pytest.raises(CurationError) as failure:
            describe(kind, settings)
        assert failure.value.findings[0].code == code
        assert failure.value.findings[0].hint


def test_the_page_of_errors_and_the_command_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    assert codes().column("code").to_pylist() == list(CODES)
    for code, title in CODES.items():
        section = explained(code)
        assert section.startswith(f"# {code} {title}\n")
        assert section.removeprefix("# ").strip() in page
        assert "\n## " not in section
        assert len(section.splitlines()) > 2
    assert _main(["error", "c013"]) == 0
    assert capsys.readouterr().out == explained("C013")
    assert _main(["error", "C999"]) == 2
    assert _main(["error", "-f", "csv"]) == 0


def test_the_schema_tells_editors_of_every_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "curation.schema.json"
    assert _main(["schema", "--output", str(file)]) == 0
    assert capsys.readouterr().out == f"# yaml-language-server: $schema={file}\n"
    schema = json.loads(file.read_text())
    kinds_known = {ref["$ref"].rpartition("/")[2] for ref in schema["properties"]["stages"]["items"]["oneOf"]}
    assert {f"{family}.{kind}" for family, kind in BUILTIN} <= kinds_known
    for name in ("scorer.language", "dedup.minhash", "Input", "Resources"):
        properties = schema["$defs"][name]["properties"]
        silent = [key for key, value in properties.items() if "description" not in value and "$ref" not in value]
        assert set(silent) <= {"scorer", "dedup", "id"}, name
    assert re.search("nearest|told", schema["properties"]["workspace"]["description"])


def test_keys_of_every_stage_mean_the_same_in_the_terminal_and_in_an_editor() -> None:
    properties = json_schema()["$defs"]["scorer.rules"]["properties"]
    meanings = {key.key: key.meaning for key in common_keys("scorer", "rules")}
    assert {name: properties[name]["description"] for name in meanings} == meanings
