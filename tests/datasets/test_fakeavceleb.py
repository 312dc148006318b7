import collections
import logging

import pytest
import trees

from fusion_dfd.datasets import fakeavceleb
from fusion_dfd.types import DataError, Video


@pytest.fixture
def root(tmp_path):
    trees.fakeavceleb(tmp_path)
    return tmp_path


def test_every_field_of_a_fake_video(root):
    found = {video.id: video for video in fakeavceleb.videos(str(root))}
    place = "FakeVideo-RealAudio/African/men/id00076/00109_id00098_wavtolip.mp4"
    name, source = "FakeVideo-RealAudio/id00076/00109_id00098_wavtolip", "RealVideo-RealAudio/id00076/00109"
    split = found[name].split
    about = (name, str(root / place), 1, "fakeavceleb", "wav2lip", "", split, "id00076", source)
    expected = Video(*about, attributes=(("race", "African"), ("gender", "men")))
    assert found[name] == expected


def test_a_forged_sound_alone_is_real_to_the_eye(root):
    kinds = {
        label: collections.Counter((v.id.partition("/")[0], v.label, v.method) for v in found)
        for label in ("visual", "any")
        for found in [fakeavceleb.videos(str(root), label=label)]
    }
    assert kinds["visual"]["RealVideo-FakeAudio", 0, "original"] == 4
    assert kinds["any"]["RealVideo-FakeAudio", 1, "sound"] == 4
    assert kinds["any"]["RealVideo-RealAudio", 0, "original"] == 4
    with pytest.raises(DataError, match=r"label 'audio' is none of visual .* and any"):
        fakeavceleb.videos(str(root), label="audio")


def test_splits_are_drawn_by_the_person_on_screen(root):
    found = fakeavceleb.videos(str(root), fractions=(0.5, 0.25, 0.25))
    people = collections.defaultdict(set)
    for video in found:
        people[video.group].add(video.split)
    assert all(len(of) == 1 for of in people.values())
    assert collections.Counter(next(iter(of)) for of in people.values()) == {"train": 2, "val": 1, "test": 1}


def test_the_numbers_of_the_release_are_known(root, caplog):
    with caplog.at_level(logging.WARNING):
        fakeavceleb.videos(str(root))
        fakeavceleb.videos(str(root), label="any")
    assert "8 real and 8 fake videos, FakeAVCeleb has 1000 and 20544" in caplog.text
    assert "4 real and 12 fake videos, FakeAVCeleb has 500 and 21044" in caplog.text


def test_files_and_rows_without_the_other_are_said(root, caplog):
    trees.touch(root, "FakeVideo-RealAudio/Asian (South)/women/id00032/00028_x.mp4")
    (root / "RealVideo-RealAudio/African/men/id00076/00109.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(fakeavceleb.videos(str(root))) == 16
    assert "1 left out, because meta_data.csv does not list them" in caplog.text
    assert "1 of 16 videos are missing" in caplog.text


def test_folders_of_races_may_be_spelled_otherwise(root):
    for kind in fakeavceleb.COUNTS:
        (root / kind / "African").rename(root / kind / "african (all)")
    assert all("african (all)" in video.path for video in fakeavceleb.videos(str(root)))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            "wav2lip,C,FakeVideo-RealAudio",
            "real,C,FakeVideo-RealAudio",
            "has method 'real', but type FakeVideo-RealAudio",
        ),
        (
            "real,A,RealVideo-RealAudio",
            "fsgan,A,RealVideo-RealAudio",
            "has method 'fsgan', but type RealVideo-RealAudio",
        ),
        ("real,A,RealVideo-RealAudio", "real,A,Real", "has type 'Real', want RealVideo-RealAudio"),
        ("00109.mp4", "00109", "names no person and video"),
    ],
)
def test_rows_that_contradict_themselves_are_named(root, before, after, said):
    table = root / "meta_data.csv"
    table.write_text(table.read_text().replace(before, after, 1))
    with pytest.raises(DataError, match=said):
        fakeavceleb.videos(str(root))
