import logging

import pytest
import trees

from fusion_dfd.datasets import deepspeak, splits
from fusion_dfd.types import DataError, Video


def test_the_names_of_v1_say_who_is_in_a_fake(tmp_path):
    trees.deepspeak_v1(tmp_path)
    found = {video.id: video for video in deepspeak.v1(str(tmp_path))}
    name = "facefusion_live--10-11--4100-4897--0"
    path = str(tmp_path / "videos" / f"{name}.mp4")
    where = ("deepspeak_v1", "facefusion_live", "", "train", "10", "11-4897")
    assert found[name] == Video(name, path, 1, *where)
    assert found["11-4897"].group == found["10-4100"].group == "10"


def test_the_table_of_v2_says_who_is_in_a_fake(tmp_path):
    trees.deepspeak_v2(tmp_path)
    found = {video.id: video for video in deepspeak.v2(str(tmp_path))}
    name = "memo-1-2-real"
    where = ("deepspeak_v2", "memo", "", "test", "20", "21-2")
    assert found[name] == Video(name, str(tmp_path / f"deepspeak-v2-1/{name}.mp4"), 1, *where)


def test_a_fake_across_splits_is_left_out(tmp_path, caplog):
    trees.deepspeak_v1(tmp_path)
    trees.touch(tmp_path, "videos/wav2lip--10-21--4100-2--0.mp4")
    with caplog.at_level(logging.WARNING):
        assert splits.findings(deepspeak.v1(str(tmp_path))) == []
    assert "1 left out, because their two people lie in different splits" in caplog.text
    assert "4 real and 2 fake videos, DeepSpeak v1.1 has 6667 and 6796" in caplog.text


def test_the_other_release_is_recognised(tmp_path):
    trees.deepspeak_v1(tmp_path / "one")
    trees.deepspeak_v2(tmp_path / "two")
    with pytest.raises(DataError, match=r"is named as in DeepSpeak v2: choose --dataset deepspeak_v2"):
        deepspeak.v1(str(tmp_path / "two"))
    with pytest.raises(DataError, match=r"holds no annotations-fake.csv, but .*check --root"):
        deepspeak.v2(str(tmp_path / "one"))
    trees.touch(tmp_path, "two/wav2lip--10-11--1-2--0.mp4")
    with pytest.raises(DataError, match=r"is named as in DeepSpeak v1.1: choose --dataset deepspeak_v1"):
        deepspeak.v2(str(tmp_path / "two"))


def test_files_that_the_tables_do_not_know_are_said(tmp_path, caplog):
    trees.deepspeak_v2(tmp_path)
    trees.touch(tmp_path, "a/notes.mp4", "a/memo-3-4-real.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(deepspeak.v2(str(tmp_path))) == 6
    assert "1 left out, because they are not named as in DeepSpeak v2" in caplog.text
    assert "1 left out, because annotations-fake.csv does not list them" in caplog.text
    trees.touch(tmp_path, "a/99-1.mp4")
    with pytest.raises(DataError, match=r"annotations-split-def.csv does not list people 99; restore it"):
        deepspeak.v2(str(tmp_path))


def test_one_video_in_two_archives_is_refused(tmp_path):
    trees.deepspeak_v1(tmp_path)
    trees.touch(tmp_path, "again/10-4100.mp4")
    with pytest.raises(DataError, match=r"deepspeak_v1/original//10-4100 are under .* twice"):
        deepspeak.v1(str(tmp_path))


@pytest.mark.parametrize(
    ("rows", "said"), [("10,val", "has split 'val', want train or test"), ("10,test", "in train and")]
)
def test_odd_splits_are_named(tmp_path, rows, said):
    trees.deepspeak_v1(tmp_path)
    trees.write(tmp_path, "annotations-split-def.csv", f"{trees.SPEAKERS}{rows}\n")
    with pytest.raises(DataError, match=said):
        deepspeak.v1(str(tmp_path))
