"""Which class stands for which recipe key: a line for each built-in, entry points for everybody else's.

A package adds a scorer with an entry point in the group `curation.scorers` (`curation.transforms`, `curation.dedup`,
`curation.selection`), named as the recipe will name it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

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
GROUPS = {
    "scorer": "curation.scorers",
    "transform": "curation.transforms",
    "dedup": "curation.dedup",
    "select": "curation.selection",
}


def kinds(family: str) -> list[str]:
    """Names that may follow `family:` in a recipe, sorted."""
    return sorted({*BUILTIN[family], *(point.name for point in _installed(family))})


@cache
def find(family: str, kind: str) -> type[Any]:
    """The class for a recipe key. Raises KeyError when nobody registered it."""
    target = BUILTIN[family].get(kind)
    if target is not None:
        module, name = target.split(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]
    for point in _installed(family):
        if point.name == kind:
            return point.load()  # type: ignore[no-any-return]
    raise KeyError(kind)


def _installed(family: str) -> list[Any]:
    return list(entry_points(group=GROUPS[family]))
