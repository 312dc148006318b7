"""The page of a video: what each system has to show, nothing from outside, and a reason where there is no verdict."""

import base64
import dataclasses
import io
import os
import pathlib
import re

import av
import jax
import numpy as np
import pytest
from hostile import NAME, assert_escaped
from markupsafe import Markup

from fusion_dfd.evaluation import real_motion
from fusion_dfd.explain import annotated_video, evidence, languages, page, sentences
from fusion_dfd.models import registry
from fusion_dfd.runs.run import MOTION, Run
from fusion_dfd.types import DataError

TOP = ["What is known", "What is not known", "What else to check", "Content Credentials"]
ALWAYS = [*TOP, "The video, as the detector followed it", "Second by second", "The facts"]
HIDDEN = "What if a part of the face were hidden?"
SHOWN = {
    "fusion": ["Frames, and what in them counted", "When it looked", "Fine motion", "What if it lacked one kind"],
    "micro alone": ["When it looked", "Fine motion"],
    "sequence": ["Frames, and what in them counted"],
    "frame": ["Frames, and what in them counted"],
    "frame of a ViT": ["Frames, and what in them counted"],
    "flow": ["Frames, and what in them counted", "Fine motion"],
    "r2plus1d": ["Frames, and what in them counted"],
    "timesformer": ["Frames, and what in them counted"],
}
"""Parts that depend on the system."""


def titles(text: str) -> list[str]:
    """The English ones; all have a translation."""
    found = re.findall(r'<h2><span class="told" lang="en">(.*?)</span>', text)
    assert len(found) == text.count("<h2>")
    return found


def written(build, path: str, directory, variant: str = "fusion", **changes) -> tuple:
    verdict, place = page.write(build(variant, **changes), path, str(directory))
    return verdict, pathlib.Path(place)


@pytest.fixture
def english(monkeypatch):
    """What pages say in English alone, although it is told."""
    found, told = [], languages.told

    def heard(text):
        if not isinstance(text, Markup) and re.search(r"[a-z]{2}", text) and languages.translated(text, "de") is None:
            found.append(text)
        return told(text)

    monkeypatch.setattr(languages, "told", heard)
    return found


def test_every_system_is_looked_at(variants):
    assert {variants[name].get("system", "fusion") for name in SHOWN} == set(registry.SYSTEMS)


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("fusion", "frame"))) for name in SHOWN]
)
def test_a_page_shows_what_the_system_knows_and_leaves_out_what_it_does_not(build, video, tmp_path, variant, english):
    detector = build(variant)
    verdict, place = page.write(detector, video(30), str(tmp_path))
    text = place and pathlib.Path(place).read_text()
    found = titles(text)
    assert english == []
    expected = {*ALWAYS, HIDDEN, *SHOWN[variant], "Motion beside that of real videos"}
    assert len(found) == len(expected)
    assert all(any(title.startswith(want) for title in found) for want in expected)
    assert "The run has no motion.npz" in text
    assert "not calibrated" in text
    assert 'src=""' not in text
    assert not re.search(r"<(p|figure|figcaption)\b[^>]*>\s*</", text)
    links = re.findall(r'\b(?:src|href|poster|action)\s*=\s*["\']?([^"\'> ]{0,5})', text)
    assert links
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"<(script|link|iframe|object)|@import|url\((?!#)", text)
    assert verdict.probability == pytest.approx(detector.predict(video(30)).probability, abs=1e-6)


def test_the_video_is_scored_once(build, video, tmp_path, monkeypatch):
    detector, scans = build("sequence"), []
    score = detector.score
    monkeypatch.setattr(detector, "score", lambda *given, **more: scans.append(given) or score(*given, **more))
    page.write(detector, video(30), str(tmp_path))
    assert len(scans) == 1


@pytest.mark.parametrize("for_others", [False, True])
def test_a_page_for_others_names_no_folder_and_no_command(build, tmp_path, for_others):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"")
    _, place = page.write(build("sequence"), str(path), str(tmp_path / "out"), for_others=for_others)
    said = pathlib.Path(place).read_text()
    facts = said[said.index("The facts") : said.index("<details>")]
    assert (str(tmp_path) in facts) != for_others
    assert ('lang="en">command</span>' in facts) != for_others


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("notes & <b>.mp4", b"no video at all " * 99, "text, not a video"),
        ("empty.mp4", b"", "empty"),
        ("gone.mp4", None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_scored_has_a_short_page_with_the_reason(build, tmp_path, name, content, reason):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    verdict, place = written(build, str(path), tmp_path / "out", "sequence")
    text = place.read_text()
    assert verdict.verdict == "none"
    assert titles(text) == ["Why there is no verdict", *TOP, "The facts"]
    assert reason in text
    assert "<b>.mp4" not in text
    assert not place.with_suffix(".mp4").exists()


def test_a_hostile_name_is_shown_on_page_and_list_and_is_no_tag(build, video, tmp_path):
    good, gone = tmp_path / f"{NAME}.mp4", tmp_path / f"{NAME}-gone.mp4"
    good.write_bytes(pathlib.Path(video(20)).read_bytes())
    out = str(tmp_path / "out")
    for verdict in page.write_many(build("sequence"), out, [str(good), str(gone)]):
        assert_escaped(pathlib.Path(page.place(out, verdict.path)).read_text(), 2)


def test_no_face_no_verdict(build, video, tmp_path):
    _, place = written(build, video(20), tmp_path, "sequence", faces=lambda _: [])
    assert titles(place.read_text()) == ["Why there is no verdict", *TOP, "The facts"]
    assert re.search(r"no face found in the \d+ frames looked at", place.read_text())


def test_a_face_seen_on_one_frame_of_a_file_is_explained_as_far_as_it_goes(build, video, tmp_path):
    verdict, place = written(build, video(1), tmp_path)
    assert verdict.verdict == "uncertain"
    assert "too short" in place.read_text()
    assert "Fine motion" not in titles(place.read_text())


def test_a_file_without_a_frame_rate_tells_nothing_by_second(build, video, tmp_path, monkeypatch):
    detector = build("sequence")
    probe = evidence.DeepfakeDetector._read

    def timeless(self, scored, told):
        for window in probe(self, scored, told):
            window.seconds = None
            yield window
        scored.scan.info = annotated_video.VideoInfo(30, 0.0, 64, 48, "h264", 0)

    monkeypatch.setattr(evidence.DeepfakeDetector, "_read", timeless)
    _, place = page.write(detector, video(30), str(tmp_path))
    text = pathlib.Path(place).read_text()
    assert "Second by second" not in titles(text)
    assert "frame rate unknown" in text
    assert "frames 0 to 5" in text


def test_every_person_has_a_line_and_one_speaks(build, video, tmp_path):
    def two(_):
        return [(2, 2, 30, 0.99), (36, 20, 22, 0.95)]

    verdict, place = written(build, video(40), tmp_path, "sequence", faces=two)
    assert len(verdict.faces) == 2
    text = place.read_text()
    assert "Second by second, person by person" in text
    assert "face 0 (speaks for the video)" in text
    assert "1 more person is in the picture" in text


def test_the_motion_is_set_beside_that_of_the_run_s_real_videos(build, video, tmp_path, rng):
    run = tmp_path / "run"
    run.mkdir()
    moves = rng.normal(-5, 1, (60, real_motion.FEATURES))
    Run(run).save_motion(real_motion.fit(moves, moves[:19]))
    detector = build("sequence", run=Run(run))
    _, verdict, found = evidence.gather(detector, video(30))
    assert [second for second, _ in found.pace.seconds] == [second for second, _ in verdict.faces[0].timeline]
    distances = {}
    for window, motion in zip(*_motions(build("sequence"), video(30)), strict=True):
        for second in {int(index / 25) for index in window.indices}:
            distances.setdefault(second, []).append(found.pace.reference.distances(motion[None])[0])
    assert dict(found.pace.seconds) == pytest.approx({second: np.mean(values) for second, values in distances.items()})
    _, place = page.write(detector, video(30), str(tmp_path / "out"))
    text = pathlib.Path(place).read_text()
    assert "of 19 real windows lie as far" in text
    assert "It is not recorded what this detector was trained on" in text


def _motions(detector, path: str) -> tuple[list, list]:
    (scored,) = detector.score([path], keep=lambda _: True)
    return scored.windows, [real_motion.motion(window.frames, window.landmarks) for window in scored.windows]


def test_a_damaged_reference_is_said_on_the_page(build, video, tmp_path):
    (tmp_path / MOTION).write_bytes(b"nothing")
    _, place = written(build, video(20), tmp_path / "out", "sequence", run=Run(tmp_path))
    assert "no reference of real motion of this version" in place.read_text()


def test_the_video_lies_beside_the_page_and_in_it(build, video, tmp_path):
    _, place = written(build, video(30), tmp_path, "sequence")
    beside = place.with_suffix(".mp4").read_bytes()
    inside = re.search(r'src="data:video/mp4;base64,([^"]*)"', place.read_text()).group(1)
    assert base64.b64decode(inside) == beside
    with av.open(io.BytesIO(beside)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        assert (stream.codec_context.name, len(frames), float(stream.average_rate)) == ("h264", 30, 25.0)
    assert not any(side % 2 for side in (frames[0].width, frames[0].height))


def test_a_model_whose_answer_is_no_number_is_shown_as_far_as_it_goes(build, video, tmp_path):
    detector = build("sequence")
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), detector.trained.weights["params"])
    broken = dataclasses.replace(detector.trained, weights={**detector.trained.weights, "params": params})
    detector = evidence.DeepfakeDetector(broken, detector.rules, 4, build_finder=lambda _: build("sequence").finder)
    verdict, place = page.write(detector, video(20), str(tmp_path))
    assert verdict.verdict == "uncertain"
    text = pathlib.Path(place).read_text()
    assert "not a number" in text
    assert HIDDEN not in titles(text)
    assert "Frames, and what in them counted" not in titles(text)


def test_frames_that_lie_apart_show_no_motion(build, video, tmp_path, monkeypatch):
    detector = build("sequence")
    monkeypatch.setattr(detector.config.faces, "sampling", "uniform")
    _, place = page.write(detector, video(20), str(tmp_path))
    assert "Motion beside that of real videos" not in titles(pathlib.Path(place).read_text())


def test_a_file_name_that_is_no_text_is_shown(build, tmp_path):
    path = os.fsdecode(bytes(tmp_path) + b"/\xff\xfe.mp4")
    verdict, place = page.write(build("sequence"), path, str(tmp_path / "out"))
    assert verdict.verdict == "none"
    assert "??.mp4" in pathlib.Path(place).read_text()


def test_pages_never_share_a_name(tmp_path):
    paths = ["a/x.mp4", "b/x.mp4", "x.mov", "x.mp4", "x y/ü?.mp4", "x y/ö?.mp4", "..mp4", "n" * 300 + ".mp4"]
    names = [page.file_name(str(tmp_path / path)) for path in paths]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,80}", name) for name in names)


def test_every_video_has_its_page(build, video, tmp_path):
    bad = tmp_path / "bad [1].mp4"
    bad.write_text("text " * 99)
    paths, out = [video(20), str(bad)], str(tmp_path / "out")
    verdicts = list(page.write_many(build("sequence"), out, paths))
    assert [verdict.verdict == "none" for verdict in verdicts] == [False, True]
    assert all(os.path.exists(page.place(out, path)) for path in paths)


def test_a_folder_that_cannot_be_written_is_one_sentence(build, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        page.write(build("sequence"), str(tmp_path / "gone.mp4"), str(tmp_path / "file"))


def test_headlines_never_say_certain():
    assert sentences.number(0.99999) == "above 0.99"
    assert sentences.number(1e-9) == "below 0.01"
    assert sentences.number(0.5) == "0.50"
