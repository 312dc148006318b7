import json
import logging

import pytest
import trees

from fusion_dfd.datasets import splits, talkingheadbench
from fusion_dfd.types import DataError, Video

LIST = "real/real_dataset_split_official_ff++.json"


@pytest.fixture
def root(tmp_path):
    trees.talkingheadbench(tmp_path)
    return tmp_path


def opened(root, **options):
    joined = {"originals": str(root / "faceforensics"), "celebvhq": str(root / "celebvhq")} | options
    return talkingheadbench.videos(str(root), **joined)


def test_a_fake_follows_the_clip_that_drives_it(root):
    found = {video.id: video for video in opened(root)}
    name = "00198--cTest_3--Hallo2"
    path = str(root / f"fake/Hallo2/test/{name}.mp4")
    assert found[name] == Video(name, path, 1, "talkingheadbench", "Hallo2", "", "test", "cTest_3", "cTest_3")
    assert found["cTest_3"].path == str(root / "celebvhq/cTest_3.mp4")
    (root / "fake/Hallo2/train" / f"{name}.mp4").write_bytes((root / path).read_bytes())
    (root / path).unlink()
    moved = {video.id: video.split for video in opened(root)}
    assert moved[name] == "test", "the list decides, not the folder"


def test_a_lost_hyphen_is_put_back(root):
    found = {video.id: video for video in opened(root)}
    assert found["00198--aTrain_1--Hallo2"].source == "-aTrain_1"


def test_held_out_generators_are_test(root, caplog):
    trees.touch(root, "fake/additional_dataset/Hallo3/4-bVal_2.mp4")
    with caplog.at_level(logging.WARNING):
        found = opened(root)
    assert {v.split for v in found if v.method in talkingheadbench.HELD_OUT} == {"test"}
    assert splits.findings(found) == []
    assert "1 left out, because the clips that drive them are listed in train or val: " in caplog.text


def test_real_videos_come_from_elsewhere(root):
    with pytest.raises(DataError, match="has no real videos: give --originals, the root of FaceForensics"):
        opened(root, originals="")
    assert {v.id for v in opened(root, celebvhq="") if not v.label} == {"071", "720", "953"}


def test_odd_names_and_lists_are_named(root):
    blocks = json.loads((root / LIST).read_text())
    trees.write(root, LIST, blocks | {"Val": blocks["Test"]})
    with pytest.raises(DataError, match=r"lists 953.mp4 in val and test; restore the file"):
        opened(root)
    trees.write(root, LIST, blocks)
    trees.touch(root, "fake/Hallo/test/00198.mp4")
    with pytest.raises(DataError, match=r"00198.mp4 is not named <n>--<driver>--Hallo.mp4; move it away"):
        opened(root)
