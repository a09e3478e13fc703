"""What a URL is condemned for: by the lists given, however it is written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation import registry
from curation.rules import url as rules
from curation.scorers.base import Context
from curation.scorers.url import Url
from pipelines.workspace import Workspace
from schemas.documents import TEXT

LISTS = {
    "domains": "# blocked\nbad.com\n*.Worse.org.\nMÜNCHEN.de\nxn--fa-hia.de\n10.0.0.1\n0x7f.1\n[2001:DB8::1]\n"
    "deep.safe.net\n",
    "urls": "example.com/a\nhttps://Asks.com:443/?id=1\nhost.net\nport.net:8080/x/\n",
    "words": "porn\nadult video\n成人\n",
    "substrings": "free-sex\nx.y\n",
    "soft_words": "escort\nwebcam\nAdult Chat\n",
}


def scorer(folder: Path, **settings: Any) -> Url:
    return Url(Url.Settings.model_validate(settings), Context(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    for name, text in LISTS.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def everything(folder: Path) -> Url:
    return scorer(folder, **{name: f"{name}.txt" for name in LISTS})


def judge(scorer: Url, urls: list[str]) -> list[dict[str, Any]]:
    result = scorer.score(pa.record_batch({"url": pa.array(urls, TEXT)}))
    assert result.schema.equals(pa.schema(scorer.fields))
    return result.to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("url", "reason", "matched"),
    [
        ("https://bad.com/", "blocked_domain", "bad.com"),
        ("HTTP://user:pw@A.B.BAD.com.:80/x", "blocked_domain", "bad.com"),
        ("http://notbad.com", None, None),
        ("http://bad.com.au", None, None),
        ("http://a.com/bad.com", None, None),
        ("https://worse.org/?q", "blocked_domain", "*.Worse.org."),
        ("https://www.münchen.DE/", "blocked_domain", "MÜNCHEN.de"),
        ("https://xn--mnchen-3ya.de", "blocked_domain", "MÜNCHEN.de"),
        ("https://faß.de", "blocked_domain", "xn--fa-hia.de"),
        ("http://10.0.0.1:81/", "blocked_domain", "10.0.0.1"),
        ("http://0xA.1/", "blocked_domain", "10.0.0.1"),
        ("http://127.0.0.1/", "blocked_domain", "0x7f.1"),
        ("http://110.0.0.1/", None, None),
        ("http://[2001:db8:0::1]/", "blocked_domain", "[2001:DB8::1]"),
        ("http://safe.net/deep", None, None),
        ("http://very.deep.safe.net/", "blocked_domain", "deep.safe.net"),
        ("http://example.com/a", "blocked_url", "example.com/a"),
        ("https://example.com/b/../a/?z#f", "blocked_url", "example.com/a"),
        ("http://example.com/a/b/c?d", "blocked_url", "example.com/a"),
        ("http://example.com/ab", None, None),
        ("http://example.com/A", None, None),
        ("http://www.example.com/a", None, None),
        ("http://example.com:81/a", None, None),
        ("http://asks.com?id=1#x", "blocked_url", "https://Asks.com:443/?id=1"),
        ("http://asks.com/?id=12", None, None),
        ("http://asks.com/", None, None),
        ("ftp://host.net/x/y", "blocked_url", "host.net"),
        ("http://sub.host.net/", None, None),
        ("http://port.net:8080/x", "blocked_url", "port.net:8080/x/"),
        ("http://port.net/x", None, None),
        ("http://x.com/a/Porn-1.html", "blocked_word", "porn"),
        ("http://porn.x.com/", "blocked_word", "porn"),
        ("http://x.com/pornography", None, None),
        ("http://x.com/?q=porn", None, None),
        ("http://x.com/%70orn", "blocked_word", "porn"),
        ("http://x.com/ADULT_video", "blocked_word", "adult video"),
        ("http://x.com/adult/the/video", None, None),
        ("http://x.com/%E6%88%90%E4%BA%BA", "blocked_word", "成人"),
        ("http://xn--gmq348b.com/", "blocked_word", "成人"),
        ("http://x.com/?q=Free.S-E.X", "blocked_substring", "free-sex"),
        ("http://carefreesexton.com/", "blocked_substring", "free-sex"),
        ("http://a.com/free/sex", None, None),
        ("http://box-y.com/", "blocked_substring", "x.y"),
        ("http://escort.com/webcam", "soft_words", "escort, webcam"),
        ("http://a.com/adult-chat/ESCORT", "soft_words", "Adult Chat, escort"),
        ("http://escort.com/escort", None, None),
        ("http://bad.com/porn", "blocked_domain", "bad.com"),
        ("http://host.net/porn", "blocked_url", "host.net"),
        ("", "invalid_url", None),
        ("bad.com", "invalid_url", None),
        ("http://a b/", "invalid_url", None),
        ("http://1.2.3.4.5/", "invalid_url", None),
        ("mailto:someone@bad.com", None, None),
    ],
)
def test_a_url_is_condemned_by_what_it_is_and_not_by_how_it_is_written(
    everything: Url, url: str, reason: str | None, matched: str | None
) -> None:
    [row] = judge(everything, [url])
    assert (row["pass"], row["reason"], row["matched"]) == (reason is None, reason, matched)


def test_scheme_and_host_are_the_parsed_ones(everything: Url) -> None:
    rows = judge(everything, ["HTTPS://u:p@WWW.Bücher.example:8080/x", "mailto:a@b.c", "file:///etc", "none"])
    assert [(row["scheme"], row["host"]) for row in rows] == [
        ("https", "www.xn--bcher-kva.example"),
        ("mailto", None),
        ("file", None),
        (None, None),
    ]


LABEL = st.sampled_from(["a", "b", "com", "x1", "sub-d"])
HOST = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@pytest.mark.long
@given(st.lists(HOST, max_size=5), st.lists(HOST, min_size=1, max_size=8))
@settings(deadline=None, max_examples=200)
def test_a_domain_blocks_itself_and_its_subdomains_alone(listed: list[str], hosts: list[str]) -> None:
    blocked = rules.Blocklists(domains=rules.domains(pa.array(listed, TEXT)))
    rows = rules.judge(pa.array([f"http://{host}/" for host in hosts], TEXT), blocked).to_pylist()
    for host, row in zip(hosts, rows, strict=True):
        above = [name for name in listed if host == name or host.endswith(f".{name}")]
        assert row["matched"] == (max(above, key=len) if above else None)


@pytest.mark.long
@given(st.lists(st.one_of(st.text(max_size=30), st.text(max_size=30).map("https://a.com/".__add__)), max_size=6))
@settings(deadline=None, max_examples=150)
def test_any_text_is_judged_and_alone_as_among_others(everything: Url, urls: list[str]) -> None:
    together = judge(everything, urls)
    assert together == [row for url in urls for row in judge(everything, [url])]
    assert all(row["pass"] == (row["reason"] is None) for row in together)


def test_soft_words_condemn_from_the_limit_on(folder: Path) -> None:
    for limit, expected in ((1, False), (2, False), (3, True)):
        [row] = judge(scorer(folder, soft_words="soft_words.txt", soft_limit=limit), ["http://escort.com/webcam"])
        assert row["pass"] is expected


def test_of_thousands_of_substrings_the_one_that_is_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("\n".join(f"sub{i}string" for i in range(5000)))
    many = scorer(tmp_path, substrings="many.txt")
    rows = judge(many, [f"http://a.com/-Sub{i}-String" for i in (0, 999, 1000, 4999, 5000)])
    assert [row["matched"] for row in rows] == ["sub0string", "sub999string", "sub1000string", "sub4999string", None]


def test_a_long_url_of_many_parts_takes_no_time(everything: Url) -> None:
    urls = [
        "http://example.com/" + "a/" * 500_000,
        "http://" + "a." * 120 + "bad.com/",
        "http://a.com/" + "%41" * 300_000,
    ]
    assert [row["reason"] for row in judge(everything, urls)] == ["blocked_url", "blocked_domain", None]


def test_several_files_are_one_list_compressed_or_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a.com\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"# b\nb.com\n"))
    rows = judge(scorer(tmp_path, domains=["a.txt", "b.txt.gz"]), ["http://a.com", "http://x.b.com", "http://c.com"])
    assert [row["matched"] for row in rows] == ["a.com", "b.com", None]


def test_a_list_that_changes_is_another_identity_and_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a.com\n")
    known = scorer(tmp_path, domains="a.txt")
    before = known.identity()
    assert [row["pass"] for row in judge(known, ["http://a.com", "http://b.com"])] == [False, True]
    (tmp_path / "a.txt").write_text("other.com\nb.com\n")
    assert known.identity() != before
    assert [row["pass"] for row in judge(known, ["http://a.com", "http://b.com"])] == [True, False]


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("domains", "0.0.0.0 bad.com", "'0.0.0.0 bad.com' is no domain"),
        ("domains", "http://bad.com", "is no domain"),
        ("domains", "bad.com/page", "is no domain"),
        ("domains", "bad.com:81", "is no domain"),
        ("urls", "file:///etc", "is no URL with a host"),
        ("urls", "http://a b", "is no URL with a host"),
        ("words", "!!!", "is no word"),
        ("substrings", "-.-", "not compared"),
    ],
)
def test_an_entry_that_could_never_match_is_refused(tmp_path: Path, name: str, entry: str, message: str) -> None:
    (tmp_path / "list.txt").write_text(f"fine.com\n{entry}\n")
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        scorer(tmp_path, **{name: "list.txt"}).load()


def test_a_wrong_entry_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("fine.com\ngood.com\n")
    (tmp_path / "two.txt").write_text("# pages\n\nfine.com\n bad domain \nother.com\nworse domain\n")
    with pytest.raises(ValueError, match=r"domains: .*two\.txt, line 4: 'bad domain' is no domain"):
        scorer(tmp_path, domains=["one.txt", "two.txt"]).check()


def test_a_list_that_does_not_exist_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        scorer(tmp_path, words="absent.txt")


def test_a_run_drops_what_the_lists_condemn(tmp_path: Path) -> None:
    (tmp_path / "domains.txt").write_text("bad.com\n")
    rows = [("http://bad.com/1", "One text."), ("http://good.com", "Another text."), (None, "A third text.")]
    lines = "".join(json.dumps({"address": url, "text": text}) + "\n" for url, text in rows)
    (tmp_path / "pages.jsonl").write_text(lines)
    recipe = {
        "name": "pages",
        "input": {"path": str(tmp_path / "pages.jsonl"), "columns": {"url": "address"}},
        "stages": [{"scorer": "url", "domains": str(tmp_path / "domains.txt"), "keep": "url.pass"}],
        "output": {"columns": ["text"]},
    }
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe, executor="local", workers=1)
    assert (result.outcome, result.kept, result.dropped) == ("done", 1, 2)
    found = workspace.sql("SELECT url.reason AS reason, url.host AS host FROM documents ORDER BY row").to_pylist()
    assert found == [
        {"reason": "blocked_domain", "host": "bad.com"},
        {"reason": None, "host": "good.com"},
        {"reason": "invalid_url", "host": None},
    ]


def test_a_recipe_finds_it() -> None:
    assert registry.find("scorer", "url") is Url
