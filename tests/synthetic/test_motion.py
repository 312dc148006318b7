"""Motion: what the signals promise, and what a Face2Face forgery changes of them."""

import dataclasses

import numpy as np
import pytest

from fusion_dfd.synthetic import motion

EVERYTHING_ELSE = [field.name for field in dataclasses.fields(motion.FaceMotion) if field.name not in motion.REGIONS]


def test_wander_has_unit_variance_and_no_jumps(rng):
    many = np.stack([motion.wander(rng, 100, 2.0) for _ in range(400)])
    assert np.std(many) == pytest.approx(1, abs=0.05)
    # A sinusoid of period p changes by at most 2 pi / (25 p) of its amplitude a frame; the shortest p here is 1 s.
    assert np.abs(np.diff(many)).max() <= 5 * np.sqrt(2 / 5) * 2 * np.pi / 25


def test_pulses_are_brief_common_and_never_rarer_than_a_clip(rng):
    for _ in range(50):
        found = motion.pulses(rng, 500, 3)
        active = found != 0
        assert (active == active[0]).all()
        edges = np.flatnonzero(np.diff(np.pad(active[0].astype(int), 1)))
        starts, stops = edges[::2], edges[1::2]
        assert (stops - starts)[1:-1].max() <= 0.4 * motion.FPS
        assert np.diff(starts).max() < 0.9 * motion.FPS
        assert 0.5 <= np.abs(found).max() <= 1.3
        assert 1.5 <= len(starts) / (500 / motion.FPS) <= 2.8


def test_slowed_pulses_look_alike_in_any_single_frame(rng):
    brief = np.concatenate([motion.pulses(rng, 48, 3) for _ in range(1500)])
    slow = np.concatenate([motion.pulses(rng, 48, 3, stretch=6.0) for _ in range(1500)])
    levels = np.linspace(-1.3, 1.3, 53)
    cumulative = [np.searchsorted(np.sort(part.ravel()), levels, "right") / part.size for part in (brief, slow)]
    assert np.abs(cumulative[0] - cumulative[1]).max() < 0.03
    assert np.abs(np.diff(brief)).mean() > 4 * np.abs(np.diff(slow)).mean()


def test_face2face_keeps_all_but_brow_lid_and_corner(rng):
    moves, share = motion.perform(rng, 48)
    forged = motion.without_micro(rng, moves, share)
    for name in EVERYTHING_ELSE:
        np.testing.assert_array_equal(getattr(forged, name), getattr(moves, name))
    for row, name in enumerate(motion.REGIONS):
        own, left = getattr(moves, name), getattr(forged, name)
        assert np.abs(own - left).max() > 0.2 * motion.MICRO[name]
        assert np.abs(np.diff(own)).max() >= 0.5 * np.abs(np.diff(share[row])).max()


def test_what_is_left_of_micro_expressions_is_slow_and_uncommon(rng):
    common, fast = [], []
    for _ in range(200):
        own, share = motion.perform(rng, 48)
        bends = []
        for moves in (own, motion.without_micro(rng, own, share)):
            signals = np.stack([getattr(moves, name) / motion.MICRO[name] for name in motion.REGIONS])
            bends.append(np.abs(np.diff(signals, 2)))
        fast.append([bend.mean() for bend in bends])
        common.append([np.corrcoef(bend)[np.triu_indices(3, 1)].mean() for bend in bends])
    own_fast, forged_fast = np.mean(fast, 0)
    own_common, forged_common = np.mean(common, 0)
    assert own_fast > 5 * forged_fast
    assert own_common > 0.5
    assert forged_common < 0.2


def test_frame_gives_the_signals_of_that_frame(rng):
    moves, _ = motion.perform(rng, 5)
    assert len(moves) == 5
    assert moves.frame(3)["jaw"] == moves.jaw[3]
    assert 0 <= moves.jaw.min() <= moves.jaw.max() <= 1
    assert 0 <= moves.blink.min() <= moves.blink.max() <= 1
