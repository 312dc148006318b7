"""The DeepFakeDetection data set."""

import logging

import pytest
import trees

from fusion_dfd.datasets import dfd
from fusion_dfd.types import DataError


def test_a_fake_of_dfd_knows_its_original_its_mask_and_its_people(tmp_path):
    trees.dfd(tmp_path)
    found = {video.id: video for video in dfd.videos(str(tmp_path))}
    fake = found["01_02__kitchen_pan__YVGY8LOK"]
    assert (fake.source, fake.group, fake.method) == ("01__kitchen_pan", "01", "DeepFakeDetection")
    assert fake.mask.endswith("masks/videos/01_02__kitchen_pan__YVGY8LOK.mp4")
    assert found["02__kitchen_pan"].group == "01"
    assert found["03__hugging_happy"].group == found["03_04__hugging_happy__0XUW13RW"].group == "03"
    assert {video.split for video in found.values()} == {"test"}


def test_dfd_says_what_does_not_belong_to_it(tmp_path):
    trees.dfd(tmp_path)
    trees.touch(tmp_path, "original_sequences/actors/c23/videos/000.mp4")
    with pytest.raises(DataError, match=r"holds 000.mp4, which no video of DFD is called \(such as 01__kitchen_pan"):
        dfd.videos(str(tmp_path))
    with pytest.raises(DataError, match="actors is here in c23: choose --compression c23"):
        dfd.videos(str(tmp_path), compression="raw")


def test_an_incomplete_download_is_said(tmp_path, caplog):
    trees.dfd(tmp_path)
    with caplog.at_level(logging.WARNING):
        dfd.videos(str(tmp_path))
    assert "3 real and 2 fake videos, DFD has 363 and 3068" in caplog.text
