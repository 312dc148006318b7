import dataclasses

import pytest

from fusion_dfd.datasets import splits
from fusion_dfd.types import DataError, Video


def video(name: str, split: str, group: str) -> Video:
    return Video(name, f"/d/{name}.mp4", 0, "toy", "original", "c23", split, group, name)


VIDEOS = [video("a", "train", "g"), video("b", "train", "g"), video("c, d", "test", "h")]
WRITTEN = 'split,video\ntrain,toy/original/c23/a\ntrain,toy/original/c23/b\ntest,"toy/original/c23/c, d"\n'


def test_the_file_is_written_once_and_then_kept_to(tmp_path):
    path = tmp_path / "splits.csv"
    assert splits.keep_splits(VIDEOS, str(path)) == VIDEOS
    assert path.read_text() == WRITTEN
    assert list(tmp_path.iterdir()) == [path]
    other = [dataclasses.replace(one, split="val") for one in VIDEOS]
    assert splits.keep_splits(other, str(path)) == VIDEOS
    path.write_text(WRITTEN.replace("test,", "val,"))
    assert [one.split for one in splits.keep_splits(VIDEOS, str(path))] == ["train", "train", "val"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("train,toy/original/c23/a", "test,toy/original/c23/a"), "1 groups lie in more than one split: toy/g "),
        (("train,toy/original/c23/a\n", ""), "lacks toy/original/c23/a; name another file"),
        (("c23/b", "c23/z"), "lacks toy/original/c23/b and names toy/original/c23/z, not found; name another"),
        (("c23/b", "c23/a"), "lists 1 videos twice"),
        (("test,", "dev,"), "has split 'dev', which is none of train, val, test"),
        (("split,", ""), "must name the columns, but has no split among video"),
        ((WRITTEN, ""), "must name the columns"),
    ],
)
def test_another_list_and_leaks_are_refused(tmp_path, change, said):
    path = tmp_path / "splits.csv"
    path.write_text(WRITTEN.replace(*change))
    with pytest.raises(DataError, match=said):
        splits.keep_splits(VIDEOS, str(path))


def test_a_leak_is_never_written(tmp_path):
    with pytest.raises(DataError, match="lie in more than one split"):
        splits.keep_splits([*VIDEOS, video("e", "test", "g")], str(tmp_path / "splits.csv"))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*file/splits.csv: (File exists|Not a directory)"):
        splits.keep_splits(VIDEOS, str(tmp_path / "file" / "splits.csv"))
