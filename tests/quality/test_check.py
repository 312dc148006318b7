import os

import av
import cv2
import numpy as np
import probe_stubs
import pytest
import trees

from fusion_dfd import process_pool
from fusion_dfd.datasets import folder
from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality import check, page, probe_files
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.types import Video


def write(path, frames: int = 40, shade: int = 100, size: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 2 * size, size, "yuv420p"
        for number in range(frames):
            image = np.full((size, 2 * size, 3), shade + number % 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))


def video(name: str, label: int, source: str = "", group: str = "", method: str = "", split: str = "train") -> Video:
    method = method or ("fake" if label else "original")
    return Video(name, f"/d/{method}/{name}.mp4", label, "toy", method, "", split, group or name, source or name)


def info(**changes) -> VideoInfo:
    return VideoInfo(**{"frames": 30, "fps": 25.0, "width": 64, "height": 48, "codec": "h264", "damaged": 0, **changes})


def test_a_good_file_is_described_hashed_and_pictured(tmp_path):
    write(tmp_path / "a.mp4")
    found = probe_files.probe(str(tmp_path / "a.mp4"), picture=True)
    assert found.trouble == ""
    assert (found.info.frames, found.info.fps, found.info.width, found.info.height) == (40, 25, 128, 64)
    assert len(found.sha256) == 64
    picture = cv2.imdecode(np.frombuffer(found.thumbnail, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (probe_files.THUMBNAIL, 2 * probe_files.THUMBNAIL, 3)
    assert abs(int(picture.mean()) - 100) < 4
    assert probe_files.probe(str(tmp_path / "a.mp4")).thumbnail == b""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda whole: None, "No such file or directory, check path"),
        (lambda whole: b"", "empty"),
        (lambda whole: b"hello", "text, not a video"),
        (lambda whole: whole[: len(whole) // 2], "cut off before its index"),
        (lambda whole: os.urandom(1000), "not a video that FFmpeg can read"),
    ],
)
def test_a_bad_file_has_a_reason_without_its_path(tmp_path, content, said):
    path = tmp_path / "a.mp4"
    write(path)
    data = content(path.read_bytes())
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    found = probe_files.probe(str(path))
    assert said in found.trouble
    assert str(path) not in found.trouble


def test_a_folder_of_frames_is_probed_like_a_file(tmp_path):
    trees.touch(tmp_path, "bad/0.png")
    (tmp_path / "good").mkdir()
    for number in (0, 1, 5):
        assert cv2.imwrite(str(tmp_path / f"good/{number}.png"), np.full((24, 32, 3), number, np.uint8))
    found = probe_files.probe(str(tmp_path / "good"), picture=True)
    assert (found.info.frames, found.info.gaps, found.info.codec, found.trouble) == (3, 1, "png", "")
    assert found.thumbnail
    assert found.size == sum(path.stat().st_size for path in (tmp_path / "good").iterdir())
    assert len(found.sha256) == 64
    assert "not one of 1 frames can be opened" in probe_files.probe(str(tmp_path / "bad")).trouble


@pytest.mark.slow
def test_a_file_that_kills_its_reader_costs_nothing_else():
    paths = ["deadly.mp4", "a.mp4"]
    seen = []
    found = probe_files.probe_all(paths, 1, {"a.mp4"}, lambda: seen.append(1), probe_stubs.at)
    assert [probe.sha256 for probe in found] == ["", "a.mp4"]
    assert [probe.thumbnail for probe in found] == [b"", b"jpeg"]
    assert found[0].trouble == process_pool.DIED
    assert len(seen) == 2


def test_equal_files_are_named_with_their_labels():
    videos = [video("a", 0), video("b", 0), video("c", 1), video("d", 1)]
    probes = [Probe(info(), "x"), Probe(info(), "x"), Probe(info(damaged=1), "x"), Probe(info(), "y")]
    found = check.bad(videos, probes)
    assert found == {
        "/d/original/b.mp4": "the same content as /d/original/a.mp4: remove one of them",
        "/d/fake/c.mp4": "truncated or damaged in transfer: what can be decoded will be used; the same content as "
        "/d/original/a.mp4 although that is real: remove one of them",
    }


def test_media_are_the_most_frequent_values():
    videos = [video(name, 0) for name in "abc"] + [video("d", 1)]
    probes = [Probe(info(frames=n, fps=fps), "") for n, fps in ((10, 25), (20, 25), (90, 30))] + [Probe(error="bad")]
    found = page.by_kind(videos, probes, {"/d/fake/d.mp4"}, lambda one: one.label)
    assert found[0].cells() == ("3", "0", "20", "25 (67%)", "64x48", "h264")
    assert found[1].cells() == ("1", "1", "-", "-", "-", "-")


def test_pictures_show_every_method_beside_the_original():
    reals = [video(f"r{n:02d}", 0, group=f"g{n}") for n in range(30)]
    methods = ("A", "B", "C", "D")
    fakes = [video(f"r{n:02d}_{k}", 1, f"r{n:02d}", f"g{n}", m) for n in range(30) for m in methods for k in range(2)]
    lone = video("x", 1, "nobody", "g3", "E")
    chosen = page.choose([*fakes, *reals, lone])
    assert [len(shown) for shown in chosen.labels] == [page.SHOWN] * 2
    assert len(chosen.families) == page.FAMILIES
    for real, *beside in chosen.families:
        assert {fake.source for fake in beside} == {real.id}
        assert [fake.method for fake in beside] == ["A", "B", "C", "D", "A"]
    (family,) = page.choose([reals[3], lone]).families
    assert family == [reals[3], lone]


def test_the_page_opens_offline_and_escapes_names():
    videos = [video("<b>", 0), video("<b>_x", 1, "<b>")]
    probes = [Probe(info(), "x", b"jpeg"), Probe(info(), "y", b"jpeg")]
    text = page.render(videos, probes, {"/d/<i>.mp4": "empty & gone"}, page.choose(videos))
    assert "http" not in text
    assert "<script" not in text
    assert "&lt;b&gt;_x" in text
    assert "<b>_x" not in text
    assert "/d/&lt;i&gt;.mp4</td><td>empty &amp; gone" in text
    assert text.count("data:image/jpeg") == 4
    assert "Originals and their fakes" in text
    bare = page.render(videos, [Probe(error="bad")] * 2, {}, page.choose(videos))
    assert "2 files: 2 good, 0 bad" in bare
    assert "data:image" not in bare


def test_a_folder_is_checked_from_end_to_end(tmp_path, capsys):
    for n, name in enumerate(("real/a", "real/b", "fake/a_x", "fake/b_x")):
        write(tmp_path / "set" / f"{name}.mp4", shade=50 * n)
    (tmp_path / "set/fake/c.mp4").write_bytes(b"")
    out = tmp_path / "out"
    found = check.check(folder.videos(str(tmp_path / "set")), str(out), 1)
    bad = str(tmp_path / "set/fake/c.mp4")
    assert list(found) == [bad]
    assert (out / "bad_files.txt").read_text() == f"{bad}\tempty (0 bytes), copy or download it again\n"
    assert "5 files: 4 good, 1 bad" in (out / "check.html").read_text()
    assert "mpeg4" in capsys.readouterr().out
