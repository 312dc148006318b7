import logging

import pytest
import trees

from fusion_dfd.datasets import ffiw
from fusion_dfd.types import DataError, Video


@pytest.fixture
def root(tmp_path):
    trees.ffiw(tmp_path)
    return tmp_path


def test_every_field_of_a_fake_video(root):
    found = {(video.label, video.id): video for video in ffiw.videos(str(root))}
    name = "test_00000001"
    path, mask = (str(root / kind / "test" / f"{name}.mp4") for kind in ("target", "target_mask"))
    assert found[1, name] == Video(name, path, 1, "ffiw", "FFIW", "", "test", name, name, mask)
    assert found[0, name].path == str(root / "source/test/test_00000001.mp4")


def test_pairs_come_from_the_lists(root, caplog):
    pairs = [["test_00000000.mp4", "test_00000001.mp4"], ["test_00000009.mp4", "test_00000000.mp4"]]
    trees.write(root, "splits/test.json", pairs)
    with caplog.at_level(logging.WARNING):
        found = {video.id: video for video in ffiw.videos(str(root)) if video.label and video.split == "test"}
    assert found["test_00000001"].source == found["test_00000001"].group == "test_00000000"
    assert found["test_00000000"].source == "test_00000009"
    assert "1 videos of the list of test are absent: test_00000009" in caplog.text


def test_without_a_list_files_of_one_name_are_a_pair(root, caplog):
    before = ffiw.videos(str(root))
    (root / "splits/val.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert ffiw.videos(str(root)) == before
    assert "val.json is missing: the two videos of one name are taken for a pair" in caplog.text


def test_val_as_test_is_the_protocol_of_several_papers(root, caplog):
    with caplog.at_level(logging.WARNING):
        found = ffiw.videos(str(root), protocol="sbi")
    assert {video.split for video in found} == {"test"}
    assert {video.id[:4] for video in found} == {"val_"}
    assert "2 real and 2 fake videos, FFIW-10K has 250 and 250" in caplog.text
    with pytest.raises(DataError, match="no protocol 'all'; it has official, sbi"):
        ffiw.videos(str(root), protocol="all")


def test_without_masks_it_is_said_that_the_forged_face_is_unknown(root, caplog):
    (root / "target_mask/test/test_00000000.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        ffiw.videos(str(root))
    assert "which of several faces is forged is not known there" in caplog.text


def test_a_file_named_for_another_split_is_refused(root):
    trees.touch(root, "source/val/train_00000007.mp4")
    with pytest.raises(
        DataError, match=r"train_00000007.mp4 is not named as the videos of val, such as val_00000001.mp4"
    ):
        ffiw.videos(str(root))


def test_half_a_split_is_refused(root):
    for path in (root / "target/val").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="target/val holds no video, its counterpart does"):
        ffiw.videos(str(root))
