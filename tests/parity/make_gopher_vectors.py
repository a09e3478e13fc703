"""Write what datatrove says about texts: `gopher_quality_datatrove.json` and `c4_datatrove.json` beside this file.

Runs in an environment of its own, never in the project's, from the repository's root:

    python3.11 -m venv /tmp/datatrove && /tmp/datatrove/bin/pip install datatrove==0.10.1 spacy==3.8.18 nltk pyarrow
    /tmp/datatrove/bin/python tests/parity/make_gopher_vectors.py ../shared/data

For texts written here the files hold the text, the words and the measurements. For the data sets in the folder given,
which are not ours to ship, they hold row numbers, reasons and hashes only.
"""

# ruff: noqa: E501 - the texts read better in one piece

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter, GopherQualityFilter
from datatrove.utils.text import PUNCTUATION_SET, split_into_words

HERE = Path(__file__).parent
STEPS = {"web_samples": 1, "wikitext2_valid": 1, "human_web_quality": 1, "pep_versions": 24, "onestop_english": 8}
"""Every how many rows of each file."""

_SEA = (
    "The harbour lies open to the north, and the boats that come in at night have to be brought round with care. "
    "Nobody in the town remembers who built the wall; it's older than the church, and it won't be moved. "
    "In winter the water stands a foot above the quay, so the nets are hung in the loft and the boys mend them there. "
    "When spring comes (usually in late March) the first boats leave before light, and the women count the sails. "
)
_LINES = "A boat came in with the tide.\nWe had to wait for that.\nNobody knew where it had been.\nIt left at dawn.\n"
TEXTS = {
    "empty": "",
    "only white space": " \n\t\n ",
    "only symbols": "... --- !!! ### ***",
    "passes": _SEA,
    "passes twice over": _SEA * 2,
    "forty nine words": " ".join(["boat"] * 47) + " the of.",
    "fifty words": " ".join(["boat"] * 48) + " the of.",
    "too many words": "the boat of " * 33_400,
    "short words": "a I an is to of be at it on " * 12,
    "mean of exactly three": "the and " * 40,
    "long words": "the of " + "internationalisation counterrevolutionaries " * 40,
    "hashes": _SEA + "# " * 20,
    "hash tags": " ".join(f"#boat the #tide of sea{i}" for i in range(40)),
    "hashes on the bound": "the of boat tide sea sail net quay # wind " * 10,
    "ellipses": " ".join(["the boat ... of"] * 30),
    "one-character ellipses": " ".join(["the boat… of"] * 30),
    "four and six dots": _SEA + " .... " * 3 + "......" * 3,
    "bullets": "\n".join(f"- the boat of day {i} and tide" for i in range(30)),
    "round bullets, indented": "\n".join(f"   • the boat of day {i} and tide" for i in range(30)),
    "bullets on nine lines of ten": "\n".join((["- the boat and the tide of day"] * 9 + ["the last of the lines"]) * 2),
    "bullets behind other breaks": "\x0b".join(["- the boat of the day and tide"] * 20) + "\x85- the\u2028- of",
    "lines ending in dots": "\n".join(
        ["the boat came in and..."] * 10 + ["the tide was of no use to that old quay by the sea"] * 9
    ),
    "line ends with spaces behind dots": "\n".join(
        ["the boat came in and…  "] * 10 + ["the tide was of no use to us all now"] * 9
    ),
    "numbers": "the of " + "12 345 6.7 80% boat " * 30,
    "letters in eight of ten": "the of boat tide sea sail net quay 12 345 " * 10,
    "no stop words": "ships boats tides quays walls nets sails ropes masts decks " * 8,
    "one stop word": "the ships boats tides quays walls nets sails ropes masts decks " * 8,
    "stop words in capitals": "The And Of ships boats tides quays walls nets sails ropes masts decks " * 8,
    "contractions": "I don't, you won't, she'll, they've, it's, we're, I'm, he'd, let's, can't, cannot, ain't, y'all. "
    * 5
    + _SEA,
    "curly apostrophes": "I don’t, you won’t, she’ll, they’ve, it’s, we’re, I’m, he’d, let’s, can’t, ain’t. " * 5
    + _SEA,
    "hyphens and dashes": "well-known state-of-the-art 1990-1995 A-1 1-a pre--war post---war this—that – and so~on x-5. "
    * 5
    + _SEA,
    "addresses": "See http://www.example.com/a,b?c=d#e or www.example.org, mail me@example.net (or example.co.uk:8080/x). "
    * 5
    + _SEA,
    "abbreviations": "Mr. Smith of St. Paul, e.g. Ph.D. holders from the U.S. and D.C. met Dr. Who at 5 p.m. vs. 10am i.e. "
    * 4
    + _SEA,
    "money and units": "It cost $3.50, US$20, 5€, 20$ and £7k; 5km, 12kg, 30%, 4m², +5, 5+, C++ and 3x in 2mm. " * 4
    + _SEA,
    "brackets and quotes": "“Well”, he said, ‘(quite [so] {much})’ -- \"yes\"! 'No'?! ««Oui»» …and <b>on</b>; *bold*_x_ end.Next. "
    * 4
    + _SEA,
    "emoticons": "ok:) fine :-( (see): yes:D no;) <3 the end). " * 6 + _SEA,
    "accents and other scripts": "Zürich façade naïve Ελλάδα Москва 東京 मुंबई القاهرة the of and to. " * 6 + _SEA,
    "emoji": "Boats 🚤🚤 in ☀️ weather, the ✓ of it ½ ° ™ © all. " * 8 + _SEA,
    "no-break and zero-width spaces": "the\u00a0boat of\u200bthe tide\u3000and\ufeff sea " * 12,
    "control characters": "the boat\x00of\x01the tide \x1c and \x1f sea\x7f now " * 10,
    "long unbroken run": "the of " + "-" * 500 + " " + "." * 500 + " " + "!" * 300 + " " + _SEA,
    "five sentences": _LINES + "The quay was empty again.",
    "four sentences": _LINES,
    "one line of five sentences": _LINES.replace("\n", " ") + "So it goes.",
    "menu around prose": "Home\nAbout us\n" + _LINES + "Contact\nThe quay was empty again.\r\n\r\nCopyright 2020",
    "citation marks": "[1] The boat came in.[2]\nWe had to wait [citation needed].\nNobody knew it[edit].\n[] It left at dawn.\n"
    "The quay[12][13] was empty again.\nMark at the end of it all.[1]\nUnclosed [12 it is.\nOther [a] marks stay.",
    "marks that make an ellipsis": "It ended so..[3].\nIt ended well.[4]\n" + _LINES,
    "javascript": "Please enable JavaScript to read on.\n" + _LINES + "The quay was empty again.",
    "policies": "By going on you accept our Cookie Policy.\nSee our terms of use here.\nThis site uses cookies, friend.\n"
    + _LINES
    + "The quay was empty again.",
    "lorem ipsum": _LINES + "Lorem ipsum dolor sit amet.\nThe quay was empty again.",
    "lorem ipsum on a line that goes": _LINES + "Lorem ipsum dolor sit amet\nThe quay was empty again.",
    "lorem before brace": "Lorem ipsum dolor { sit amet.\n" + _LINES,
    "brace": _LINES + "if (x) { return it; } else, stop.\nThe quay was empty again.",
    "brace on a line that goes": _LINES + "if (x) {\nThe quay was empty again.",
    "brace on a line with javascript": _LINES + "Javascript { is a brace.\nThe quay was empty again.",
    "long word": _LINES + "A " + "x" * 1001 + " word it is.\nA " + "é" * 1000 + " word it is.",
    "short lines": "Yes.\nOh no.\nNot now.\nWell then.\n" + _LINES + "One two three.",
    "quotes end lines": 'He said "come in"\nShe said it was so\'\n“Well”\n' + _LINES + "Was it so?\nIt was so!",
    "sentences by mark": "Mr. Smith went to St. Paul. Wait... what? No!! Yes?! Well. (Then.) e.g. this. U.S. law it is. "
    "Dots.in.words. v1.2 is out. 3.50 it cost.\n",
    "odd breaks": "One line of it.\x0bTwo lines of it.\x0cThree lines of it.\x1cFour lines of it.\u2028Five lines of it.",
    "spaces inside marks": "[1]   The boat came in.\n[2]  We had to wait.\nNobody knew it. [3]\nIt left at dawn. Then it was so. Fine.",
    "kelvin sign": "We use coo\u212aies as others do.\n" + _LINES + "The quay was empty again.",
}


def measurements(text: str, words: list[str]) -> dict[str, float | None]:
    """What the filter computes on its way, by its own formulas; None where it would divide by zero."""
    solid = [word for word in words if any(character not in PUNCTUATION_SET for character in word)]
    lines = text.splitlines()

    def over(count: int, total: int) -> float | None:
        return count / total if total else None

    stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"}
    return {
        "words": len(solid),
        "tokens": len(words),
        "mean_word_length": float(np.mean([len(word) for word in solid])) if solid else None,
        "hash_ratio": over(text.count("#"), len(words)),
        "ellipsis_ratio": over(text.count("...") + text.count("…"), len(words)),
        "bullet_lines_ratio": over(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        "ellipsis_lines_ratio": over(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "alpha_words_ratio": over(sum(any(c.isalpha() for c in word) for word in words), len(words)),
        "stop_words": len(stop_words.intersection(words)),
    }


def verdict(rules: C4QualityFilter | GopherQualityFilter, text: str) -> tuple[str | None, str]:
    """The reason, None when the text stays, and the text as the filter left it."""
    document = Document(text=text, id="0")
    result = rules.filter(document)
    return (None if result is True else result[1]), document.text


def main(data: Path) -> None:
    gopher, c4 = GopherQualityFilter(), C4QualityFilter()
    made_with = {name: version(name) for name in ("datatrove", "spacy")}
    gopher_file: dict[str, object] = {"made_with": made_with, "texts": [], "shared": {}}
    c4_file: dict[str, object] = {"made_with": made_with, "texts": [], "shared": {}}
    for name, text in TEXTS.items():
        words = split_into_words(text, "en")
        reason = verdict(gopher, text)[0]
        known = {"name": name, "text": text} if len(text) < 100_000 else {"name": name, "repeat": _period(text)}
        listed = {"words": words} if len(words) < 20_000 else {"words_repeat": _period_of_words(words)}
        gopher_file["texts"].append({**known, **listed, "reason": reason, "measured": measurements(text, words)})
        if "text" in known:
            reason, left = verdict(c4, text)
            c4_file["texts"].append({"name": name, "text": text, "reason": reason, "left": None if reason else left})
    for file, step in STEPS.items():
        texts = pq.read_table(data / f"{file}.parquet", columns=["text"])["text"].to_pylist()[::step]
        gopher_file["shared"][file] = {"step": step, "reasons": [verdict(gopher, text)[0] for text in texts]}
        cleaned = [verdict(c4, text) for text in texts]
        c4_file["shared"][file] = {
            "step": step,
            "reasons": [reason for reason, _ in cleaned],
            "sha256": [None if reason else hashlib.sha256(left.encode()).hexdigest()[:16] for reason, left in cleaned],
        }
    for name, content in (("gopher_quality", gopher_file), ("c4", c4_file)):
        path = HERE / f"{name}_datatrove.json"
        path.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def _period(text: str) -> list[object]:
    for size in range(1, 100):
        if text == text[:size] * (len(text) // size):
            return [text[:size], len(text) // size]
    raise ValueError("a long text must repeat a short one")


def _period_of_words(words: list[str]) -> list[object]:
    for size in range(1, 100):
        if words == words[:size] * (len(words) // size):
            return [words[:size], len(words) // size]
    raise ValueError("a long text must repeat a short one")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
