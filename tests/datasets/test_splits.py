import dataclasses

import pytest

from fusion_dfd.datasets import splits
from fusion_dfd.types import DataError, Video

A = Video("a", "/d/a.mp4", 0, "toy", "original", "c23", "train", "g1", "a")
B = Video("b", "/d/b.mp4", 0, "toy", "original", "c23", "test", "g2", "b")
FAKE = Video("a_c", "/d/f/a_c.mp4", 1, "toy", "Deepfakes", "c23", "train", "g1", "a")


def test_disjoint_splits_pass():
    splits.audit([A, B, FAKE])


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        ([A, dataclasses.replace(B, group="g1")], "1 groups lie in more than one split: toy/g1 .*toy/original/c23/b"),
        ([A, dataclasses.replace(B, source="a")], "1 source clips lie in more than one split: toy/a "),
        ([A, dataclasses.replace(B, path=A.path)], "1 files lie in more than one split: /d/a.mp4"),
        ([A, FAKE, dataclasses.replace(FAKE, path="/d/x.mp4")], "1 videos are listed twice: toy/Deepfakes/c23/a_c"),
        ([dataclasses.replace(A, split="dev")], "split 'dev' is none of train, val, test"),
        ([dataclasses.replace(A, label=-1)], "label -1 is none of 0"),
    ],
)
def test_leaks_and_nonsense_are_named(videos, said):
    with pytest.raises(DataError, match=said):
        splits.audit(videos)


def test_equal_groups_of_two_data_sets_are_no_leak():
    splits.audit([A, dataclasses.replace(B, dataset="other", group="g1", source="a")])
