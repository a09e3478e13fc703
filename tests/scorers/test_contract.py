"""Every scorer that a recipe can name keeps one contract: the checks C1 to C9, each in one test, for all of them."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from answering import answering
from scorer_cases import DEGENERATE, Case, Document, cases, cooking, document, documents, news, write_files

from curation import registry
from curation.scorers.alone import run
from curation.scorers.base import Context, Scorer
from curation.statistics.metrics import auc
from pipelines.workspace import Workspace
from schemas.documents import EMPTY, ERROR, OK, STATUSES, TEXT
from small_models import train_causal, write_tiny_causal, write_trained_classifier

pytestmark = pytest.mark.long
NAMES = list(cases(dict.fromkeys(["classifier", "smollm2", "prior", "conditional", "judge"], "path:none")))


class Kit:
    """Scorers of all cases, fitted where they have to be, on files in one folder."""

    def __init__(self, folder: Path, models: dict[str, str]) -> None:
        self.folder = folder
        self.cases = cases(models)
        self._made: dict[str, Scorer] = {}

    def build(self, name: str, **more: Any) -> Scorer:
        """The scorer of a case, or one with some settings changed."""
        key = f"{name} {sorted(more.items())}"
        if key not in self._made:
            stage = {**self.cases[name].stage, **more}
            cls = registry.find("scorer", stage.pop("scorer"))
            settings = cls.Settings(**stage)
            cache = self.folder / "cache"
            scorer = cls(settings, Context(self.folder, cache=cache))
            if scorer.fitted:
                scorer = cls(settings, Context(self.folder, self._fitted(scorer), cache))
            self._made[key] = scorer
        return self._made[key]

    def tiny(self, name: str) -> Scorer:
        """The scorer of a case, a language model of two layers in place of SmolLM2: where the point is what surrounds
        the model. That SmolLM2 itself says the same alone and among others is seen in C1, and in models/test_causal."""
        if self.cases[name].stage.get("model") == self.cases["perplexity"].stage["model"]:
            return self.build(name, model=self.cases["contrast:lm"].stage["prior"])
        return self.build(name)

    def _fitted(self, scorer: Scorer) -> Path:
        from safetensors.numpy import save_file

        pool = [{**document(f"pool {n}", n), "gold": float(n % 5) + (n % 3) / 3} for n in range(400)]
        artifact = scorer.fit(batch(scorer, pool if scorer.sample_rows else []))
        into = Path(tempfile.mkdtemp(dir=self.folder))
        save_file(
            {name: np.ascontiguousarray(value) for name, value in artifact.tensors.items()}, into / "head.safetensors"
        )
        return into


def batch(scorer: Scorer, found: list[Document]) -> pa.RecordBatch:
    """Documents as a shard would give them to the scorer: every column that it or its requirements read."""
    names = scorer.all_reads() | {"text"}
    numbers = {"rating", "gold"}
    return pa.RecordBatch.from_pydict(
        {
            name: pa.array([item[name] for item in found], pa.float64() if name in numbers else TEXT)
            for name in sorted(names)
        }
    )


def rows(scorer: Scorer, found: list[Document]) -> list[dict[str, Any]]:
    """A row for each document: its fields, and its status."""
    scores = run(scorer, batch(scorer, found)).to_pylist()
    assert len(scores) == len(found)
    return [{"status": OK, **row, "message": row.get("message")} for row in scores]


def rounded(value: Any) -> Any:
    """A value that compares equal to itself, NaN too."""
    return "nan" if isinstance(value, float) and math.isnan(value) else value


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Iterator[Kit]:
    folder = tmp_path_factory.mktemp("contract")
    write_files(folder)
    prior = write_tiny_causal(folder / "prior")
    with answering() as judge:
        yield Kit(
            folder,
            {
                "classifier": f"path:{write_trained_classifier(folder / 'classifier', cooking(60), news(60))}",
                "smollm2": f"path:{smollm2}",
                "prior": f"path:{prior}",
                "conditional": f"path:{train_causal(prior, folder / 'conditional', cooking(200, seed=1))}",
                "judge": judge,
            },
        )


@pytest.fixture
def fp32(monkeypatch: pytest.MonkeyPatch, kit: Kit) -> None:
    monkeypatch.setattr("curation.models.encoder.best_dtype", lambda device: "fp32")
    monkeypatch.setattr(kit, "_made", {})


def test_every_registered_scorer_has_a_case() -> None:
    builtin = set(registry.BUILTIN["scorer"])
    assert {name.partition(":")[0] for name in NAMES} == builtin


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_what_the_fields_mean(name: str, kit: Kit) -> None:
    scorer = kit.build(name)
    contract, types = scorer.contract, {field.name: field.type for field in scorer.fields}
    assert contract.score is None or contract.score in types
    assert (contract.scale is not None) == (contract.score is not None)
    for named in (contract.tokens, contract.truncated):
        assert named is None or named in types
    case = kit.cases[name]
    assert (case.good is not None) == (contract.orientation != 0) or name == "llm-judge"
    assert (case.long is not None) == (contract.truncated is not None) or name == "llm-judge"


@pytest.mark.parametrize("name", NAMES)
def test_c1_and_c2_no_neighbour_no_padding_and_no_order_changes_a_bit(name: str, kit: Kit) -> None:
    scorer, found = kit.build(name), documents()
    together = rows(scorer, found)
    for row in (0, 23, 24, 25, 30):  # among them those that spell out special tokens
        assert rows(scorer, [found[row]]) == [together[row]]
    for size in (4, 16):
        parts = [rows(scorer, found[begin : begin + size]) for begin in range(0, len(found), size)]
        assert [row for part in parts for row in part] == together
    random = np.random.default_rng(0)
    for order in (random.permutation(len(found)), np.argsort([len(item["text"]) for item in found])):
        assert rows(scorer, [found[row] for row in order]) == [together[row] for row in order]
    longer = document("A much longer neighbour. " * 60, 99)
    assert rows(scorer, [longer, *found[:3]])[1:] == together[:3]
    assert together[31]["status"] == together[0]["status"]


@pytest.mark.parametrize("name", NAMES)
def test_c3_whatever_comes_gets_a_status_or_a_score(name: str, kit: Kit) -> None:
    scorer = kit.tiny(name)
    found = [
        document(text, place, response=text, answer=text, rating=float("nan")) for place, text in enumerate(DEGENERATE)
    ]
    found.append(document("The prompt fills the window.", instruction="long " * 20_000))
    scores = rows(scorer, found)
    field = scorer.contract.score
    for row in scores:
        assert row["status"] in STATUSES
        values = {key: value for key, value in row.items() if key != "message" and not key.endswith("status")}
        if row["status"] != OK:
            assert set(map(str, values.values())) == {"None"}
        elif field is not None:
            assert row[field] is not None
            assert math.isfinite(row[field])
    if "text" in scorer.reads and name not in ("rules", "decontaminate", "cascade"):
        assert [row["status"] for row in scores[:2]] == [EMPTY, EMPTY]
    assert rows(scorer, []) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("fp32")
def test_c5_a_plain_oracle_says_the_same(name: str, kit: Kit) -> None:
    scorer, case = kit.tiny(name), kit.cases[name]
    chosen = [documents()[row] for row in (0, 8, 15, 24, 29)]
    found = rows(scorer, chosen)
    expected = case.oracle(scorer, chosen)
    for row, value in zip(found, expected, strict=True):
        if value is None:
            assert row["status"] == ERROR
            continue
        assert row["status"] == OK
        score = row[case.field or scorer.contract.score]
        score = score[0] if isinstance(score, list) else float(score)
        assert score == pytest.approx(value, rel=case.tolerance, abs=case.tolerance / 10)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "llm-judge"])
def test_c6_planted_pairs_are_told_apart_in_the_declared_direction(name: str, kit: Kit) -> None:
    scorer, case = kit.build(name), kit.cases[name]
    if case.good is None or case.bad is None:
        assert scorer.contract.orientation == 0, "an oriented scorer declares planted pairs"
        return
    good, bad = case.good(), case.bad()
    field = scorer.contract.score
    assert field is not None
    scores = np.array([row[field] for row in rows(scorer, [*good, *bad])], dtype=float)
    assert auc(scorer.contract.orientation * scores, np.arange(len(scores)) < len(good)) >= 0.9


@pytest.mark.parametrize("name", [name for name in NAMES if name != "llm-judge"])
def test_c7_what_is_not_read_is_reported(name: str, kit: Kit) -> None:
    case = kit.cases[name]
    if case.long is None:
        assert kit.build(name).contract.truncated is None
        return
    settings, long, tokens = case.long
    scorer = kit.build(name, **settings)
    contract = scorer.contract
    short = document("sun and moon, sea and land")
    cut, whole = rows(scorer, [long, short])
    assert (cut[contract.truncated or ""], whole[contract.truncated or ""]) == (True, False)
    assert cut[contract.tokens or ""] == tokens
    assert 0 < whole[contract.tokens or ""] < tokens


# --- C4, C8 and C9: in runs --------------------------------------------------------------------------------------


def write_shards(folder: Path, sizes: list[int]) -> None:
    """Documents in files of so many rows, in row groups of 7; the last few repeat earlier texts: ties."""
    found = documents()
    found += [{**item, "id": f"again-{place}"} for place, item in enumerate(found[:8])]
    folder.mkdir(parents=True)
    begin = 0
    for number, size in enumerate(sizes):
        table = pa.Table.from_pylist(found[begin : begin + size])
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=7)
        begin += size
    assert begin >= len(found)


def recipe(kit: Kit, source: Path, names: list[str], keep: dict[str, str] | None = None) -> dict[str, Any]:
    """All the named scorers in a row, the last on few documents. Language models are the tiny one here: what they do
    with a document was seen above, and what a run does is the same for all."""
    columns = ["instruction", "input", "output", "url", "id", "answer", "response", "rating", "gold"]
    columns += ["chosen_text", "rejected_text"]
    stages = []
    for name in names:
        stage = {**kit.cases[name].stage, "id": stage_id(name)}
        for key in ("seeds", "background", "target", "ids", "domains"):
            if isinstance(stage.get(key), str) and "." in stage[key]:
                stage[key] = str(kit.folder / stage[key])
        if "against" in stage:
            stage["against"] = [{**item, "path": str(kit.folder / item["path"])} for item in stage["against"]]
        default = getattr(registry.find("scorer", stage["scorer"]), "default_keep", None)
        if default is not None:
            stage["keep"] = "true"
        if stage.get("model") == kit.cases["perplexity"].stage["model"]:
            stage["model"] = kit.cases["contrast:lm"].stage["prior"]
        if name == "verifiable" and "llm-judge" in names:
            stage["keep"] = "imported_s.score = 4"
        if keep and name in keep:
            stage["keep"] = keep[name]
        stages.append(stage)
    return {
        "name": "contract",
        "input": {"path": str(source), "columns": {name: name for name in columns}, "shard_bytes": 2_000},
        "stages": stages,
        "errors": {"documents": 1000},
    }


def stage_id(name: str) -> str:
    return name.replace("-", "_").replace(":", "_") + "_s"


def stored(workspace: Workspace, run: str) -> dict[tuple[str, int], list[Any]]:
    """Every stage's struct by the document's id, as it is stored."""
    table = workspace.sql("SELECT * EXCLUDE (run, doc_id, path, row) FROM documents ORDER BY id", run)
    return {row["id"]: {key: rounded(value) for key, value in row.items()} for row in table.to_pylist()}


@pytest.fixture(scope="module")
def cold(kit: Kit) -> tuple[Workspace, str, dict[Any, Any]]:
    """All scorers in one run of one worker over one file."""
    write_shards(kit.folder / "one", [64])
    workspace = Workspace(kit.folder / "ws-cold")
    result = workspace.run(recipe(kit, kit.folder / "one", NAMES), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    return workspace, result.run, stored(workspace, result.run)


def test_c4_shards_workers_and_half_done_work_change_nothing(kit: Kit, cold: tuple[Workspace, str, Any]) -> None:
    write_shards(kit.folder / "many", [3, 11, 1, 40])
    workspace = Workspace(kit.folder / "ws-many")
    wanted = recipe(kit, kit.folder / "many", NAMES)
    # first a part of the documents, chosen by hash; then, with a gate in front that is loosened, the rest
    half = workspace.run(wanted, executor="local", workers=1, sample=13)
    assert half.outcome == "done", half.failures
    strict = recipe(kit, kit.folder / "many", NAMES, {"language": "language_s.lang = 'en'"})
    assert workspace.run(strict, executor="local", workers=2).outcome == "done"
    whole = workspace.run(wanted, executor="local", workers=3)
    assert whole.outcome == "done", whole.failures
    assert whole.steps["perplexity_s"] < 40, "what was scored is not scored again"
    assert stored(workspace, whole.run) == cold[2]


ORIENTED = [name for name in NAMES if name not in ("language", "embedding", "cascade", "token-count")]


@pytest.mark.parametrize("name", ORIENTED)
def test_c8_and_c9_a_cut_is_that_of_one_stable_sort(name: str, kit: Kit, cold: tuple[Workspace, str, Any]) -> None:
    contract = kit.build(name).contract
    field = f"{stage_id(name)}.{contract.score}"
    many = kit.folder / "ties"
    if not many.exists():
        write_shards(many, [5, 9, 1, 2, 40])
    wanted = recipe(kit, many, [name])
    wanted["stages"].append({"select": "top", "by": field, "count": 14, "lowest": contract.orientation < 0})
    workspace = Workspace(kit.folder / "ws-ties")
    result = workspace.run(wanted, executor="local", workers=2)
    assert result.outcome == "done", result.failures
    values = workspace.sql(
        f"SELECT id, path, row, kept, {field} AS value FROM documents ORDER BY path, row", result.run
    )
    found = values.to_pylist()
    scored = [row for row in found if row["value"] is not None]
    best = sorted(scored, key=lambda row: (-contract.orientation * float(row["value"]), row["path"], row["row"]))[:14]
    assert {row["id"] for row in found if row["kept"]} == {row["id"] for row in best}
    assert result.kept == min(14, len(scored))


def test_all_checks_ran_on_cases_that_are_not_alike(kit: Kit) -> None:
    """A case that compared a constant with itself would pass everything."""
    for name in NAMES:
        scorer, case = kit.build(name), kit.cases[name]
        field = case.field or scorer.contract.score
        values = {str(row[field or ""]) for row in rows(scorer, documents())}
        assert len(values) > 1 or name in ("url", "takedown"), name
        assert isinstance(case, Case)
