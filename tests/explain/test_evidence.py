"""A bounded number of windows, the most suspicious, spread over time."""

import numpy as np
import pytest

from fusion_dfd.evaluation import real_motion
from fusion_dfd.explain import evidence as module


def test_each_part_of_the_video_gives_its_most_suspicious_piece(window):
    row = [window(6 * k, logit) for k, logit in enumerate([0, 3, 1, 1, 2, 9, 8, float("nan"), -4])]
    chosen = module.choose(row, 3)
    assert [one.indices[0] for one in chosen] == [6, 30, 36]
    assert module.choose(row[:2], 3) == row[:2]


def test_a_long_video_is_thinned_evenly_and_keeps_what_is_suspicious(window, monkeypatch):
    size = window().frames.nbytes
    monkeypatch.setattr(module, "HELD", 5 * size)
    keeper = module.Keeper(motion=True)
    row = [window(6 * k, 5.0 if k == 17 else 0.0) for k in range(40)]
    for count, one in enumerate(row, 1):
        if not keeper(one):
            one.frames = None
        assert sum(other.frames is not None for other in row[:count]) <= 5
    kept = [k for k, one in enumerate(row) if one.frames is not None]
    assert len(kept) == 5
    assert 17 in kept
    assert max(np.diff([0, *kept, 39])) <= 20
    assert np.shape(keeper.motions) == (40, real_motion.FEATURES)


def test_no_other_face_crowds_out_the_first(window, monkeypatch):
    monkeypatch.setattr(module, "HELD", 6 * window().frames.nbytes)
    keeper = module.Keeper(motion=False)
    row = [window(6 * k, 9.0 * place, place) for k in range(20) for place in (0, 1)]
    for one in row:
        if not keeper(one):
            one.frames = None
    kept = [one.face for one in row if one.frames is not None]
    assert kept.count(0) == kept.count(1) == 3
    assert keeper.motions == []


@pytest.mark.parametrize("count", [1, 8])
def test_there_is_no_more_to_choose_than_there_is(window, count):
    assert len(module.choose([window()], count)) == 1
