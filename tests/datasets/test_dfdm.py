import logging

import pytest
import trees

from fusion_dfd.datasets import dfdm
from fusion_dfd.types import DataError, Video


@pytest.fixture
def root(tmp_path):
    trees.dfdm(tmp_path)
    return tmp_path


def test_a_quality_is_joined_with_the_real_videos_of_celebdf(root, caplog):
    with caplog.at_level(logging.WARNING):
        listed = dfdm.videos(str(root), compression="c10", celebdf=str(root / "celebdf"))
    found = {video.id: video for video in listed}
    name = "id0_id1_0000_5dfl"
    path = str(root / f"DFDM_crf10/DFL-H128/{name}.mp4")
    assert found[name] == Video(name, path, 1, "dfdm", "DFL-H128", "c10", found[name].split, "id0", "id0_0000")
    assert {video.id for video in listed if not video.label} == {"id0_0000", "id1_0003", "id2_0000"}
    assert {video.compression for video in listed} == {"c10"}
    assert "3 real and 6 fake videos, DFDM has 590 and 2150" in caplog.text


def test_what_is_wrong_or_missing_is_named(root):
    with pytest.raises(DataError, match="DFDM has no compression 'c40'; it has c0, c10, c23"):
        dfdm.videos(str(root), compression="c40")
    with pytest.raises(DataError, match="has no real videos: give --celebdf"):
        dfdm.videos(str(root))
    with pytest.raises(DataError, match=r"Celeb-real holds no video .*DFDM_crf0 holds DFL-H128, DFaker.; unpack it"):
        dfdm.videos(str(root), celebdf=str(root / "DFDM_crf0"))
    trees.touch(root, "DFDM_crf23/Other/id0_id1_0000_x.mp4")
    with pytest.raises(DataError, match=r"Other/id0_id1_0000_x.mp4 is not named as in DFDM, such as DFaker/"):
        dfdm.videos(str(root), celebdf=str(root / "celebdf"))
