"""Forged stretches: what is found, and metrics that equal those of a calculation by hand."""

import pytest

from fusion_dfd.evaluation import segments
from fusion_dfd.evaluation.scores import FrameScore
from fusion_dfd.evaluation.segments import Found
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.types import Stretches


def test_neighbours_that_look_forged_are_one_stretch():
    windows = [(0, 8, 0.2), (8, 16, 0.9), (20, 28, 0.7), (28, 36, 0.4), (36, 44, 0.6), (53, 61, 0.8), (61, 69, 0.5)]
    assert segments.find(reversed(windows)) == [
        Found(8, 28, pytest.approx(0.8)),  # over a gap of 4 frames
        Found(36, 44, 0.6),
        Found(53, 61, 0.8),  # nobody looked at the 9 frames before it
    ]
    assert segments.find([]) == segments.find([(0, 8, float("nan"))]) == []


def test_overlap_is_intersection_over_union():
    assert segments.overlap((0, 10), (5, 15)) == pytest.approx(5 / 15)
    assert segments.overlap((0, 10), (2, 8)) == pytest.approx(0.6)
    assert segments.overlap((0, 10), (10, 20)) == segments.overlap((0, 1), (5, 6)) == 0


def test_average_precision_equals_that_by_hand():
    """The surest stretch is right, the next one lies in a real video, then a second hit of the first, then a right one.

    Precision 1, 1/2, 1/3, 2/4 at recalls 1/3, 1/3, 1/3, 2/3; interpolated 1/3 * 1 + 1/3 * 1/2.
    """
    known = {"a": [(0, 10), (50, 60)], "b": [(5, 15)]}
    found = {
        "a": [Found(0, 10, 0.9), Found(1, 10, 0.7), Found(80, 90, 0.1)],
        "b": [Found(5, 14, 0.6)],
        "real": [Found(0, 10, 0.8)],
    }
    assert segments.average_precision(known, found, 0.5) == pytest.approx(1 / 3 + 1 / 6)
    # At .95 nothing but the first one is right.
    assert segments.average_precision(known, found, 0.95) == pytest.approx(1 / 3)
    assert segments.average_precision(known, {}, 0.5) == 0.0
    assert segments.average_precision({}, found, 0.5) is None


def test_a_stretch_that_overlaps_two_takes_the_one_that_is_free():
    known = {"a": [(0, 10), (0, 12)]}
    found = {"a": [Found(0, 11, 0.9), Found(0, 11, 0.8)]}
    assert segments.average_precision(known, found, 0.5) == 1.0


@pytest.fixture
def rows(make):
    """A real video and a fake one, four windows of 10 frames each; frames 20 to 34 of the fake are forged."""

    def window(name, method, number, logit, forged):
        where = {"start": 10 * number, "stop": 10 * number + 10, "forged": forged}
        return make.score(logit, method, name, number, group=name[:3], **where)

    fake = [window("001_002", "FaceSwap", k, *of) for k, of in enumerate([(-2, 0), (-1, 0), (3, 10), (1, 5)])]
    return [*(window("000", "original", k, logit, 0) for k, logit in enumerate([-3, 2, -3, -3])), *fake]


KNOWN = {"ff/FaceSwap/c23/001_002": Stretches.of([(20, 35)])}


def test_the_block_of_a_summary_equals_that_by_hand(rows):
    found = summarise(rows, bootstrap=0, stretches=KNOWN)["stretches"]
    # Of 2 x 6 pairs of a forged and another window, one is in the wrong order: 1 against 2.
    assert found["segment_auc"]["value"] == pytest.approx(11 / 12)
    # Frames have the scores of their windows: 10 forged ones 3, and 5 of them 1; of 65 others 10 have 2, and 5 have 1.
    right = 10 * 65 + 5 * (50 + 5 / 2)
    assert found["frame_auc"]["value"] == pytest.approx(right / (15 * 65))
    assert (found["frame_auc"]["rows"], found["segment_auc"]["rows"]) == (80, 8)
    # Found: 20 to 40 in the fake, less sure (its mean is 0.842) than 10 to 20 in the real one (0.881).
    assert (found["partial"], found["known"], found["found"]) == (1, 1, 2)
    assert found["ap_50"] == pytest.approx(0.5)  # overlap 15 / 20
    assert found["ap_75"] == pytest.approx(0.5)


def test_frames_of_their_own_are_taken_where_there_are_some(rows):
    frames = [
        FrameScore(
            **{name: getattr(row, name) for name in row.__dataclass_fields__ if name != "forged"},
            forged=int(row.label and 20 <= row.start + t < 35),
            frame=row.start + t,
        )
        for row in rows
        for t in range(10)
    ]
    by_window, own = (summarise(rows, each, bootstrap=0, stretches=KNOWN)["stretches"] for each in (None, frames))
    assert own["frame_auc"] == by_window["frame_auc"]


def test_windows_outside_of_a_stretch_are_in_no_other_unit(rows):
    summary = summarise(rows, bootstrap=0, stretches=KNOWN)
    assert summary["units"]["window"]["overall"]["counts"]["rows"] == 6
    assert summary["units"]["video"]["overall"]["counts"]["rows"] == 2


def test_a_table_alone_gives_what_does_not_need_the_stretches(rows):
    found = summarise(rows, bootstrap=0)["stretches"]
    assert found["segment_auc"]["value"] == pytest.approx(11 / 12)
    assert found["known"] is found["ap_50"] is found["frame_auc"] is None


def test_without_partly_forged_videos_there_is_no_block(make):
    assert summarise(make.table(), bootstrap=0)["stretches"] is None


def test_what_a_video_states_is_ordered_and_joined():
    stated = Stretches.of([(3, 4.5), (1, 2), (2, 2.5)], "seconds")
    assert stated.spans == ((1, 2.5), (3, 4.5))
    assert stated.in_frames(10) == Stretches.of([(10, 25), (30, 45)])
    assert Stretches.parse(stated.in_frames(10).text()) == stated.in_frames(10)
    assert stated.in_frames(10).marks(range(9, 32)).tolist() == [0] + [1] * 15 + [0] * 5 + [1, 1]
