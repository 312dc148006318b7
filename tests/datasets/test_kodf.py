import logging

import pytest
import trees

from fusion_dfd.datasets import kodf, splits
from fusion_dfd.types import DataError, Video


def test_the_name_says_method_and_actors(tmp_path, caplog):
    trees.kodf(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = {video.id: video for video in kodf.videos(str(tmp_path))}
    name = "111111_000000_1_0001"
    fake = found[name]
    path = str(tmp_path / f"synthesized/dfl/20210101/111111/{name}.mp4")
    assert fake == Video(name, path, 1, "kodf", "dfl", "", fake.split, "000000", name)
    assert {video.method for video in found.values()} == {"original", *kodf.METHODS.values()}
    assert found["000000_001"].group == "000000"
    assert found["0123456789abcdef0123_000"].group == "0123456789abcdef0123"
    assert "14 real and 5 fake videos, KoDF has 62166 and 175776" in caplog.text


def test_splits_hold_whole_components_out(tmp_path):
    trees.kodf(tmp_path)
    found = kodf.videos(str(tmp_path), fractions=(0.5, 0, 0.5))
    assert splits.findings(found) == []
    assert {video.split for video in found} == {"train", "test"}


def test_a_fake_in_the_folder_of_another_method_is_refused(tmp_path):
    trees.kodf(tmp_path)
    trees.touch(tmp_path, "synthesized/fsgan/20210101/111111/111111_222222_1_0002.mp4")
    with pytest.raises(DataError, match=r"lies in fsgan, but has code 1 \(dfl\); move it"):
        kodf.videos(str(tmp_path))


def test_other_names_are_left_out(tmp_path, caplog):
    trees.kodf(tmp_path)
    trees.touch(tmp_path, "original/111111/111111_222222_6_0001.mp4", "notes.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(kodf.videos(str(tmp_path))) == 19
    assert "2 left out, because they are not named as in KoDF" in caplog.text
