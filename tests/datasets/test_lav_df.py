import json

import pytest
import trees

from fusion_dfd.datasets import lav_df
from fusion_dfd.types import DataError, Stretches, Video


@pytest.fixture
def root(tmp_path):
    trees.lav_df(tmp_path)
    return tmp_path


def test_every_field_of_a_fake_video(root):
    found = {video.id: video for video in lav_df.videos(str(root))}
    where = ("lav_df", "Wav2Lip", "", "val", "dev0", "dev0")
    stated = Stretches.of([(0.5, 1.0)], "seconds")
    assert found["dev1"] == Video("dev1", str(root / "dev/dev1.mp4"), 1, *where, stretches=stated)
    assert found["dev2"].stretches is None, "a forged sound"
    assert (found["dev2"].label, found["dev2"].source, found["dev2"].group) == (0, "dev2", "dev0")
    found = {video.id: video for video in lav_df.videos(str(root), label="any")}
    assert (found["dev2"].label, found["dev2"].method, found["dev2"].source) == (1, "sound", "dev0")


def test_the_short_metadata_will_do(root):
    before = lav_df.videos(str(root))
    (root / "metadata.json").rename(root / "metadata.min.json")
    assert lav_df.videos(str(root)) == before


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"split": "train"}, "dev/dev1.mp4 has split 'train', want its folder"),
        ({"modify_video": "yes"}, "has modify_video 'yes' and modify_audio False, want true or false"),
        ({"original": None}, "dev/dev1.mp4 is forged, but its original is None"),
    ],
)
def test_rows_that_contradict_themselves_are_named(root, fields, said):
    path = root / "metadata.json"
    rows = json.loads(path.read_text())
    next(row for row in rows if row["file"] == "dev/dev1.mp4").update(fields)
    path.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=said):
        lav_df.videos(str(root))
