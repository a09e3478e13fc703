"""What a store refuses, or answers wrongly, is the store's: no file is bad, changed or left out for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hostile_store import Answer, Meddle, meddling, refusal
from lengths import mostly_long

from curation import parquet
from curation.sources import cut_shards, find, inspect, read_batches, verify_unchanged
from curation.store import StoreError, open_store, remote
from curation.store.failures import AccessError, RedirectError
from object_store import upload
from pipelines import Workspace
from schemas.errors import CurationError

TEXT = pa.schema([pa.field("text", pa.large_string())])
ROWS = 200


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of 200 documents, one of each kind of reading."""
    folder = tmp_path_factory.mktemp("crawl")
    texts = [[f"document {name} {row} " + "of the and " * 20 for row in range(ROWS)] for name in "abc"]
    parquet.write(pa.table({"text": texts[0]}), folder / "a.parquet", row_group_size=50)
    (folder / "b.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts[1]))
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts[2]).encode()
    (folder / "c.jsonl.zst").write_bytes(zstandard.compress(lines))
    return folder


def recipe(url: str) -> dict[str, Any]:
    return {
        "name": "x",
        "input": {"path": url},
        "stages": [{"dedup": "exact"}],
        "on_bad_shard": "skip",
    }


REFUSALS = [
    (403, "AccessDenied"),
    (403, "InvalidAccessKeyId"),
    (403, "SignatureDoesNotMatch"),
    (403, "RequestTimeTooSkewed"),
    (401, "Unauthorized"),
    (400, "ExpiredToken"),
    (400, "InvalidToken"),
    (400, "TokenRefreshRequired"),
    (400, "AuthorizationHeaderMalformed"),
]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_refusal_is_told_once_with_url_and_credentials(
    bucket: str, crawl: Path, endpoint: Any, server: int, status: int, code: str
) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    store = open_store(f"{bucket}/ws")
    [shard] = cut_shards([inspect(f"{url}/a.parquet")], 1 << 40)
    with meddling(server, refusal(status, code)) as proxy:
        endpoint(proxy.server_address[1])
        for asks in (
            lambda: remote.fetch(f"{url}/a.parquet"),
            lambda: remote.fetch(f"{url}/a.parquet", 0, 10),
            lambda: remote.stat(f"{url}/a.parquet"),
            lambda: remote.below(url),
            lambda: inspect(f"{url}/b.jsonl"),
            lambda: find([f"{url}/*.parquet"], Path()),
            lambda: find([url], Path()),
            lambda: verify_unchanged(shard),
            lambda: list(read_batches(shard, TEXT)),
            lambda: store.exists("scores"),
            lambda: store.write("x", lambda path: path.write_text("x")),
            lambda: store.create("y", pa.table({"a": [1]})),
        ):
            before = len(proxy.asked)
            with pytest.raises(AccessError, match=f"{bucket}.*credentials"):
                asks()
            assert len(proxy.asked) - before <= 3, "a refusal is not asked for again"
        with pytest.raises(CurationError, match=f"R010.*{bucket}.*credentials"):
            Workspace(f"{bucket}/ws")


@pytest.mark.long
@pytest.mark.parametrize(("status", "after"), [(400, 14), (403, 20)])
def test_credentials_that_end_while_a_run_works_leave_no_file_out(
    bucket: str, crawl: Path, endpoint: Any, server: int, tmp_path: Path, status: int, after: int
) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    refuse = refusal(status, "ExpiredToken" if status == 400 else "InvalidAccessKeyId")
    space = Workspace(tmp_path)
    with meddling(server, lambda *asked: asked[2] if len(proxy.asked) <= after else refuse(*asked)) as proxy:
        endpoint(proxy.server_address[1])
        try:
            failed = [(failure.code, failure.message) for _, failure in run(space, url).failures]
        except CurationError as failure:
            failed = [(found.code, found.message) for found in failure.findings]
    assert failed
    assert all(code == "R010" and bucket in message and "credentials" in message for code, message in failed), failed
    endpoint(server)
    assert run(space, url).rows == 3 * ROWS


def run(space: Workspace, url: str) -> Any:
    return space.run(recipe(url), executor="local", workers=1)


def sometimes(change: Callable[[Answer], Answer | None], every: int = 2) -> Meddle:
    """Changes every second answer that has content of a file."""
    count = 0

    def meddle(method: str, path: str, answer: Answer) -> Answer | None:
        nonlocal count
        if method != "GET" or "list-type" in path or answer[0] >= 300:
            return answer
        count += 1
        return answer if count % every else change(answer)

    return meddle


def short(answer: Answer) -> Answer:
    """Half of the body, of a length that is right for it, and no checksum."""
    return answer[0], unchecked(answer[1]), answer[2][: len(answer[2]) // 2]


def unchecked(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if "checksum" not in name.lower()}


def said_short(answer: Answer) -> Answer:
    """The same, with a range that is right for it."""
    headers = {name: value for name, value in unchecked(answer[1]).items() if name.lower() != "content-range"}
    half = len(answer[2]) // 2
    found = next((value for name, value in answer[1].items() if name.lower() == "content-range"), "")
    if not found:
        return answer
    first, _, whole = found.removeprefix("bytes ").replace("-", "/").split("/")
    return answer[0], headers | {"Content-Range": f"bytes {first}-{int(first) + half - 1}/{whole}"}, answer[2][:half]


def flipped(answer: Answer) -> Answer:
    """A byte in the middle is another."""
    body = bytearray(answer[2])
    body[len(body) // 2] ^= 0x55
    return answer[0], unchecked(answer[1]), bytes(body)


def flipped_beside_its_checksum(answer: Answer) -> Answer:
    body = bytearray(answer[2])
    body[len(body) // 2] ^= 0x55
    return answer[0], answer[1] | {"x-amz-checksum-crc32": "AAAAAA=="}, bytes(body)


def page(answer: Answer) -> Answer:
    """What a proxy that wants a login says, with 200."""
    return 200, {"Content-Type": "text/html"}, b"<html>please log in</html>"


@pytest.mark.parametrize("change", mostly_long([short, said_short, page, flipped_beside_its_checksum]))
def test_answers_that_are_short_or_wrong_are_asked_for_again(
    bucket: str, crawl: Path, endpoint: Any, server: int, change: Any
) -> None:
    """Never a fingerprint or a bad file."""
    url = upload(crawl, f"{bucket}/crawl")
    true = {path.name: inspect(str(path)).fingerprint for path in crawl.iterdir()}
    with meddling(server, sometimes(change)) as proxy:
        endpoint(proxy.server_address[1])
        for name, fingerprint in true.items():
            file = inspect(f"{url}/{name}")
            assert (file.fingerprint, file.rows, file.error) == (fingerprint, ROWS, None)
            assert remote.fetch(f"{url}/{name}") == (crawl / name).read_bytes()
            assert remote.fetch(f"{url}/{name}", 0, remote.BLOCK) == (crawl / name).read_bytes()


@pytest.mark.long
@pytest.mark.parametrize("change", [said_short])
def test_a_run_in_a_workspace_whose_files_come_short_leaves_nothing_out(
    bucket: str, crawl: Path, endpoint: Any, server: int, change: Any
) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    with meddling(server, sometimes(change)) as proxy:
        endpoint(proxy.server_address[1])
        result = run(Workspace(f"{bucket}/ws"), url)
    assert (result.outcome, result.rows, result.failures) == ("done", 3 * ROWS, [])


def test_bytes_that_come_damaged_are_read_again(bucket: str, crawl: Path, endpoint: Any, server: int) -> None:
    """Once a file is known, what is wrong with its pages or frames is first the answer's."""
    url = upload(crawl, f"{bucket}/crawl")
    for name in ("a.parquet", "c.jsonl.zst"):
        [shard] = cut_shards([inspect(f"{url}/{name}")], 1 << 40)
        texts = [batch.columns for batch in read_batches(shard, TEXT)]
        with meddling(server, sometimes(flipped)) as proxy:
            endpoint(proxy.server_address[1])
            again = [batch.columns for batch in read_batches(shard, TEXT)]
        endpoint(server)
        assert pa.Table.from_batches(again).equals(pa.Table.from_batches(texts))


@pytest.mark.long
@pytest.mark.parametrize("change", [short, said_short, page])
def test_answers_that_are_always_wrong_end_as_the_stores(
    bucket: str, crawl: Path, endpoint: Any, server: int, tmp_path: Path, change: Any
) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    with meddling(server, sometimes(change, every=1)) as proxy:
        endpoint(proxy.server_address[1])
        with pytest.raises(StoreError, match=r"bytes came (in the place of|, said to be)|bytes came, said"):
            inspect(f"{url}/b.jsonl")
        with pytest.raises(CurationError, match=f"R010.*{bucket}"):
            run(Workspace(tmp_path), url)


def test_a_file_that_really_is_damaged_is_the_files_fault(bucket: str, crawl: Path, tmp_path: Path) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    remote.put(f"{url}/a.parquet", (crawl / "a.parquet").read_bytes()[:-9])
    result = run(Workspace(tmp_path), url)
    assert (result.outcome, result.rows) == ("done", 2 * ROWS)


@pytest.mark.long
def test_an_answer_that_trickles_ends(
    bucket: str, crawl: Path, endpoint: Any, server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    monkeypatch.setattr(remote, "LIMIT", (1.0, 1e9))
    with meddling(server, lambda method, path, answer: answer if method == "HEAD" else None) as proxy:
        endpoint(proxy.server_address[1])
        for ask in (lambda: remote.fetch(f"{url}/a.parquet", 0, 10), lambda: find([url], Path())):
            with pytest.raises(StoreError, match=f"no answer in {remote.SLOW_TRIES} tries"):
                ask()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_store_that_sends_elsewhere_is_not_followed(
    bucket: str, crawl: Path, endpoint: Any, server: int, status: int
) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    with meddling(server, lambda *asked: asked[2]) as other:
        target = f"http://localhost:{other.server_address[1]}/secret"
        with meddling(server, lambda *asked: (status, {"Location": target}, b"")) as proxy:
            endpoint(proxy.server_address[1])
            for ask in (lambda: remote.fetch(f"{url}/a.parquet"), lambda: find([url], Path())):
                with pytest.raises(RedirectError, match="sends to localhost"):
                    ask()
            address = f"http://127.0.0.1:{proxy.server_address[1]}/a.jsonl"
            with pytest.raises(RedirectError, match="sends to localhost"):
                inspect(address)
        assert other.asked == []


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_web_server_that_refuses_has_no_missing_file(server: int, environment: Any, status: int) -> None:
    with meddling(server, lambda *asked: (status, {}, b"no")) as proxy:
        address = f"http://127.0.0.1:{proxy.server_address[1]}/a.jsonl"
        with pytest.raises(StoreError, match=f"HTTP {status}"):
            find([address], Path())


@pytest.mark.parametrize("tail", ["", "/", "/crawl", "/crawl/*.parquet", "/crawl/**", "/crawl/a.parquet"])
def test_a_bucket_that_is_not_there_is_said_so(bucket: str, tail: str) -> None:
    found = find([f"{bucket}-none{tail}"], Path())
    [finding] = found.findings
    assert finding.code == "C020"
    assert f"there is no bucket '{bucket.removeprefix('s3://')}-none'" in finding.message


@pytest.mark.long
def test_without_credentials_there_is_a_word_about_them(bucket: str, crawl: Path, tmp_path: Path) -> None:
    url = upload(crawl, f"{bucket}/crawl")
    (tmp_path / "r.yaml").write_text(json.dumps(recipe(url)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") or "ENDPOINT" in name}
    none = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path), "AWS_DEFAULT_REGION": "us-east-1"}
    for command in (["check", "r.yaml"], ["status", "-w", f"{bucket}/ws"]):
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *command],
            cwd=tmp_path, env=kept | none, capture_output=True, text=True, timeout=240,
        )  # fmt: skip
        assert "R010" in done.stderr, done.stderr
        assert "credentials" in done.stderr
        assert bucket in done.stderr
        assert "Traceback" not in done.stderr
