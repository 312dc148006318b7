import collections
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_dfd.input.sampling import PairIndex, forged_starts, list_windows, window_starts
from fusion_dfd.shards.clip_index import ClipTable
from fusion_dfd.types import DataError


def make_table(rows):
    """Rows of dicts; what is left out takes a default."""
    full = []
    for row in rows:
        one = {"frames": 16, "clip": 0, "track": 0, "dataset": "d", "compression": "c23", "start": 0} | row
        one.setdefault("method", "original")
        one.setdefault("group", one["source"])
        one["label"] = int(one["method"] != "original")
        one.setdefault("forged", one["label"] * one["frames"])
        one.setdefault("stretches", "")
        one["video"] = "/".join((one["dataset"], one["method"], one["compression"], one["source"]))
        full.append(one)
    number = np.arange(len(full))
    columns = {name: np.array([row[name] for row in full]) for name in full[0]}
    return ClipTable(shard=0 * number, offset=number, size=0 * number, **columns)


def grid(sources=4, clips=3, methods=("A", "B", "C")):
    return make_table(
        [
            {"source": str(source), "method": method, "clip": clip, "start": 16 * clip}
            for source, method, clip in itertools.product(range(sources), ("original", *methods), range(clips))
        ]
    )


def pairs(index, start, stop):
    return np.array([index.pair(number) for number in range(start, stop)])


def test_an_epoch_sees_every_fake_once_and_every_real_once_per_method():
    table = grid(sources=4, clips=3)
    index = PairIndex(table, seed=1)
    for epoch in range(3):
        real, fake = pairs(index, 36 * epoch, 36 * (epoch + 1)).T
        assert sorted(fake) == np.flatnonzero(table.label == 1).tolist()
        assert collections.Counter(real.tolist()) == dict.fromkeys(np.flatnonzero(table.label == 0).tolist(), 3)
        assert (table.source[real] == table.source[fake]).all()


def test_a_clip_of_a_fake_without_a_forged_frame_is_not_trained_on():
    clips = [{"source": "0", "method": "A", "clip": number, "forged": 8 * number} for number in range(3)]
    real, fake = pairs(PairIndex(make_table([{"source": "0"}, *clips]), seed=1), 0, 10).T
    assert (set(real), set(fake)) == ({0}, {2, 3})


@pytest.mark.parametrize(
    ("forged", "frames", "starts"),
    [
        ([0, 0, 0, 0, 1, 1, 1, 1, 0, 0], 4, [2, 3, 4, 5, 6]),
        ([0, 0, 1, 0, 0, 0, 0, 0], 4, [0, 1, 2]),
        ([1, 0, 0], 8, [0]),
    ],
)
def test_a_window_of_a_partly_forged_clip_shows_half_a_window_of_it_or_all_there_is(forged, frames, starts):
    assert forged_starts(np.uint8(forged), frames).tolist() == starts


def test_every_round_holds_each_method_once_in_changing_order():
    table = grid()
    methods = table.method[pairs(PairIndex(table, seed=1), 0, 90)[:, 1]].reshape(30, 3)
    assert all(sorted(round) == ["A", "B", "C"] for round in methods)
    assert len({tuple(round) for round in methods}) > 1


def test_methods_of_unequal_size_have_equal_shares_and_epochs_of_their_own():
    rows = [{"source": "0"}, *({"source": "0", "method": "A", "clip": i} for i in range(2))]
    table = make_table([*rows, *({"source": "0", "method": "B", "clip": i} for i in range(6))])
    fake = pairs(PairIndex(table, seed=0), 0, 12)[:, 1]
    assert collections.Counter(fake.tolist()) == {1: 3, 2: 3, **dict.fromkeys(range(3, 9), 1)}
    small = [row for row in fake if table.method[row] == "A"]
    assert all(sorted(small[i : i + 2]) == [1, 2] for i in (0, 2, 4))


def test_epochs_and_seeds_change_the_order_and_nothing_else_does():
    table = grid(sources=6)
    index = PairIndex(table, seed=1)
    first, second = pairs(index, 0, 54), pairs(index, 54, 108)
    orders = [[row for row in part[:, 1] if table.method[row] == "A"] for part in (first, second)]
    assert orders[0] != orders[1]
    assert (first != pairs(PairIndex(table, seed=2), 0, 54)).any()
    backwards = PairIndex(table, seed=1)
    again = [backwards.pair(number) for number in reversed(range(54))][::-1]
    np.testing.assert_array_equal(first, again)


def test_the_real_half_is_the_closest_kin():
    table = make_table(
        [
            {"source": "0", "compression": "c23"},
            {"source": "0", "compression": "c40"},
            {"source": "1", "group": "twins"},
            {"source": "9", "dataset": "e"},
            {"source": "0", "method": "A", "compression": "c40"},
            {"source": "2", "method": "A", "group": "twins"},
            {"source": "3", "method": "A"},
            {"source": "4", "method": "A", "dataset": "f"},
        ]
    )
    found = collections.defaultdict(set)
    for real, fake in pairs(PairIndex(table, seed=0), 0, 400):
        found[int(fake)].add(int(real))
    assert found == {4: {1}, 5: {2}, 6: {0, 2}, 7: {0, 1, 2, 3}}


def test_any_real_is_drawn_uniformly():
    table = make_table([*({"source": str(i)} for i in range(4)), {"source": "x", "method": "A"}])
    counts = np.bincount(pairs(PairIndex(table, seed=0), 0, 4000)[:, 0])
    assert np.abs(counts - 1000).max() < 130


def test_a_replacement_is_the_next_fake_of_the_method():
    table = grid(sources=4, clips=3)
    index = PairIndex(table, seed=3)
    wanted = [index.pair(number)[1] for number in range(36)]
    method = table.method[wanted[0]]
    order = [fake for fake in wanted if table.method[fake] == method]
    replaced = [index.pair(0, attempt) for attempt in range(len(order))]
    assert [fake for _, fake in replaced] == order
    assert all(table.source[real] == table.source[fake] for real, fake in replaced)


@pytest.mark.parametrize(("method", "missing"), [("original", "fake"), ("A", "real")])
def test_one_class_alone_is_refused(method, missing):
    with pytest.raises(DataError, match=f"none of the 2 stored clips is {missing}"):
        PairIndex(make_table([{"source": "0", "method": method}] * 2), seed=0)


@pytest.mark.parametrize(
    ("stored", "frames", "starts"),
    [(32, 16, [0, 16]), (40, 16, [2, 22]), (16, 16, [0]), (31, 16, [7]), (5, 16, [0]), (1, 1, [0]), (10, 3, [0, 3, 6])],
)
def test_windows_by_hand(stored, frames, starts):
    assert window_starts(stored, frames).tolist() == starts


@given(st.integers(1, 500), st.integers(1, 100))
def test_windows_are_disjoint_and_inside(stored, frames):
    starts = window_starts(stored, frames)
    assert len(starts) == max(1, stored // frames)
    assert starts[0] >= 0
    assert (np.diff(starts) >= frames).all()
    assert starts[-1] + frames <= max(stored, frames)


def test_all_windows_in_table_order():
    table = make_table([{"source": "0", "frames": 8}, {"source": "1", "frames": 3}, {"source": "2", "frames": 12}])
    found = list_windows(table, 4)
    assert found.rows.tolist() == [0, 0, 1, 2, 2, 2]
    assert found.starts.tolist() == [0, 4, 0, 0, 4, 8]


def test_a_limit_spreads_over_all_records_of_a_video():
    records = [{"source": "0", "frames": 8, "clip": i, "start": 8 * i} for i in (2, 0, 1)]
    table = make_table([*records, {"source": "1", "frames": 8}])
    found = list_windows(table, 4, most=3)
    seen = sorted((table.start[row] + start) for row, start in zip(found.rows, found.starts, strict=True) if row < 3)
    assert seen == [4, 12, 20]
    assert found.rows[found.rows == 3].tolist() == [3, 3]
    assert list_windows(table, 4, most=1).rows.tolist() == [2, 3]


def test_every_face_is_evaluated_on_request_each_with_its_own_limit():
    records = [{"source": "0", "frames": 8, "track": i % 2, "start": 8 * (i // 2)} for i in range(4)]
    for clips, rows in ((0, [0, 0, 1, 1, 2, 2, 3, 3]), (2, [0, 1, 2, 3]), (1, [2, 3])):
        assert list_windows(make_table(records), 4, most=clips, every_track=True).rows.tolist() == rows


def test_faces_other_than_the_one_that_counts_are_not_evaluated_unasked():
    records = [{"source": "0", "frames": 8, "track": i % 2, "start": 8 * (i // 2)} for i in range(4)]
    for clips, rows in ((0, [0, 0, 2, 2]), (2, [0, 2])):
        assert list_windows(make_table(records), 4, most=clips).rows.tolist() == rows
    with pytest.raises(DataError, match="holds no clips"):
        list_windows(make_table(records[1:2]), 4)


def test_faces_other_than_the_one_that_counts_are_never_trained_on():
    """Training reads what it would read had only the face that counts been stored."""
    rows = [{"source": str(i // 6), "method": "A" if i % 6 > 1 else "original", "clip": i % 2} for i in range(24)]
    others = [row | {"track": track} for row in rows for track in (0, 1, 2)]
    plain, more = PairIndex(make_table(rows), seed=0), PairIndex(make_table(others), seed=0)
    np.testing.assert_array_equal(3 * pairs(plain, 0, 100), pairs(more, 0, 100))
    with pytest.raises(DataError, match="none of the 2 stored clips is fake"):
        PairIndex(make_table([{"source": "0"}, {"source": "0", "method": "A", "track": 1}]), seed=0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(1, 6), st.integers(1, 5))
def test_a_limit_keeps_exactly_as_many_as_there_are(lengths, videos, clips):
    table = make_table([{"source": str(i % videos), "frames": n, "start": 100 * i} for i, n in enumerate(lengths)])
    every, some = list_windows(table, 5), list_windows(table, 5, clips)
    pool = set(zip(every.rows.tolist(), every.starts.tolist(), strict=True))
    kept = list(zip(some.rows.tolist(), some.starts.tolist(), strict=True))
    assert len(set(kept)) == len(kept)
    assert set(kept) <= pool
    for name in set(table.video):
        there = sum(table.video[row] == name for row, _ in pool)
        assert sum(table.video[row] == name for row, _ in kept) == min(clips, there)


def test_an_empty_table_is_refused():
    table = make_table([{"source": "0"}])
    empty = ClipTable(**{name: getattr(table, name)[:0] for name in table.__dataclass_fields__})
    with pytest.raises(DataError, match="holds no clips"):
        list_windows(empty, 4)
