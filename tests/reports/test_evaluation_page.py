"""The report: valid, self-contained, complete, and whole when parts are missing."""

import base64
import html.parser
import json
import pathlib
import re
import types

import cv2
import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from fusion_dfd.evaluation import scores
from fusion_dfd.evaluation.summary import Unscored, summarise
from fusion_dfd.reports import evaluation_page, plots, sections
from fusion_dfd.reports.evaluation_page import AboutRun
from fusion_dfd.types import DataError

HISTORY = [
    {"step": 10, "time": 1.0, "loss": 0.7, "lr": 1e-4, "note": "warm"},
    {"step": 20, "loss": float("nan"), "val/auc": 0.8, "val": {"loss": 0.5}},
    {"step": 30, "loss": 0.5, "val/auc": None},
    {"loss": 0.1},
]

VOID = {"meta", "img", "br", "link", "input", "hr"}


class _Page(html.parser.HTMLParser):
    """Checks that tags nest, and collects text, ids and all that a browser would fetch."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.text, self.ids, self.fetched, self.tags = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset"):
                self.fetched.append(value)
            self.fetched += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "style":
            self.fetched += re.findall(r"url\(([^)]*)\)|@import", data)


def _strip(score):
    return np.full((8, 24, 3), (250, 10, 10), np.uint8)


@pytest.fixture(scope="module")
def full(tmp_path_factory, make):
    clips = make.table(skill=1.0)
    frames = make.frames(clips)
    lost = [Unscored("ff/original/c23/<b>", "ff", "original", "c23", "9", 0, "faceless", "no <face>")]
    summary = summarise(clips, frames, lost, bootstrap=20)
    path = evaluation_page.write(
        tmp_path_factory.mktemp("full") / "report",
        summary,
        clips,
        frames,
        AboutRun("python train.py --x='<y>'", '{"name": "<fusion>"}', HISTORY, thumbnails=_strip),
    )
    with open(path, encoding="utf-8") as file:
        return summary, clips, frames, path, file.read()


def test_page_parses_and_asks_for_nothing(full):
    text = full[-1]
    page = _Page(text)
    assert all(target.startswith(("#", "data:image/")) for target in page.fetched)
    assert page.fetched
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    assert {target[1:] for target in page.fetched if target.startswith("#")} <= set(page.ids)
    assert "http" not in text


def test_page_holds_every_number(full):
    summary, _, _, _, text = full
    said = " ".join(_Page(text).text)
    for unit in summary["units"].values():
        assert unit["title"] in said
        for entry in unit["overall"]["metrics"].values():
            if entry["value"] is None:
                assert entry["note"] in said
                continue
            assert f"{entry['value']:.3f} " in said
            assert f"[{entry['low']:.3f}, {entry['high']:.3f}]" in said
    for method, block in summary["units"]["video"]["methods"].items():
        assert method in said
        assert f"{block['metrics']['eer']['value']:.3f}" in said
    for count in summary["units"]["video"]["overall"]["confusion"].values():
        assert str(count) in said
    for part in ("train.py --x='<y>'", '"<fusion>"', "no <face>", "scikit-learn", "val/auc", "Limits", "UTC"):
        assert part in said


def test_colours_follow_the_page(full):
    text = full[-1]
    assert not [stand_in for stand_in in plots.VARIABLES if stand_in in text]
    defined = set(re.findall(r"--(\w+):", text))
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= defined
    assert "#000000" not in text[text.index("<svg") :]


def test_files_beside_the_page(full):
    summary, clips, frames, path, _ = full
    folder = pathlib.Path(path).parent
    assert path == str(folder / "report.html")
    names = {"report.html", "metrics.json", "scores.csv", "frames.csv", "videos.csv"}
    assert {file.name for file in folder.iterdir() if file.suffix != ".parquet"} == names
    assert json.loads((folder / "metrics.json").read_text()) == summary
    assert scores.read_csv(folder / "scores.csv") == clips
    assert scores.read_csv(folder / "frames.csv", scores.FrameScore) == frames
    assert scores.read_csv(folder / "videos.csv", scores.VideoScore) == scores.videos(clips)


def test_precision_equals_scikit_learn(make):
    rows = make.table(skill=1.0)
    block = summarise(rows, bootstrap=0)["units"]["window"]["overall"]
    expected, recall, _ = precision_recall_curve([row.label for row in rows], [row.logit for row in rows])
    found = sections.precision(block)
    np.testing.assert_allclose(found, (recall, expected), rtol=0, atol=1e-12)


def test_contact_sheet_shows_the_surest_mistakes_first(make):
    rows = [
        make.score(3.0, name="001"), make.score(9.0, name="002"), make.score(-1.0, name="003"),
        make.score(-4.0, "FaceSwap", "004_005"), make.score(2.0, "FaceSwap", "004_005", clip=1),
        make.score(5.0, "FaceSwap", "006_007"), make.score(np.nan, "FaceSwap", "008_009"),
    ]  # fmt: skip
    found = sections.find_mistakes(rows, scores.videos(rows), 0.5)
    assert [one.video.video[-7:] for one in found] == ["c23/002", "c23/001", "004_005"]
    assert found[2].window.logit == -4.0


def test_pictures_keep_their_colours_and_fit_the_page(make):
    one = sections.Mistake(types.SimpleNamespace(), make.score(0.0))
    uri = sections.picture(one, lambda _: np.tile(np.array([250, 10, 10], np.uint8), (20, 3000, 1)))
    jpeg = np.frombuffer(base64.b64decode(uri.removeprefix("data:image/jpeg;base64,")), np.uint8)
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    assert image.shape == (8, 1200, 3)
    np.testing.assert_allclose(image.mean((0, 1)), [250, 10, 10], atol=8)


def _raises(score):
    raise DataError("the shard is gone")


@pytest.mark.parametrize(
    ("select", "words", "thumbnails"),
    [
        (lambda row: True, "frames not available", None),
        (lambda row: row.label == 1, "no real rows", _raises),
        (lambda row: row.label == 0, "no fake among", lambda score: None),
        (lambda row: row.label == (row.logit > 0), "No video is on the wrong side", None),
        (lambda row: row.video.endswith("/000"), "1 group, too few", None),
    ],
)
def test_missing_parts_leave_the_rest_whole(tmp_path, make, select, words, thumbnails):
    clips = [row for row in make.table(skill=1.0, clips=1) if select(row)]
    path = evaluation_page.write(tmp_path, summarise(clips, bootstrap=20), clips, about=AboutRun(thumbnails=thumbnails))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    page = _Page(text)
    assert words in " ".join(page.text) + text
    assert "Learning curves" not in text
    assert "img" not in page.tags


def test_nan_scores_still_give_a_page(tmp_path, make):
    clips = [*make.table(), make.score(np.nan, name="099")]
    path = evaluation_page.write(tmp_path, summarise(clips, bootstrap=20), clips)
    with open(path, encoding="utf-8") as file:
        said = " ".join(_Page(file.read()).text)
    assert "1 of 41 scores are NaN" in said


@pytest.mark.parametrize("history", [[], [{"step": 1}], [{"loss": 0.3}], [{"step": 3, "loss": None}]])
def test_no_learning_curves_without_numbers(history):
    assert plots.learning(history) is None


def test_learning_curves_take_flat_and_nested_rows():
    drawn = plots.learning(HISTORY)
    for name in ("loss", "val/loss", "val/auc", "learning rate"):
        assert f">{name}<" in drawn
    assert "windows_per_second" not in plots.learning([{"step": 1, "windows_per_second": 3.0, "loss": 1.0}])


def test_equal_figures_are_equal_text(make):
    block = summarise(make.table(), bootstrap=0)["units"]["video"]["overall"]
    assert plots.reliability(block["reliability"]) == plots.reliability(block["reliability"])
