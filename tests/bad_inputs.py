"""Small files, a recipe over them, and what is said where something is wrong with them."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.manifest.parts import Manifest
from curation.store import open_store
from pipelines import Workspace
from schemas.errors import CODES, CurationError

SECRET = "swordfish"
"""Stands in every document, and must stand in no message."""
RULES = {"scorer": "rules", "profile": "gopher-quality@datatrove"}
TOP = {"select": "top", "by": "rules.words", "fraction": 1.0}


def text(number, words=60):
    return f"{SECRET} the and " + " ".join(f"w{(number * 31 + at * 7) % 997}" for at in range(words))


def write(path, first=0, rows=20, **columns):
    made = {"text": [text(n) for n in range(first, first + rows)], "n": list(range(first, first + rows))}
    pq.write_table(pa.table(made | columns), path)


def recipe(paths="*.parquet", stages=(RULES,), **rest):
    return {"name": "bad", "input": {"path": paths, **rest.pop("input", {})}, "stages": list(stages), **rest}


def run(place, *args, workspace="ws", **rest):
    return Workspace(place / workspace).run(recipe(*args, **rest), executor="local", workers=2)


def refused(place, *args, **rest):
    """The findings of a recipe that is refused, by `check` and by `run` alike, before any score is made."""
    with pytest.raises(CurationError) as checked:
        Workspace(place / "ws").check(recipe(*args, **rest))
    with pytest.raises(CurationError) as caught:
        run(place, *args, **rest)
    assert [finding.message for finding in caught.value.findings] == [f.message for f in checked.value.findings]
    assert not (place / "ws" / "scores").exists()
    for finding in caught.value.findings:
        plain(finding.code, finding.message, finding.hint)
    return caught.value.findings


def only(findings):
    assert len(findings) == 1, findings
    return findings[0]


def plain(code, message, hint):
    """The rules that all messages follow."""
    assert code in CODES
    assert "\n" not in message
    assert "Traceback" not in message
    assert SECRET not in message + (hint or "")
    assert not message.endswith(".")


def failure(result, code):
    """The one failure of a run that failed."""
    assert result.outcome == "failed"
    assert result.folder is None
    ((path, found),) = result.failures
    plain(found.code, found.message, found.hint)
    assert found.code == code
    return path, found


def sql(place, query, workspace="ws"):
    return Workspace(place / workspace).sql(query).to_pylist()


def dataset(result):
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("data/*.parquet"))])


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def named_files(place, workspace="ws"):
    """Data files that the manifest's parts name, relative to the workspace."""
    manifest = Manifest(open_store(place / workspace))
    found = []
    for kind in ("scores", "entrants", "pairs", "groups", "decisions"):
        for row in manifest.read(kind).to_pylist():
            found += [row[column] for column in ("data", "members", "links") if row.get(column)]
    return found
