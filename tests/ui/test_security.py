"""Whoever is not the page itself is refused: other sites, other names, no token; and no request makes the server read
or write what is not its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipelines.ui.security import Door
from schemas.errors import CurationError
from ui_server import serving

TOKEN = "correct-horse-battery"


def test_answers_forbid_what_a_document_could_make_a_browser_do(client: Any) -> None:
    for path in ("/", "/api/runs", "/api/nothing", "/runs/latest/documents"):
        _, headers, _ = client.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "python" not in headers["server"].lower()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost@evil.example", "", "10.0.0.1"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(host: str, client: Any) -> None:
    assert client.refused("GET", "/api/runs", Host=host) == (403, "C063")
    assert client.ask("GET", "/", headers={"Host": host})[0] == 403


def test_requests_that_are_not_well_formed_are_refused_as_others_are(client: Any) -> None:
    assert client.refused("POST", "/api/sql", {"query": "select 1"}, Origin="http://[::1") == (403, "C063")
    assert client.refused("POST", "/api/sql", b"no gzip", Content_Encoding="gzip") == (400, "C004")
    for label in ([], {}, 1):
        assert client.refused("POST", "/api/runs/latest/labels", {"doc": "1", "label": label}) == (400, "C004")
    for asked in ({"rows": 10**30}, {"rows": 20, "seed": 10**300}):
        assert client.refused("POST", "/api/runs/latest/audit", asked) == (400, "C004")


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"])
def test_names_of_loopback_are_ours(host: str, client: Any) -> None:
    assert client.ask("GET", "/api/runs", headers={"Host": host})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-Curation": None},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_another_site_can_change_nothing(headers: dict[str, str | None], client: Any) -> None:
    status, _, value = client.ask("POST", "/api/sql", {"query": "SELECT 1"}, headers)
    assert (status, value["error"]["code"]) == (403, "C063")


def test_another_site_reads_nothing(client: Any) -> None:
    assert client.refused("GET", "/api/runs", Origin="http://evil.example") == (403, "C063")
    assert client.refused("GET", "/api/events", **{"Sec-Fetch-Site": "cross-site"}) == (403, "C063")


def test_a_token_is_asked_for_wherever_there_is_data(numbers: Path) -> None:
    with serving(numbers, TOKEN) as client:
        assert client.refused("GET", "/api/runs") == (403, "C063")
        assert client.refused("GET", "/api/events") == (403, "C063")
        assert client.refused("GET", "/api/runs", Authorization="Bearer another-horse-battery") == (403, "C063")
        assert client.refused("GET", "/api/runs?token=" + TOKEN) == (403, "C063"), "addresses are logged"
        assert client.ask("GET", "/api/runs", headers={"Authorization": f"Bearer {TOKEN}"})[0] == 200
        assert client.ask("GET", "/?token=another-horse")[0] == 403
        status, headers, _ = client.ask("GET", f"/?token={TOKEN}&tab=x")
        assert (status, headers["location"]) == (303, "/?tab=x")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert client.ask("GET", "/api/runs", headers={"Cookie": cookie.partition(";")[0]})[0] == 200
        page = client.ask("GET", "/")
        assert page[0] == 200
        assert TOKEN.encode() not in page[2]


@pytest.mark.parametrize(("host", "token"), [("0.0.0.0", None), ("::", None), ("example.org", None), ("::1", "short")])
def test_no_door_is_open_to_other_machines_without_a_token(host: str, token: str | None) -> None:
    with pytest.raises(CurationError) as failure:
        Door(host, token)
    assert failure.value.findings[0].code == "C064"


def test_behind_an_open_host_names_are_looked_at_all_the_same() -> None:
    door = Door("0.0.0.0", TOKEN)
    assert door.is_ours("192.168.1.5:8765"), "an address cannot be made to lead elsewhere"
    assert not door.is_ours("evil.example")
    assert Door("box.example", TOKEN).is_ours("box.example:8765")


@pytest.mark.parametrize("size", [1_000_000])
def test_a_body_is_bounded(size: int, client: Any) -> None:
    status, _, value = client.ask("POST", "/api/sql", b'{"query": "' + b"x" * size + b'"}')
    assert (status, value["error"]["code"]) == (413, "C063")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"query": 1}', b"{}"])
def test_a_body_that_is_none_is_said_to_be_none(body: bytes, client: Any) -> None:
    assert client.refused("POST", "/api/sql", body) == (400, "C004")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../server.py",
        "/assets/..%2f..%2fserver.py",
        "/assets/%2e%2e/page.py",
        "/assets/..\\..\\server.py",
        "/assets//etc/passwd",
        "/assets/app.js%00",
    ],
)
def test_no_address_leads_to_other_files(path: str, client: Any) -> None:
    status, _, value = client.ask("GET", path)
    assert status == 404 or b'<div id="page">' in value
    assert status == 200 or value["error"]["code"] == "C032"


def test_sql_reads_the_workspace_and_nothing_else(client: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\nb\n")
    for query, codes in (
        (f"COPY (SELECT 1) TO '{tmp_path}/out.csv'", {"C033"}),
        (f"SELECT * FROM read_csv('{tmp_path}/secret.csv')", {"C034"}),
        ("SELECT * FROM read_text('/etc/passwd')", {"C034"}),
        ("ATTACH 'x.db'", {"C033"}),
        ("SELECT 1; SELECT 2", {"C033"}),
        ("SET memory_limit = '1TB'", {"C033"}),
        ("INSTALL httpfs", {"C033"}),
        ("\ud800", {"C033"}),
    ):
        status, code = client.refused("POST", "/api/sql", {"query": query})
        assert status == 400, query
        assert code in codes, (query, code)
    assert list(tmp_path.iterdir()) == [tmp_path / "secret.csv"]


def test_sql_that_runs_for_ever_ends(numbers: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("CURATION_SQL_SECONDS", "0.5")
    with serving(numbers) as client:
        query = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
        assert client.refused("POST", "/api/sql", {"query": query}) == (400, "C057")
        assert client.get("/api/workspace")["runs"] == 2
        assert client.post("/api/sql", {"query": "SELECT 1 AS one"})["rows"] == [[1]]


@pytest.mark.parametrize("run", ["'; DROP TABLE x; --", "..%2f..%2fetc", "%00", '"', "nothing", "x" * 3000])
def test_a_run_that_is_none_is_not_found(run: str, client: Any) -> None:
    from urllib.parse import quote

    name = run if run.startswith(("..%", "%")) else quote(run, safe="")
    for piece in ("", "/funnel", "/documents", "/audit", "/documents/1"):
        assert client.refused("GET", f"/api/runs/{name}{piece}") == (404, "C032"), piece


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("where=true)%20OR%20(1=1", "C033"),
        ("where=1;DROP%20TABLE%20x", "C033"),
        ("order=n.score;SELECT%201", "C033"),
        ("order=n.score)%20--", "C033"),
        ("where=1%3D1)%20--", "C033"),
        ("n=-1", "C004"),
        ("after=1e9", "C004"),
        ("outcome='", "C004"),
        ("stage=n'", "C032"),
        ("where=nothing.score%20>%201", "C034"),
    ],
)
def test_conditions_stay_conditions(query: str, code: str, client: Any) -> None:
    assert client.refused("GET", f"/api/runs/latest/documents?{query}")[1] == code
