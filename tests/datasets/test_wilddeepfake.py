import logging

import pytest
import trees

from fusion_dfd.datasets import wilddeepfake
from fusion_dfd.types import DataError, Video


def test_a_sequence_is_a_video_and_its_shard_a_group(tmp_path, caplog):
    trees.wilddeepfake(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = {video.id: video for video in wilddeepfake.videos(str(tmp_path))}
    path = str(tmp_path / "fake_test/6/fake/54")
    name, group = "fake_test_6_54", "fake_test_6"
    assert found[name] == Video(name, path, 1, "wilddeepfake", "wild", "", "test", group, name)
    assert found["real_test_6_54"].group != group, "numbers of shards repeat"
    assert "6 real and 6 fake videos, WildDeepfake has 3805 and 3509" in caplog.text


def test_sequences_may_lie_flat(tmp_path):
    trees.wilddeepfake(tmp_path / "archives")
    trees.frames(tmp_path / "flat", *(v.id for v in wilddeepfake.videos(str(tmp_path / "archives"))))
    flat, archives = (
        [(v.key, v.split, v.label, v.group) for v in wilddeepfake.videos(str(tmp_path / name))]
        for name in ("flat", "archives")
    )
    assert flat == archives


def test_a_label_that_contradicts_its_archive_is_refused(tmp_path):
    trees.wilddeepfake(tmp_path)
    trees.frames(tmp_path, "real_train/6/fake/3")
    with pytest.raises(DataError, match="real_train/6/fake lies in real_train, but is named fake; unpack it anew"):
        wilddeepfake.videos(str(tmp_path))
