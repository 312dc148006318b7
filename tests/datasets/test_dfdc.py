import collections
import json
import logging

import pytest
import trees

from fusion_dfd.datasets import dfdc, dfdc_preview, splits
from fusion_dfd.types import DataError, Video


def test_every_field_of_a_fake_video(tmp_path):
    trees.dfdc(tmp_path)
    found = {video.id: video for video in dfdc.parts(str(tmp_path))}
    path = tmp_path / "dfdc_train_part_35/dfdc_train_part_35/dx.mp4"
    assert found["dx"] == Video("dx", str(path), 1, "dfdc", "undisclosed", "", "val", "d", "d")
    assert (found["d"].label, found["d"].method, found["d"].group) == (0, "original", "d")


def test_the_number_of_the_part_is_the_split(tmp_path):
    trees.dfdc(tmp_path)
    found = collections.defaultdict(set)
    for video in dfdc.parts(str(tmp_path)):
        found[video.split].add(video.group)
    assert found == {"train": {"a", "b", "c"}, "val": {"d"}, "test": {"e", "f"}}


def test_absent_parts_are_said(tmp_path, caplog):
    trees.described(tmp_path, "dfdc_train_part_3", "a")
    with caplog.at_level(logging.WARNING):
        assert {video.split for video in dfdc.parts(str(tmp_path))} == {"train"}
    assert "1 of 50 parts are under" in caplog.text
    assert "none of val or test" in caplog.text


def test_an_original_in_a_part_of_another_split_is_a_leak(tmp_path):
    trees.dfdc(tmp_path)
    path = tmp_path / "dfdc_train_part_40/dfdc_train_part_40/metadata.json"
    metadata = json.loads(path.read_text())
    metadata["ex.mp4"]["original"] = "a.mp4"
    path.write_text(json.dumps(metadata))
    with pytest.raises(DataError, match="1 groups lie in more than one split: dfdc/a "):
        splits.audit(dfdc.parts(str(tmp_path)))


def test_a_part_that_is_there_twice_is_refused(tmp_path):
    trees.described(tmp_path, "dfdc_train_part_3", "a")
    trees.described(tmp_path, "copy/dfdc_train_part_03", "a")
    with pytest.raises(DataError, match=r"is there twice: .*copy/dfdc_train_part_03 and .*; remove one"):
        dfdc.parts(str(tmp_path))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"label": "fake"}, "a.mp4 has label 'fake', want REAL or FAKE"),
        ({"label": "FAKE"}, "a.mp4 is FAKE, but its original is None"),
        ({"label": "FAKE", "original": 3}, "a.mp4 is FAKE, but its original is 3"),
    ],
)
def test_odd_entries_are_named(tmp_path, entry, said):
    trees.write(tmp_path, "dfdc_train_part_0/metadata.json", {"a.mp4": entry})
    with pytest.raises(DataError, match=said):
        dfdc.parts(str(tmp_path))


def test_a_published_part_has_its_numbers(tmp_path, protocol):
    metadata = (protocol / "dfdc_part_3_metadata.json").read_text()
    trees.write(tmp_path, "dfdc_train_part_3/metadata.json", metadata)
    trees.touch(tmp_path / "dfdc_train_part_3", *json.loads(metadata))
    found = dfdc.parts(str(tmp_path))
    assert collections.Counter(video.label for video in found) == {0: 219, 1: 1236}
    assert {video.group for video in found} == {video.id for video in found if not video.label}


def test_the_sample_is_split_by_source_clip(tmp_path):
    trees.dfdc_sample(tmp_path)
    found = dfdc.sample(str(tmp_path), seed=1, fractions=(0.6, 0.2, 0.2))
    assert collections.Counter(video.split for video in found) == {"train": 18, "val": 6, "test": 6}
    assert found == dfdc.sample(str(tmp_path / "train_sample_videos"), seed=1, fractions=(0.6, 0.2, 0.2))
    assert found != dfdc.sample(str(tmp_path), seed=2, fractions=(0.6, 0.2, 0.2))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "aassnaulhq.mp4,0\naayfryxljh.mp4,1\n",
            "first line of .*labels.csv must name the columns, but has no filename",
        ),
        ("filename,label\naassnaulhq.mp4,real\n", "aassnaulhq.mp4 has label 'real', want 0 .real. or 1 .fake."),
        ("filename,label\naassnaulhq.mp4,0,1\n", "line 2 of .*labels.csv has 3 columns, the first has 2"),
        ("filename,label\n", "labels.csv lists no video"),
    ],
)
def test_labels_of_the_test_set_are_checked(tmp_path, table, said):
    trees.dfdc_test(tmp_path)
    trees.write(tmp_path, "labels.csv", table)
    with pytest.raises(DataError, match=said):
        dfdc.test(str(tmp_path))


def test_a_preview_fake_names_clip_and_face(tmp_path):
    trees.dfdc_preview(tmp_path)
    found = {video.key: video for video in dfdc_preview.videos(str(tmp_path))}
    fake = found["dfdc_preview/method_A//102_101_A_001"]
    assert (fake.label, fake.split, fake.group, fake.source) == (1, "train", "101", "101_A_001")
    assert found["dfdc_preview/original//101_A_001"].group == "101"
    assert {video.group for video in found.values()} == {"101", "103", "201"}


@pytest.mark.parametrize(
    ("place", "change", "said"),
    [
        ("method_A/101/101_A/102_101_A_001.mp4", {"label": "real"}, "has label 'real', but lies among the fake ones"),
        ("method_A/101/101_A/102_101_A_001.mp4", {"set": "val"}, "has set 'val', want train or test"),
        ("method_C/101/101_A/102_101_A_001.mp4", {}, "lies in none of original_videos, method_A, method_B"),
        ("method_A/101/101_A/clip.mp4", {}, "is not named as in DFDC's preview"),
    ],
)
def test_odd_preview_entries_are_named(tmp_path, place, change, said):
    trees.write(tmp_path, "dataset.json", {place: {"label": "fake", "set": "train", **change}})
    with pytest.raises(DataError, match=said):
        dfdc_preview.videos(str(tmp_path))


def test_a_part_whose_labels_are_missing_is_named(tmp_path):
    trees.touch(tmp_path, "dfdc_train_part_0/a.mp4")
    words = r"dfdc_train_part_0 has videos but no metadata\.json, which says what is real; unpack"
    with pytest.raises(DataError, match=words):
        dfdc.parts(str(tmp_path))
    trees.described(tmp_path, "dfdc_train_part_1", "b")
    with pytest.raises(DataError, match=words):
        dfdc.parts(str(tmp_path))
