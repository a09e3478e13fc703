"""Every scorer and transform that a recipe can name goes through `curation.testing`: the checks C1 to C9, each in one
test, for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from answering import answering
from scorer_cases import Case, cases, cooking, document, documents, news, write_files

from curation import registry
from curation.scorers.base import Context, Scorer
from curation.testing import check_scorer, checks
from curation.testing.elsewhere import check_elsewhere
from curation.testing.rows import build, rows_of
from curation.testing.runs import check_cut_of_runs, check_runs
from pipelines.workspace import Workspace
from schemas.documents import EMPTY, ERROR
from small_models import train_causal, write_tiny_causal, write_trained_classifier

pytestmark = pytest.mark.long
NAMES = list(cases(dict.fromkeys(["classifier", "smollm2", "prior", "conditional", "judge"], "path:none")))
WITHOUT_BLANKS = ("rules", "decontaminate", "cascade")
"""Scorers of text that have a score for a blank one."""


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
            settings = {**self.cases[name].stage, **more}
            cls = registry.find("scorer", settings.pop("scorer"))
            pool = [{**document(f"pool {n}", n), "gold": float(n % 5) + (n % 3) / 3} for n in range(400)]
            context = Context(self.folder, cache=self.folder / "cache")
            self._made[key] = build(cls, settings, context, pool, self.folder)
        return self._made[key]

    def tiny(self, name: str) -> Scorer:
        """The scorer of a case, a language model of two layers in place of SmolLM2: where the point is what surrounds
        the model. That SmolLM2 itself says the same alone and among others is seen in C1, and in models/test_causal."""
        if self.cases[name].stage.get("model") == self.cases["perplexity"].stage["model"]:
            return self.build(name, model=self.cases["contrast:lm"].stage["prior"])
        return self.build(name)


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
    monkeypatch.setattr("curation.models.reader.best_dtype", lambda device: "fp32")
    monkeypatch.setattr(kit, "_made", {})


def test_every_registered_scorer_has_a_case() -> None:
    builtin = set(registry.BUILTIN["scorer"])
    assert {name.partition(":")[0] for name in NAMES} == builtin


@pytest.mark.parametrize("name", NAMES)
def test_the_record_says_what_the_fields_mean(name: str, kit: Kit) -> None:
    scorer, case = kit.build(name), kit.cases[name]
    checks.check_contract(scorer)
    assert (case.good is not None) == (scorer.contract.orientation != 0) or name == "llm-judge"
    assert (case.long is not None) == (scorer.contract.truncated is not None) or name == "llm-judge"


@pytest.mark.parametrize("name", NAMES)
def test_c1_and_c2_no_neighbour_no_padding_and_no_order_changes_a_bit(name: str, kit: Kit) -> None:
    # alone, among others, those that spell out special tokens
    checks.check_neighbours(kit.build(name), documents(), alone=(0, 23, 24, 25, 30))


@pytest.mark.parametrize("name", NAMES)
def test_c3_whatever_comes_gets_a_status_or_a_score(name: str, kit: Kit) -> None:
    scorer = kit.tiny(name)
    rows = checks.check_degenerate(scorer, documents()[0])
    if "text" in scorer.reads and name not in WITHOUT_BLANKS:
        assert [row["status"] for row in rows[:2]] == [EMPTY, EMPTY]


@pytest.mark.parametrize("name", NAMES)
def test_c4_another_object_says_the_same(name: str, kit: Kit) -> None:
    checks.check_repeated(kit.build(name), documents()[20:28])


@pytest.mark.parametrize("name", ["language", "dsir", "fasttext", "embedding-head"])
def test_c4_another_process_says_the_same(name: str, kit: Kit) -> None:
    """Of those that count words, hash n-grams or run a model; all of them do so on Ray, in other tests."""
    check_elsewhere(kit.build(name), documents()[20:28])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("fp32")
def test_c5_a_plain_oracle_says_the_same(name: str, kit: Kit) -> None:
    scorer, case = kit.tiny(name), kit.cases[name]
    chosen = [documents()[row] for row in (0, 8, 15, 24, 29)]
    expected = [ERROR if value is None else value for value in case.oracle(scorer, chosen)]
    checks.check_oracle(scorer, chosen, expected, case.field, case.tolerance)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "llm-judge"])
def test_c6_planted_pairs_are_told_apart_in_the_declared_direction(name: str, kit: Kit) -> None:
    case = kit.cases[name]
    better = None if case.good is None or case.bad is None else (case.good(), case.bad())
    checks.check_orientation(kit.build(name), better)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "llm-judge"])
def test_c7_what_is_not_read_is_reported(name: str, kit: Kit) -> None:
    case = kit.cases[name]
    if case.long is None:
        checks.check_truncation(kit.build(name), None)
        return
    settings, beyond, tokens = case.long
    checks.check_truncation(kit.build(name, **settings), (beyond, document("sun and moon, sea and land"), tokens))


@pytest.mark.parametrize("name", NAMES)
def test_c8_and_c9_batches_are_cut_as_one(name: str, kit: Kit) -> None:
    checks.check_cut(kit.build(name), documents()[22:32])


TRANSFORMS: dict[str, list[dict[str, Any]]] = {
    "remove-lines": [{}, {"profile": "refinedweb@dclm"}],
    "redact-pii": [{}, {"replacement": "none"}],
}


def test_every_registered_transform_has_a_case() -> None:
    assert set(TRANSFORMS) == set(registry.BUILTIN["transform"])


@pytest.mark.parametrize(("name", "settings"), [(name, each) for name, all in TRANSFORMS.items() for each in all])
def test_transforms_go_through_the_same_checks(name: str, settings: dict[str, Any]) -> None:
    pages = ["Write to ann@example.net.\nlorem\nCall 555 0199 or see 5.9.12.34, please.", "menu | home\nThis stays."]
    check_scorer(registry.find("transform", name), settings, [*map(document, pages), *documents()])


# --- C4, C8 and C9: in runs --------------------------------------------------------------------------------------


def stages(kit: Kit, names: list[str]) -> list[dict[str, Any]]:
    """The named scorers in a row. Language models are the tiny one here, and the judge is asked about a few documents:
    what they do with a document was seen above, and what a run does is the same for all."""
    found = []
    for name in names:
        stage = {**kit.cases[name].stage, "id": stage_id(name)}
        default = getattr(registry.find("scorer", stage["scorer"]), "default_keep", None)
        if default is not None:
            stage["keep"] = "true"
        if stage.get("model") == kit.cases["perplexity"].stage["model"]:
            stage["model"] = kit.cases["contrast:lm"].stage["prior"]
        if name == "verifiable" and "llm-judge" in names:
            stage["keep"] = "imported_s.score = 4"
        found.append(stage)
    return found


def stage_id(name: str) -> str:
    return name.replace("-", "_").replace(":", "_") + "_s"


def test_c4_shards_workers_and_half_done_work_change_nothing(kit: Kit) -> None:
    with chdir(kit.folder):  # where the files are that settings name
        check_runs(Workspace, kit.folder, stages(kit, NAMES), documents())


ORIENTED = [name for name in NAMES if name not in ("language", "embedding", "properties", "cascade", "token-count")]


@pytest.mark.parametrize("name", ORIENTED)
def test_c8_and_c9_a_cut_is_that_of_one_stable_sort(name: str, kit: Kit) -> None:
    with chdir(kit.folder):
        check_cut_of_runs(Workspace, kit.folder, stages(kit, [name])[0], kit.build(name).contract, documents())


def test_all_checks_ran_on_cases_that_are_not_alike(kit: Kit) -> None:
    """A case that compared a constant with itself would pass everything."""
    for name in NAMES:
        scorer, case = kit.build(name), kit.cases[name]
        field = case.field or scorer.contract.score
        values = {str(row[field or ""]) for row in rows_of(scorer, documents())}
        assert len(values) > 1 or name in ("url", "takedown"), name
        assert isinstance(case, Case)
