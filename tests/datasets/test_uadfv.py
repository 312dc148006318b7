"""UADFV."""

import logging

import trees

from fusion_dfd.datasets import uadfv


def test_a_fake_of_uadfv_belongs_to_its_clip(tmp_path):
    trees.uadfv(tmp_path)
    found = {video.id: video for video in uadfv.videos(str(tmp_path))}
    assert found["0002_fake"].source == found["0002_fake"].group == found["0002"].group == "0002"


def test_an_incomplete_download_is_said(tmp_path, caplog):
    trees.uadfv(tmp_path)
    with caplog.at_level(logging.WARNING):
        uadfv.videos(str(tmp_path))
    assert "6 videos, UADFV has 49 real and 49 fake" in caplog.text
