"""What chooses the checkpoint: val of the shards, or other videos that share nobody with train."""

import types

import numpy as np
import pytest
import tiny

from fusion_dfd import config as c
from fusion_dfd.input import selection
from fusion_dfd.shards import clip_index, manifest
from fusion_dfd.types import DataError


@pytest.fixture
def folder(tmp_path):
    """Function (split, ...) -> a folder with one clip of three videos in each of these splits."""

    def made(*splits: str) -> str:
        for split in splits:
            tiny.write_split(tmp_path, split, 1, np.random.default_rng(0))
        (tmp_path / clip_index.MANIFEST).write_text("{}")
        return str(tmp_path)

    return made


def keys(split: clip_index.Split) -> list[str]:
    return split.table.video.tolist()


def test_without_val_dir_it_is_val_of_the_same_folder(shards):
    train, val = selection.open_splits(c.Data(exclude_methods=("FaceSwap",)), shards, 0)
    assert keys(train) == keys(clip_index.open_split(shards, "train", ("FaceSwap",)))
    assert keys(val) == keys(clip_index.open_split(shards, "val", ("FaceSwap",)))


def test_val_of_val_dir_is_taken_and_the_rest_of_it_left(shards, folder):
    other = folder("val", "test", "train")
    train, val = selection.open_splits(c.Data(val_dir=other), shards, 0)
    assert keys(train) == keys(clip_index.open_split(shards, "train"))
    assert keys(val) == keys(clip_index.open_split(other, "val"))


def test_a_val_dir_without_val_is_taken_whole(shards, folder):
    other = folder("dev", "held")
    _, val = selection.open_splits(c.Data(val_dir=other), shards, 0)
    parts = [clip_index.open_split(other, split) for split in ("dev", "held")]
    assert keys(val) == [key for part in parts for key in keys(part)]
    for number, part in enumerate(parts):
        assert [val.source[3 * number + row] for row in range(3)] == [part.source[row] for row in range(3)]


def test_what_is_excluded_does_not_choose(shards, folder):
    _, val = selection.open_splits(c.Data(val_dir=folder("val"), exclude_methods=("FaceSwap",)), shards, 0)
    assert set(val.table.method) == {"original", "Deepfakes"}


def test_a_val_dir_that_shares_groups_with_train_is_refused(shards, folder):
    other = folder("train")
    with pytest.raises(DataError, match=rf"data\.val_dir={other}: 1 of its groups are also in train of .*tiny/train0"):
        selection.open_splits(c.Data(val_dir=other), shards, 0)


def test_crops_that_a_window_enlarges_are_said(monkeypatch):
    found = types.SimpleNamespace(options={"faces": {"size": 80}})
    monkeypatch.setattr(manifest, "load", lambda folder: found)
    assert selection.enlarged("a", 80) == ""
    assert selection.enlarged("a", 224).startswith("a: its crops of 80 pixels are enlarged to data.size=224; prepare")


def test_a_folder_that_does_not_say_how_large_its_crops_are_is_taken_as_it_is(folder):
    assert selection.enlarged(folder("train"), 512) == ""
