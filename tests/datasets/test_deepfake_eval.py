import logging

import pytest
import trees

from fusion_dfd.datasets import deepfake_eval
from fusion_dfd.types import DataError, Video

TABLE = "video-metadata-publish.csv"


@pytest.fixture
def root(tmp_path):
    trees.deepfake_eval(tmp_path)
    return tmp_path


def test_every_file_is_a_group_of_its_own(root):
    found = {video.id: video for video in deepfake_eval.videos(str(root))}
    name = "deepfake_eval_2024"
    path = str(root / "video-data/b2.mp4")
    year = (("year", "2024"),)
    about = ("b2.mp4", path, 1, name, "unknown", "", "test", "b2.mp4", "b2.mp4")
    assert found["b2.mp4"] == Video(*about, attributes=year)
    assert {video.split for video in found.values()} == {"train", "test"}
    assert {video.split for video in deepfake_eval.videos(str(root), protocol="all")} == {"test"}


def test_the_table_of_videos_is_found_among_others(root):
    trees.write(root, "audio-metadata.csv", trees.EVAL_HEADER + "x.mp3,2024-01-01,Fake,,Test\n")
    assert len(deepfake_eval.videos(str(root))) == 4
    (root / TABLE).rename(root / "a.csv")
    with pytest.raises(DataError, match=r"holds 2 tables that may be the one of the videos .*keep the one"):
        deepfake_eval.videos(str(root))


def test_the_language_is_kept_where_the_table_has_one(root):
    path = root / TABLE
    header, *rows = path.read_text().splitlines()
    words = ("Language", "EN", "", "es", "es")
    lines = [f"{row},{word}" for row, word in zip([header, *rows], words, strict=True)]
    path.write_text("\n".join(lines))
    found = {video.id: dict(video.attributes) for video in deepfake_eval.videos(str(root))}
    assert found["a1.mp4"] == {"year": "2024", "language": "en"}
    assert found["a2.mp4"] == {"year": "2024"}


def test_other_columns_are_named(root):
    trees.write(root, TABLE, "Filename,Label,Split\na1.mp4,Real,Train\n")
    with pytest.raises(DataError, match="has no ground truth and no finetuning set among filename, label, split"):
        deepfake_eval.videos(str(root))


def test_sounds_images_and_unknown_truths_are_left_out(root, caplog):
    more = "c.mp3,,Fake,,Test\nd.jpg,,Fake,,Test\ne.mp4,,Unknown,,Test\n"
    trees.write(root, TABLE, (root / TABLE).read_text() + more)
    with caplog.at_level(logging.WARNING):
        assert len(deepfake_eval.videos(str(root))) == 4
    assert "3 left out, because they are no videos, or their truth is unknown: c.mp3, d.jpg, e.mp4" in caplog.text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a1.mp4,,Real,,Train", "lists a1.mp4 twice"),
        ("f.mp4,,Maybe,,Test", "f.mp4 has ground truth 'Maybe', want Real or Fake"),
        ("f.mp4,,Fake,,Val", "f.mp4 has finetuning set 'Val', want Train or Test"),
    ],
)
def test_odd_rows_are_named(root, row, said):
    trees.write(root, TABLE, f"{(root / TABLE).read_text()}{row}\n")
    with pytest.raises(DataError, match=said):
        deepfake_eval.videos(str(root))
