"""DeeperForensics-1.0."""

import pytest
import trees

from fusion_dfd.datasets import deeperforensics
from fusion_dfd.types import DataError


def test_an_actor_of_deeperforensics_and_his_targets_are_a_group(tmp_path):
    options = trees.deeperforensics(tmp_path)
    found = {video.key: video for video in deeperforensics.videos(str(tmp_path), **options)}
    assert len(found) == 8
    fake, real = found["deeperforensics/end_to_end//001_M101"], found["deeperforensics/original//001"]
    assert (fake.group, real.group, fake.source, real.source) == ("M101", "M101", "001", "001")
    assert "faceforensics/original_sequences/youtube/c23" in real.path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"originals": ""}, "has no real videos: give --originals"),
        ({"originals": "/nowhere"}, "/nowhere/original_sequences/youtube/c23/videos is missing"),
        ({"methods": ("end_to_end_level_6",)}, "no variant end_to_end_level_6; it has end_to_end, "),
        ({"methods": ("end_to_end_level_5",)}, "end_to_end_level_5 is missing .* holds end_to_end.; unpack it"),
    ],
)
def test_deeperforensics_says_what_it_lacks(tmp_path, options, said):
    with pytest.raises(DataError, match=said):
        deeperforensics.videos(str(tmp_path), **trees.deeperforensics(tmp_path) | options)
