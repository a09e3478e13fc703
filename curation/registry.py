"""Which class stands for which recipe key: a line for each built-in, entry points for everybody else's.

A package adds a scorer with an entry point in the group `curation.scorers` (`curation.transforms`, `curation.dedup`,
`curation.selection`), named as the recipe will name it.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from curation.plugins import EndedError, PluginError, contained, kind_of

BUILTIN = {
    "scorer": {
        "language": "curation.scorers.language:Language",
        "rules": "curation.scorers.rules:Rules",
        "embedding": "curation.scorers.embedding:Embedding",
        "embedding-head": "curation.scorers.embedding_head:EmbeddingHead",
        "token-count": "curation.scorers.token_count:TokenCount",
        "url": "curation.scorers.url:Url",
        "takedown": "curation.scorers.takedown:Takedown",
        "decontaminate": "curation.scorers.decontaminate:Decontaminate",
        "fasttext": "curation.scorers.fasttext:FastText",
        "ngram": "curation.scorers.ngram:Ngram",
        "stack": "curation.scorers.stack:Stack",
        "properties": "curation.scorers.properties:Properties",
        "dsir": "curation.scorers.dsir:Dsir",
        "contrast": "curation.scorers.contrast:Contrast",
        "classifier": "curation.scorers.classifier:SequenceClassifier",
        "perplexity": "curation.scorers.perplexity:Perplexity",
        "ifd": "curation.scorers.ifd:Ifd",
        "imported": "curation.scorers.imported:Imported",
        "cascade": "curation.scorers.cascade:Cascade",
        "ensemble": "curation.scorers.ensemble:Ensemble",
        "llm-judge": "curation.scorers.llm_judge:LlmJudge",
        "verifiable": "curation.scorers.verifiable:Verifiable",
        "hygiene": "curation.scorers.hygiene:Hygiene",
        "margin": "curation.scorers.margin:Margin",
    },
    "transform": {
        "remove-lines": "curation.transforms.remove_lines:RemoveLines",
        "redact-pii": "curation.transforms.redact_pii:RedactPii",
    },
    "dedup": {
        "exact": "curation.dedup.exact:Exact",
        "minhash": "curation.dedup.minhash:MinHash",
    },
    "select": {
        "top": "curation.selection.top:Top",
        "percentile": "curation.selection.percentile:Percentile",
        "band": "curation.selection.band:Band",
        "random": "curation.selection.random:Random",
        "longest": "curation.selection.longest:Longest",
        "superfiltering": "curation.selection.superfiltering:Superfiltering",
        "deita": "curation.selection.deita:Deita",
        "facility-location": "curation.selection.facility_location:FacilityLocation",
        "k-center": "curation.selection.k_center:KCenter",
        "cluster-quota": "curation.selection.cluster_quota:ClusterQuota",
        "semdedup": "curation.selection.semdedup:SemDedup",
        "target-match": "curation.selection.target_match:TargetMatch",
        "tag-coverage": "curation.selection.tag_coverage:TagCoverage",
        "mix": "curation.selection.mix:Mix",
    },
}
BASES = {
    "scorer": "curation.scorers.base:Scorer",
    "transform": "curation.scorers.base:Transform",
    "dedup": "curation.dedup.base:Dedup",
    "select": "curation.selection.base:Selection",
}
"""By name, since families look up one another's classes here."""
GROUPS = {
    "scorer": "curation.scorers",
    "transform": "curation.transforms",
    "dedup": "curation.dedup",
    "select": "curation.selection",
}


def kinds(family: str) -> list[str]:
    """Names that may follow `family:` in a recipe, sorted."""
    return sorted({*BUILTIN[family], *(point.name for point in _installed(family))})


_loaded: dict[str, tuple[Path | None, tuple[int, ...]]] = {}
"""Modules of plugins that were loaded: file, and its state then."""


@cache
def find(family: str, kind: str) -> type[Any]:
    """The class for a recipe key. Raises KeyError when nobody registered it, ImportError where one of ours needs what
    is not installed, PluginError, an ImportError, where another's cannot be loaded, whatever its code does."""
    target = BUILTIN[family].get(kind)
    if target is not None:
        with contained():
            return _named(target)
    for point in _installed(family):
        if point.name == kind:
            return _plugin(family, point)
    raise KeyError(kind)


def is_stale(cls: type[Any]) -> bool:
    """Whether a plugin's file was changed since this process loaded it: other processes would run other code."""
    file, then = _loaded.get(cls.__module__, (None, ()))
    return file is not None and _state(file) != then


def blames(failure: BaseException | None) -> bool:
    """Whether an exception, or what caused it, came out of a plugin's code."""
    packages = {name.partition(".")[0] for name in _loaded}
    while failure is not None:
        if isinstance(failure, EndedError | PluginError):
            return True
        trace = failure.__traceback__
        while trace is not None:
            if str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] in packages:
                return True
            trace = trace.tb_next
        failure = failure.__cause__ or failure.__context__
    return False


def _plugin(family: str, point: Any) -> type[Any]:
    label = f"{family} '{point.name}' ({point.value})"
    try:
        with contained():
            cls = point.load()
    except Exception as failure:
        message = " ".join(str(failure).split())[:200]
        kind = kind_of(failure)
        why = kind if message in ("", kind) else f"{kind}: {message}"
        raise PluginError(
            f"{label} cannot be loaded: {why}", "mend or remove the package that registers it"
        ) from failure
    base = _named(BASES[family])
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"{label} is no {base.__name__}", f"name a class that inherits from {base.__module__}")
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    _loaded[cls.__module__] = (Path(file), _state(Path(file))) if file else (None, ())
    return cls


def _named(target: str) -> type[Any]:
    module, name = target.split(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]


def _state(file: Path) -> tuple[int, ...]:
    try:
        stat = file.stat()
    except OSError:
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


def _installed(family: str) -> list[Any]:
    return list(entry_points(group=GROUPS[family]))
