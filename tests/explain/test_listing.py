"""The list of verdicts: the most suspicious first, links to what there is, escaped, bounded."""

import json
import os
import re

import pytest
from hostile import NAME, assert_escaped

from fusion_dfd.explain import listing
from fusion_dfd.predict.verdict import Verdict

GIVEN = [
    ("low.mp4", "real", 0.1),
    ("gone.mp4", "none", None),
    ("high.mp4", "fake", 0.8),
    ("odd.mp4", "uncertain", float("nan")),
    ("open.mp4", "uncertain", 0.9),
    ("higher.mp4", "fake", 0.95),
]
ORDER = ["higher", "high", "open", "low", "gone", "odd"]


def verdicts() -> list[Verdict]:
    return [Verdict(path, name, number, (), "why", warnings=("careful",)) for path, name, number in GIVEN]


def listed(text: str) -> list[str]:
    return re.findall(r'class="name">(?:<a [^>]*>)?(\w+)\.mp4', text)


@pytest.fixture
def write(tmp_path):
    """``write(verdicts, page_of)``: text of the list."""

    def made(given, page_of=None) -> str:
        values = [json.loads(verdict.to_json()) for verdict in given]
        listing.write(str(tmp_path / "list.html"), iter(values), page_of, "the detector")
        return (tmp_path / "list.html").read_text()

    return made


def test_the_most_suspicious_come_first(write):
    text = write(verdicts())
    assert listed(text) == ORDER
    assert "looks fake: 2" in text
    assert "the detector" in text
    assert text.count("careful") == 1


def test_only_pages_that_are_there_are_linked(write, tmp_path):
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "high 1.html").write_text("")
    text = write(verdicts(), lambda path: str(tmp_path / "pages" / path.replace(".mp4", " 1.html")))
    assert re.findall(r'href="(.*?)"', text) == ["pages/high%201.html"]


def test_long_lists_are_cut_and_the_rest_is_counted(write, monkeypatch):
    monkeypatch.setattr(listing, "MOST", 2)
    text = write(verdicts())
    assert listed(text) == ORDER[:2]
    assert "4 less suspicious videos" in text


def test_names_of_strangers_are_escaped(write):
    assert_escaped(write([Verdict(NAME, "none", None, (), NAME), Verdict(os.fsdecode(b"\xff.mp4"), "none", None, ())]))


def test_the_list_grows_with_the_verdicts(tmp_path):
    path = tmp_path / "index.html"
    seen = []
    for verdict in listing.keep(verdicts(), str(path), lambda _: "", ""):
        seen.append(verdict.path)
        assert path.exists()
    assert seen == [path for path, *_ in GIVEN]
    assert listed(path.read_text()) == ORDER
