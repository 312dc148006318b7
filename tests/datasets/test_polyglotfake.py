import logging

import pytest
import trees

from fusion_dfd.datasets import polyglotfake
from fusion_dfd.types import DataError, Video


@pytest.fixture
def root(tmp_path):
    trees.polyglotfake(tmp_path)
    return tmp_path


def test_the_name_says_clip_and_voice_and_the_json_who_speaks(root, caplog):
    with caplog.at_level(logging.WARNING):
        found = {video.id: video for video in polyglotfake.videos(str(root))}
    name = "ja_1_to_fr_Xtts"
    path = str(root / f"fake/fr/{name}.mp4")
    group = found["en_0"].group
    expected = Video(name, path, 1, "polyglotfake", "Xtts", "", found[name].split, group, "ja_1")
    assert found[name] == expected
    groups = {clip: found[clip].group for clip in ("en_0", "en_1", "en_2", "en_3")}
    assert groups["en_0"] == groups["en_1"] != groups["en_2"] == groups["en_3"]
    assert "8 real and 8 fake videos, PolyGlotFake has 766 and 14472" in caplog.text


def test_without_the_json_it_is_said_that_people_are_unknown(root, caplog):
    (root / "real_json_files").rename(root / ".gone")
    with caplog.at_level(logging.WARNING):
        found = {video.id: video for video in polyglotfake.videos(str(root))}
    assert "has no real_json_files/: one person may be on both sides of a split" in caplog.text
    assert found["en_0"].group == found["en_0_to_fr_Xtts"].group == "en_0"
    assert found["en_1"].group == "en_1"


def test_other_names_are_left_out_and_twins_refused(root, caplog):
    trees.touch(root, "real/de_1.mp4", "fake/fr/en_1_Xtts.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(polyglotfake.videos(str(root))) == 16
    assert "2 left out, because they are not named as in PolyGlotFake" in caplog.text
    trees.touch(root, "real/again/en_1.mp4")
    with pytest.raises(DataError, match=r"has the name of .*en_1.mp4; remove one of them"):
        polyglotfake.videos(str(root))
