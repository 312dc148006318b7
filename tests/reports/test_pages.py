"""Every kind of page escapes what it is given, and is written in the one look."""

import pathlib
import re
import types

import pytest
from hostile import NAME, assert_escaped

from fusion_dfd.evaluation import scores
from fusion_dfd.evaluation.summary import Unscored, summarise
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality import page as check_page
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.reports import comparison, evaluation_page, pages
from fusion_dfd.runs import robustness, search_page
from fusion_dfd.runs.search_space import Choice, Float
from fusion_dfd.types import Video

TEMPLATES = sorted((pathlib.Path(pages.__file__).parent / "templates").glob("*.j2"))


def hostile_rows(make) -> list:
    rows = make.table(pairs=2, clips=1)
    named = [make.score(9.0, "original", NAME, group="g"), make.score(-9.0, NAME, "f", group="g", label=1)]
    return [*rows, *named]


def evaluation(make, folder) -> str:
    rows = hostile_rows(make)
    lost = [Unscored(NAME, "ff", "original", "c23", "9", 0, "faceless", NAME)]
    about = evaluation_page.AboutRun(
        NAME, NAME, warnings=[NAME], robustness=[evaluation_page.RobustnessTable(NAME, NAME, [NAME], [[NAME]])]
    )
    path = evaluation_page.write(folder, summarise(rows, unscored=lost, bootstrap=0), rows, about=about)
    return pathlib.Path(path).read_text()


def compared(make, folder) -> str:
    found = comparison.comparison({NAME: summarise(hostile_rows(make), bootstrap=0)})
    return comparison.page(found, [NAME], NAME, {NAME: NAME})


def paired(make, folder) -> str:
    rows = scores.videos(make.table(pairs=2))
    return comparison.paired_page({NAME: rows, "other": rows}, [(NAME, NAME, [NAME] * 4, [[NAME] * 4])])


def robust(make, folder) -> str:
    rows = make.table(pairs=2, clips=1)
    found = robustness.table({"clean": rows, "blur-1": rows, **{f"blur-{n}": rows for n in range(2, 6)}}, OPTIONS)
    return pathlib.Path(robustness.write(str(folder), found, {"run": NAME, "data": NAME})).read_text()


OPTIONS = types.SimpleNamespace(aggregate="mean_probability", tracks="first", bootstrap=0)


def search(make, folder) -> str:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(study_name=NAME, direction="maximize")
    study.add_trial(
        optuna.create_trial(
            params={NAME: "a", "lr": 0.5},
            distributions={
                NAME: optuna.distributions.CategoricalDistribution(("a", "b")),
                "lr": optuna.distributions.FloatDistribution(0, 1),
            },
            value=0.5,
        )
    )
    return search_page._page(study, {NAME: Choice(("a", "b")), "lr": Float(0, 1)}, {NAME: "b", "lr": 0.1})


def check(make, folder) -> str:
    videos = [Video(NAME, f"/{n}", n, NAME, NAME, "", "train", "g", NAME) for n in (0, 1)]
    probes = [Probe(VideoInfo(30, 25.0, 64, 48, NAME, 0), "x", b"jpeg")] * 2
    return check_page.render(videos, probes, {NAME: NAME}, check_page.choose(videos), [NAME])


@pytest.mark.parametrize(
    ("build", "times"),
    [(evaluation, 12), (compared, 5), (paired, 9), (robust, 2), (search, 4), (check, 12)],
)
def test_a_hostile_name_is_shown_and_is_no_tag(make, tmp_path, build, times):
    text = build(make, tmp_path)
    assert_escaped(text, times)
    assert pages.STYLE in text
    assert text.startswith("<!doctype html>")


def test_every_template_is_a_page_of_the_one_skeleton():
    for path in TEMPLATES:
        text = path.read_text()
        if path.name not in ("page.html.j2", "macros.html.j2"):
            assert text.startswith('{% extends "page.html.j2" %}'), path.name
            assert "<style" not in text
        assert not re.search(r"\|\s*safe|autoescape|<script", text), path.name


def test_a_value_that_nobody_gave_is_an_error():
    with pytest.raises(Exception, match="is undefined"):
        pages.render("robustness", "title")
