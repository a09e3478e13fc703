"""Where a model lies, and that it is the one that was meant: addresses, hashes, licences.

Three kinds of address:

- `package:NAME` - a folder inside an installed distribution, found without importing it;
- `path:DIR` - a folder; relative ones count from the recipe's folder;
- `hub:ORG/NAME@REVISION` - a Hugging Face Hub repository at a stated revision, downloaded once to the Hub's cache.

Weights are safetensors, GGUF, ONNX or fastText binaries. Pickles are never fetched and never opened.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from curation.models import suggest
from curation.models.offered import PINS
from curation.paths import expanded

WEIGHTS = (".safetensors", ".gguf", ".onnx", ".ftz")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
COMPANIONS = (".json", ".txt", ".model", ".jinja")
"""What lies beside weights and decides what they compute: configuration, tokenizer, vocabulary, chat template."""

_FASTTEXT_MAGIC = (793712314).to_bytes(4, "little")
"""First bytes of a fastText binary (fastText's `FASTTEXT_FILEFORMAT_MAGIC_INT32`), the one `.bin` that is no pickle."""


class ModelError(Exception):
    """A model that cannot be used. The message is one line; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders as values, and the default would lose the hint.
        return type(self), (str(self), self.hint)


@dataclass(frozen=True)
class ModelFile:
    """One file's content: lower-case hexadecimal sha256, and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class LocatedModel:
    """A model's folder, with the hash of every file that decides what the model computes."""

    address: str
    revision: str
    """The distribution's version, the Hub's commit, or for `path:` the first 16 digits of a hash over all `files`."""
    folder: Path
    files: dict[str, ModelFile] = field(hash=False)
    """By name relative to `folder`, with forward slashes, in sorted order."""
    licence: str
    """Licence of the weights, "unknown" where nothing states one."""

    def file(self, name: str) -> Path:
        """Path of one file. Raises ModelError when the model has none of that name."""
        if name not in self.files:
            raise ModelError(f"{self.address} has no {name}", hint=f"it holds {', '.join(self.files)}")
        return self.folder / name

    def weights(self, *suffixes: str) -> list[str]:
        """Names of the weight files that end in one of `suffixes`, sorted. Raises ModelError when there are none."""
        names = [name for name in self.files if name.endswith(suffixes)]
        if not names:
            raise ModelError(
                f"{self.address} has no {' or '.join(suffixes)} file", hint=f"it holds {', '.join(self.files)}"
            )
        return names

    def verify(self) -> None:
        """Check the files against the hashes found when the model was located; called before weights are opened.

        Raises ModelError naming the file and both hashes when one has changed or gone.
        """
        for name, vetted in self.files.items():
            path = self.folder / name
            if not path.is_file():
                raise ModelError(f"{self.address}: {name} is gone from {self.folder}", hint="install the model again")
            _expect(self.address, name, expected=vetted.sha256, actual=sha256(path))

    def describe(self, *names: str) -> list[dict[str, Any]]:
        """Rows for the manifest's `models`: one for each of `names`."""
        return [
            {
                "address": self.address,
                "revision": self.revision,
                "file": name,
                "sha256": self.files[name].sha256,
                "bytes": self.files[name].bytes,
                "licence": self.licence,
            }
            for name in names
        ]


def locate(address: str, relative_to: Path | None = None) -> LocatedModel:
    """Find the model at `address`, hash its files, and check them against what is pinned for it.

    `relative_to` is the folder that relative `path:` addresses count from (the recipe's; default: the current one).
    Hashing reads every file once a process: about 0.3 s for 90 MB.

    Raises ModelError: malformed address, nothing there, only pickles there, or a hash other than the pinned one.
    """
    scheme, _, rest = address.partition(":")
    if not rest:
        raise ModelError(f"not a model address: {address!r}", hint=suggest.for_address(address))
    if scheme == "package":
        return _package(address, rest)
    if scheme == "path":
        folder = ((relative_to or Path()) / expanded(rest)).resolve()
        if not folder.is_dir():
            raise ModelError(f"{address}: no such folder: {folder}", hint=suggest.for_folder(folder))
        files = _hash_files(address, folder)
        return LocatedModel(address, _digest(files)[:16], folder, files, _licence_of_card(folder) or "unknown")
    if scheme == "hub":
        return _hub(address, rest)
    raise ModelError(f"unknown kind of model address: {address!r}", hint=suggest.FORMS)


def _package(address: str, name: str) -> LocatedModel:
    name = re.sub(r"[-_.]+", "-", name).lower()  # PEP 503: the names that an index takes for the same
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        hint = suggest.for_package(name)
        raise ModelError(f"{address}: the package {name} is not installed", hint=hint) from None
    folder = _folder_in(distribution)
    if folder is None:
        raise ModelError(
            f"{address}: no model folder in {name} {distribution.version}",
            hint="it must install config.json beside *.safetensors, or a *.ftz, as plain files",
        )
    files = _hash_files(address, folder)
    pin = PINS.get(name)
    if pin is not None:
        for file, expected in pin.sha256.items():
            _expect(address, file, expected=expected, actual=files[file].sha256 if file in files else "no such file")
    licence = pin.licence if pin is not None else _licence_of_card(folder) or "unknown"
    return LocatedModel(f"package:{name}", distribution.version, folder, files, licence)


def _folder_in(distribution: metadata.Distribution) -> Path | None:
    """The model folder nearest to the package's root: with weights, and config.json unless they are fastText's."""
    by_folder: dict[PurePosixPath, set[str]] = {}
    for file in distribution.files or ():
        by_folder.setdefault(PurePosixPath(file.as_posix()).parent, set()).add(file.name)
    for folder in sorted(by_folder, key=lambda folder: (len(folder.parts), folder)):
        suffixes = {PurePosixPath(name).suffix for name in by_folder[folder]}
        if ".ftz" in suffixes or ("config.json" in by_folder[folder] and suffixes & {*WEIGHTS, *PICKLES}):
            path = Path(str(distribution.locate_file(str(folder)))).resolve()
            if path.is_dir():  # not inside a zip
                return path
    return None


def _hub(address: str, rest: str) -> LocatedModel:
    name, at, revision = rest.partition("@")
    if not at or not revision or name.count("/") != 1 or not all(name.split("/")):
        raise ModelError(
            f"{address}: a Hub model needs its revision",
            hint="write hub:ORG/NAME@REVISION, the revision best as the full commit, since a branch moves",
        )
    from huggingface_hub import snapshot_download

    try:
        snapshot = snapshot_download(
            name, revision=revision, allow_patterns=[f"*{suffix}" for suffix in (*WEIGHTS, *COMPANIONS, ".md")]
        )
    except Exception as error:  # the client raises its own, httpx's and OSError; all mean that the model is not here
        reason = " ".join(str(error).split()) or type(error).__name__
        sentence = reason if len(reason) <= 160 else f"{reason[:160].rpartition(' ')[0]} …"
        raise ModelError(
            f"{address} is not in the local cache and could not be downloaded: {sentence}",
            hint="fetch it where there is a network, or copy the folder and write path:DIR",
        ) from error
    folder = Path(snapshot)
    files = _hash_files(address, folder)
    # The cache names a snapshot's folder after its commit, which also says what a branch pointed at.
    return LocatedModel(address, folder.name, folder, files, _licence_of_card(folder) or "unknown")


def _hash_files(address: str, folder: Path) -> dict[str, ModelFile]:
    files: dict[str, ModelFile] = {}
    pickles: list[str] = []
    weights = 0
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        name = path.relative_to(folder).as_posix()
        is_weights = path.suffix in WEIGHTS or (path.suffix == ".bin" and is_fasttext(path))
        if is_weights or path.suffix in COMPANIONS:
            files[name] = ModelFile(sha256(path), path.stat().st_size)
            weights += is_weights
        elif path.suffix in PICKLES:
            pickles.append(name)
    if weights:
        return files
    if pickles:
        raise ModelError(
            f"{address}: its only weights are pickles ({', '.join(pickles[:3])}), which run code when opened",
            hint="convert them to safetensors on a machine that you can afford to lose",
        )
    raise ModelError(f"{address}: no weights in {folder}", hint=f"weights end in {', '.join(WEIGHTS)}")


def is_fasttext(path: Path) -> bool:
    """Whether a file begins as fastText's binaries do."""
    with path.open("rb") as file:
        return file.read(4) == _FASTTEXT_MAGIC


SETTLING_NS = 2_000_000_000
"""A file changed less than this before it was read may change again with the same times: its hash is not kept."""
_hashes: dict[str, tuple[tuple[int, ...], str]] = {}


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file, kept in this process for as long as size, times and inode stay: a copy that takes
    over size and modification time (`cp -p`, `rsync -t`) has another time of change."""
    known = _hashes.get(str(path))
    if known is not None and known[0] == _stamp(path.stat()):
        return known[1]
    with path.open("rb") as file:
        before = _stamp(os.fstat(file.fileno()))
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if time.time_ns() - max(before[1:3]) > SETTLING_NS and before == _stamp(path.stat()):
        _hashes[str(path)] = before, digest
    return digest


def _stamp(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev


def made_here(path: Path) -> dict[str, Any]:
    """The manifest's facts about a model file that a run has made: address, revision, file, sha256, bytes, licence."""
    digest = sha256(path)
    return {
        "address": f"path:{path}",
        "revision": digest[:16],
        "file": path.name,
        "sha256": digest,
        "bytes": path.stat().st_size,
        "licence": "unknown",
    }


def _expect(address: str, name: str, *, expected: str, actual: str) -> None:
    if actual != expected:
        raise ModelError(
            f"{address}: {name} is not the file that was vetted: expected sha256 {expected}, found {actual}",
            hint="reinstall the model from a source that you trust; nothing of it was opened",
        )


def _digest(files: dict[str, ModelFile]) -> str:
    lines = "".join(f"{file.sha256}  {name}\n" for name, file in files.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def _licence_of_card(folder: Path) -> str | None:
    """The `license:` line in the front matter of a model card, in the card's own spelling."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    text = card.read_text(encoding="utf-8", errors="replace")
    front = re.match(r"---\n(.*?)\n---", text, flags=re.DOTALL)
    found = re.search(r"^license:\s*(\S+)\s*$", front.group(1), flags=re.MULTILINE) if front else None
    return found.group(1) if found else None
