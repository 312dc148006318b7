import collections
import dataclasses
import logging
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_dfd.datasets import splits
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import draw_splits
from fusion_dfd.types import DataError, Video


def video(number: int, label: int, group: str) -> Video:
    method = "fake" if label else "original"
    return Video(str(number), f"/d/{label}/{number}.mp4", label, "toy", method, "", "", group, f"{method}/{number}")


def shares(videos, label: int) -> dict[str, float]:
    count = collections.Counter(one.split for one in videos if one.label == label)
    return {split: count[split] / count.total() for split in splits.SPLITS}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=1, max_size=60), st.integers(0, 3))
def test_no_group_is_torn_whatever_the_groups(rows, seed):
    videos = [video(n, label, f"g{group}") for n, (label, group) in enumerate(rows)]
    found = draw_splits(videos, seed)
    splits.audit(found)
    assert [dataclasses.replace(one, split="") for one in found] == videos
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)
    assert draw_splits(shuffled, seed) == shuffled


def test_labels_are_in_proportion():
    videos = [video(n, int(n % 5 > 0), f"g{n // 5}") for n in range(1000)]
    found = draw_splits(videos)
    for label in (0, 1):
        assert shares(found, label) == {"train": 0.7, "val": 0.15, "test": 0.15}


def test_every_split_gets_both_labels_while_there_are_groups_enough():
    found = draw_splits([video(n, n % 2, f"g{n // 2}") for n in range(6)])
    assert {(one.split, one.label) for one in found} == {(split, label) for split in splits.SPLITS for label in (0, 1)}
    large = [video(n, n % 2, "large") for n in range(1000)]
    found = draw_splits([*large, video(1000, 0, "a"), video(1001, 1, "a"), video(1002, 0, "b"), video(1003, 1, "b")])
    assert {(one.split, one.label) for one in found} == {(split, label) for split in splits.SPLITS for label in (0, 1)}
    assert {one.split for one in found if one.group == "large"} == {"train"}


def test_too_few_groups_are_said(caplog):
    with caplog.at_level(logging.WARNING):
        found = draw_splits([video(0, 0, "g"), video(1, 1, "g")])
    assert {one.split for one in found} == {"train"}
    assert "too few groups (1): split 'val' has no real video" in caplog.text


def test_the_seed_decides_and_a_fraction_of_nothing_leaves_a_split_out():
    videos = [video(n, n % 2, f"g{n}") for n in range(40)]
    assert draw_splits(videos, 1) == draw_splits(videos, 1)
    assert draw_splits(videos, 1) != draw_splits(videos, 2)
    assert {one.split for one in draw_splits(videos, fractions=(0, 0, 1))} == {"test"}


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.7, 0.2, 0.2), (1.5, -0.5, 0), ()])
def test_odd_fractions_are_refused(fractions):
    with pytest.raises(DataError, match="want the shares of train, val, test"):
        draw_splits([video(0, 0, "g")], fractions=fractions)


def test_components_follow_chains_and_are_called_by_their_first_member():
    links = [["id10", "id2"], ["id3"], ["id2", "id11"], ["id5", "id4"], ["x"]]
    assert components(links) == {
        **dict.fromkeys(("id10", "id2", "id11"), "id2"),
        **dict.fromkeys(("id5", "id4"), "id4"),
        "id3": "id3",
        "x": "x",
    }
    random.Random(0).shuffle(links)
    assert components(links)["id11"] == "id2"
