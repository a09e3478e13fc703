"""`curate export`: what trainers are given is what the source said, the same bytes each time, and every row counted."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.cli.main import _main
from pipelines.results.export import TARGETS
from pipelines.workspace import Workspace
from schemas.errors import CurationError

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
MISSING = "datasets, which trainers read files with, is not installed"
WORDS = ["tide", "harbour", "ferry", "gauge", "lamp", "chart", "rope", "keel", "sail", "anchor", "deck", "mast", "bow"]
FUNCTION = {"type": "function", "function": {"name": "tide", "arguments": {"place": "Hull"}}}
OTHER = {"type": "function", "function": {"name": "now", "arguments": {}}}
TOOLED = [
    {"role": "system", "content": "You may ask the gauge."},
    {"role": "user", "content": "How high is the water at Hull?"},
    {"role": "assistant", "content": "", "tool_calls": [FUNCTION, OTHER]},
    {"role": "tool", "content": '{"metres": 4}', "name": "tide"},
    {"role": "assistant", "content": "Four metres."},
]


def question(number: int, copy: int) -> str:
    """Copies of a number differ in their last word, and are near-duplicates."""
    words = [WORDS[(number * step + step // 3) % len(WORDS)] + str(number) for step in range(1, 13)]
    return f"Please explain {' '.join(words)} to me copy{copy}"


def talk(number: int, copy: int = 0) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": question(number, copy)},
        {"role": "assistant", "content": f"Answer {number} é 😀 \u2028 {copy}."},
    ]


TALKS = [talk(number, copy) for copy in range(3) for number in range(100)]
PAIRS = {
    "prompt": [question(number, 0) for number in range(40)],
    "chosen": [f"good {number}" for number in range(40)],
    "rejected": [f"bad {number}" for number in range(40)],
}


class Made:
    """A run, and what is exported of it."""

    def __init__(self, folder: Path, columns: dict[str, str], files: list[pa.Table], **changes: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for number, table in enumerate(files):
            pq.write_table(table, folder / f"{number}.parquet")
        recipe = {"name": "made", "input": {"path": str(folder / "*.parquet"), "columns": columns}, **changes}
        self.workspace = Workspace(folder / "ws")
        self.result = self.workspace.run(recipe, executor="local", workers=1)
        assert self.result.outcome == "done", self.result.failures

    def export(self, to: str, name: str | None = None, **options: Any) -> Path:
        self.done = self.workspace.export(to, self.folder / (name or to), self.result.run, **options)
        assert self.done.rows == sum(self.done.written.values()) + sum(self.done.refused.values()) == self.result.kept
        return self.done.folder

    def refuse(self, to: str, code: str, **options: Any) -> str:
        before = sorted(self.folder.iterdir())
        with pytest.raises(CurationError) as caught:
            self.workspace.export(to, self.folder / "refused", self.result.run, **options)
        assert sorted(self.folder.iterdir()) == before, "something was left behind"
        [finding] = caught.value.findings
        assert finding.code == code
        return f"{finding.message}; {finding.hint}"


def messages(rows: list[Any], text: bool = False) -> pa.Table:
    return pa.table({"m": pa.array([json.dumps(row) if text else row for row in rows])})


def read(folder: Path, split: str = "train") -> list[Any]:
    if (folder / f"{split}.parquet").exists():
        return pq.read_table(folder / f"{split}.parquet").to_pylist()  # type: ignore[no-any-return]
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().split("\n")[:-1]]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def data(folder: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(folder).items() if name.startswith(("train", "test"))}


def same(found: list[Any], expected: list[Any]) -> bool:
    return sorted(map(json.dumps, found)) == sorted(map(json.dumps, expected))


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("talks"), {"messages": "m"}, [messages(TALKS)])


@pytest.fixture(scope="module")
def tooled(tmp_path_factory: pytest.TempPathFactory) -> Made:
    rows = [*TALKS[:50], TOOLED, [TALKS[0][0]], [{"role": "user", "content": "x"}]]
    return Made(tmp_path_factory.mktemp("tooled"), {"messages": "m"}, [messages(rows, text=True)])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Made:
    table = pa.table({**PAIRS, "rejected": [*PAIRS["rejected"][:-2], None, ""]})
    return Made(tmp_path_factory.mktemp("pairs"), {name: name for name in PAIRS}, [table])


def test_messages_come_out_as_they_went_in_and_none_twice(talks: Made) -> None:
    for to in ("trl", "axolotl"):
        folder = talks.export(to)
        train, test = ([row["messages"] for row in read(folder, split)] for split in ("train", "test"))
        assert same([*train, *test], TALKS)
        assert talks.done.written == {"train": len(train), "test": len(test)}
        assert train != [row for row in TALKS if row in train], "nothing was shuffled"
    folder = talks.export("llama-factory", test_share=0)
    expected = [
        [{"from": name, "value": item["content"]} for name, item in zip(("human", "gpt"), row, strict=True)]
        for row in TALKS
    ]
    assert same([row["conversations"] for row in read(folder)], expected)
    assert not (folder / "test.jsonl").exists()


def test_calls_of_tools_come_out_as_they_went_in(tooled: Made) -> None:
    [row] = [row for row in read(tooled.export("trl", test_rows=0)) if len(row["messages"]) > 2]
    assert [json.loads(message) for message in row["messages"]] == TOOLED
    [row] = [row for row in read(tooled.export("axolotl", test_rows=0)) if len(json.loads(row["messages"])) > 2]
    assert json.loads(row["messages"]) == TOOLED
    assert tooled.done.refused == {"no answer": 2}


def test_the_same_rows_give_the_same_files_however_they_are_cut(tmp_path: Path, talks: Made) -> None:
    parts = [messages(TALKS[:7]), messages(TALKS[7:150]), messages(TALKS[150:])]
    cut = Made(tmp_path, {"messages": "m"}, parts, output={"file_bytes": 1, "row_group_rows": 11})
    assert len(list(cut.result.folder.glob("data/*.parquet"))) == 3  # type: ignore[union-attr]
    for to in ("trl", "axolotl", "llama-factory"):
        first, again = talks.export(to, f"first-{to}", seed=3), talks.export(to, f"again-{to}", seed=3)
        assert digests(first) == digests(again)
        assert data(cut.export(to, seed=3)) == data(first)
        assert data(talks.export(to, f"other-{to}", seed=4)) != data(first)


@pytest.mark.parametrize("options", [{"test_share": 0.3}, {"test_rows": 60}, {"test_rows": 7, "seed": 5}])
def test_no_near_duplicates_stand_on_both_sides(talks: Made, options: dict[str, Any]) -> None:
    folder = talks.export("axolotl", f"split-{len(list(talks.folder.iterdir()))}", **options)
    train, test = (
        {row["messages"][0]["content"].rsplit(" ", 1)[0] for row in read(folder, split)} for split in ("train", "test")
    )
    assert len(train) + len(test) == 100
    assert not train & test
    facts = json.loads((folder / "export.json").read_text())
    assert facts["split"]["clusters"] == {"train": len(train), "test": len(test), "in_both": 0}
    rows = talks.done.written["test"]
    assert rows == options["test_rows"] // 3 * 3 if "test_rows" in options else 40 < rows < 140


@pytest.mark.parametrize("to", ["trl-preference", "axolotl", "llama-factory"])
def test_preferences_come_out_as_they_went_in_and_those_of_one_side_are_counted(pairs: Made, to: str) -> None:
    folder = pairs.export(to, test_rows=5)
    assert pairs.done.refused == {"no rejected answer": 2}
    rows = [*read(folder), *read(folder, "test")]
    found = [
        {
            name: value["value" if to == "llama-factory" else "content"]
            for name, value in {
                "prompt": (row.get("prompt") or row.get("messages") or row.get("conversations"))[0],
                "chosen": row["chosen"][0] if to == "trl-preference" else row["chosen"],
                "rejected": row["rejected"][0] if to == "trl-preference" else row["rejected"],
            }.items()
        }
        for row in rows
    ]
    expected = [{name: values[row] for name, values in PAIRS.items()} for row in range(38)]
    assert same(found, expected)


def test_what_is_in_the_folder_is_listed_with_its_hash(pairs: Made) -> None:
    folder = pairs.export("llama-factory", "listed", seed=2, test_rows=4)
    facts = json.loads((folder / "export.json").read_text())
    listed = {name: entry["sha256"] for name, entry in facts["files"].items()}
    assert listed == {name: digest for name, digest in digests(folder).items() if name != "export.json"}
    assert set(listed) == {"README.md", "dataset_info.json", "train.jsonl", "test.jsonl"}
    assert (facts["run"], facts["seed"], facts["to"]) == (pairs.result.run, 2, "llama-factory")
    assert facts["rows"] == {"in": 40, "written": pairs.done.written, "refused": pairs.done.refused}
    described = json.loads((folder / "dataset_info.json").read_text())
    assert [entry["file_name"] for entry in described.values()] == ["train.jsonl", "test.jsonl"]
    card = (folder / "README.md").read_text()
    assert "| refused: no rejected answer | 2 |" in card
    front = yaml.safe_load(card.split("---\n")[1])
    assert [entry["path"] for entry in front["configs"][0]["data_files"]] == ["train.jsonl", "test.jsonl"]


def test_the_yaml_for_axolotl_names_files_and_fields(talks: Made, pairs: Made) -> None:
    facts = yaml.safe_load((talks.export("axolotl", "yaml", test_rows=3) / "dataset.yaml").read_text())
    [train], [test] = facts["datasets"], facts["test_datasets"]
    assert (train["path"], test["path"], train["type"]) == ("train.jsonl", "test.jsonl", "chat_template")
    [row] = {tuple(row) for row in read(talks.folder / "yaml")}
    assert row == (train["field_messages"],)
    facts = yaml.safe_load((pairs.export("axolotl", "yaml", test_rows=0) / "dataset.yaml").read_text())
    assert "test_datasets" not in facts
    assert (facts["rl"], facts["datasets"][0]["type"]) == ("dpo", "chat_template.default")


@pytest.mark.parametrize("columns", [None, ["instruction", "output", "context"], ["q", "a", "input", "extra"]])
def test_columns_are_found_under_mapped_names_and_under_the_sources(tmp_path: Path, columns: list[str] | None) -> None:
    # `input` is the source's answer and ours for its context: names that are easily confused
    table = pa.table({"q": ["Add"], "context": ["1 2"], "a": ["3"], "extra": [1], "input": ["wrong"]})
    mapped = {"instruction": "q", "input": "context", "output": "a"}
    made = Made(tmp_path, mapped, [table], **({} if columns is None else {"output": {"columns": columns}}))
    [row] = read(made.export("trl", test_share=0))
    assert [message["content"] for message in row["messages"]] == ["Add\n1 2", "3"]


def test_tools_ride_along(tmp_path: Path) -> None:
    tools = json.dumps([{"type": "function", "function": {"name": "tide", "parameters": {"type": "object"}}}])
    table = messages([TOOLED, talk(1)], text=True).append_column("tools", pa.array([tools, None]))
    made = Made(tmp_path, {"messages": "m", "tools": "tools"}, [table])
    rows = {len(row["messages"]): row["tools"] for row in read(made.export("trl", test_share=0))}
    assert rows == {5: tools, 2: None}


def test_a_column_that_was_left_out_is_named(tmp_path: Path) -> None:
    table = pa.table({"q": ["Add"], "context": ["1 2"], "a": ["3"]})
    mapped = {"instruction": "q", "input": "context", "output": "a"}
    made = Made(tmp_path, mapped, [table], output={"columns": ["instruction", "output"]})
    said = made.refuse("trl", "C040")
    assert "without 'input'" in said
    assert "add input to output.columns" in said


def test_what_cannot_be_exported_says_so_and_leaves_nothing(talks: Made, pairs: Made, tmp_path: Path) -> None:
    assert "--to trl" in talks.refuse("trl-preference", "C040")
    assert "--to trl-preference" in pairs.refuse("trl", "C040")
    assert ", ".join(TARGETS) in talks.refuse("torchtune", "C004")
    talks.refuse("trl", "C004", test_share=0.1, test_rows=1)
    assert "all 300 rows" in talks.refuse("trl", "C040", test_rows=300)
    (talks.folder / "taken").mkdir(exist_ok=True)
    (talks.folder / "taken" / "file").touch()
    with pytest.raises(CurationError, match="C037"):
        talks.workspace.export("trl", talks.folder / "taken")
    bare = Made(tmp_path / "bare", {}, [pa.table({"text": ["one", "two"]})])
    assert "neither instruction nor preference" in bare.refuse("trl", "C040")
    asked = Made(tmp_path / "asked", {"messages": "m"}, [messages([[TALKS[0][0]], [TALKS[1][0]]])])
    assert "2 no answer" in asked.refuse("trl", "C040")
    shutil.rmtree(asked.result.folder)  # type: ignore[arg-type]
    assert "curate retry" in asked.refuse("trl", "C040")
    with pytest.raises(CurationError, match="C030"):
        Workspace(tmp_path / "nowhere").export("trl", tmp_path / "out")
    with pytest.raises(CurationError, match="C032"):
        asked.workspace.export("trl", tmp_path / "out", "none")


def test_models_of_the_recipe_need_not_be_there_any_more(tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("77\n")
    stage = {"scorer": "takedown", "ids": [str(listed)]}
    table = messages(TALKS[:9]).append_column("i", [range(9)])
    made = Made(tmp_path / "made", {"messages": "m", "id": "i"}, [table], stages=[stage])
    listed.unlink()
    assert len(read(made.export("trl", test_share=0))) == 9


def test_the_command_prints_the_folder_and_counts_what_it_leaves_out(
    tooled: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tooled.folder / "by-hand"
    command = ["export", "--to", "llama-factory", "--into", str(into), "-w", str(tooled.folder / "ws")]
    assert _main([*command, "--test-rows", "4"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{into}\n"
    assert "53 rows: 47 to train, 4 to test" in said.err
    assert "left out: 2 rows, no answer" in said.err
    assert _main(command) == 2
    assert "error[C037]" in capsys.readouterr().err


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not there")
def test_real_instructions_keep_their_words_and_their_near_duplicates_together(tmp_path: Path) -> None:
    table = pq.read_table(DATA / "dolly_3k.parquet").slice(0, 800)
    names = ["instruction", "input", "output"]
    made = Made(tmp_path, {name: name for name in names}, [table])
    folder = made.export("trl", test_share=0.1)
    rows = [row["messages"] for split in ("train", "test") for row in read(folder, split)]
    expected = [
        ["\n".join(filter(None, [row["instruction"], row["input"]])), row["output"]] for row in table.to_pylist()
    ]
    expected = [row for row in expected if all(text.strip() for text in row)]
    assert same([[message["content"] for message in row] for row in rows], expected)
    assert json.loads((folder / "export.json").read_text())["split"]["clusters"]["in_both"] == 0


@pytest.mark.parametrize("to", ["trl", "axolotl"])
def test_datasets_reads_every_message_as_it_was(tooled: Made, to: str, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason=MISSING)
    folder = tooled.export(to, f"datasets-{to}", test_rows=4)
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(rows) for name, rows in loaded.items()} == tooled.done.written
    found = [row["messages"] for rows in loaded.values() for row in rows]
    assert same([json.loads(row) if isinstance(row, str) else row for row in found], [*TALKS[:50], TOOLED])


def test_trl_takes_the_rows_for_conversations_and_renders_them(tooled: Made, pairs: Made, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason=MISSING)
    utils = pytest.importorskip("trl.data_utils", reason="trl is not installed")
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]")))
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
    )
    rows = datasets.load_dataset(str(tooled.export("trl", "trl-rows")), cache_dir=str(tmp_path))["train"]
    assert all(utils.is_conversational(row) for row in rows)
    texts = [utils.apply_chat_template(row, tokenizer)["text"] for row in rows]
    [text] = [text for text in texts if "<tool>" in text]
    assert '<assistant>tide{"place": "Hull"}now{}<tool>{"metres": 4}<assistant>Four' in text
    rows = datasets.load_dataset(str(pairs.export("trl-preference", "trl-pairs")), cache_dir=str(tmp_path))["train"]
    made = [utils.apply_chat_template(row, tokenizer) for row in rows]
    assert {(row["chosen"].split()[0], row["rejected"].split()[0]) for row in made} == {
        ("<assistant>good", "<assistant>bad")
    }
