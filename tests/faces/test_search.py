"""A face that is seen late, briefly or turned is found; where there is none, nothing is."""

import itertools

import numpy as np
import pytest
from barcodes import barcode, write
from scripted import Scripted

from fusion_dfd import config as c
from fusion_dfd.faces import search
from fusion_dfd.faces.search import Place, ranges_around
from fusion_dfd.faces.video import probe

OPTIONS = c.Faces(clip_length=10, clips=4)


class Upright:
    """A detector that sees a face only in the frames of :func:`barcode` as they are, bars above grey."""

    def detect(self, frames):
        grey = frames.shape[1:3] == (48, 64) and abs(frames[:, 28:].astype(int) - 128).max() < 20
        return [Scripted.answer([(5, 5, 30, 0.99)] if grey else []) for _ in frames]


@pytest.mark.parametrize("turns", range(4))
def test_the_turn_that_puts_faces_upright_is_found(tmp_path, turns):
    frames = [np.ascontiguousarray(np.rot90(barcode(k + 1), -turns)) for k in range(12)]
    path = write(tmp_path / "a.mp4", frames)
    found = search.find(path, probe(path), OPTIONS, Upright())
    assert found == (Place([], turns) if turns else Place([range(10)], 0))


def test_a_brief_face_is_found_where_it_is(tmp_path):
    path = write(tmp_path / "a.mp4", (barcode(k) for k in range(120)))
    brief = Scripted(lambda index: [(5, 5, 30, 0.99)] if 60 <= index < 75 else [])
    place = search.find(path, probe(path), OPTIONS, brief)
    assert place.turns == 0
    assert len(place.ranges) == 1
    assert set(place.ranges[0]) & set(range(60, 75))


@pytest.mark.parametrize("score", [0.0, 0.5])
def test_nothing_is_found_where_no_face_is_certain_enough(tmp_path, score):
    path = write(tmp_path / "a.mp4", (barcode(k) for k in range(30)))
    doubtful = Scripted(lambda _: [(5, 5, 30, score)] if score else [])
    assert search.find(path, probe(path), OPTIONS, doubtful) is None


@pytest.mark.parametrize("frames", [3, 10, 11, 100, 500])
@pytest.mark.parametrize("step", [1, 7, 40])
def test_ranges_are_apart_inside_the_video_and_no_more_than_asked_for(frames, step):
    seen = list(range(0, frames, step))
    ranges = ranges_around(seen, frames, OPTIONS)
    assert 1 <= len(ranges) <= OPTIONS.clips
    assert all(len(one) == min(10, frames) and one.start >= 0 and one.stop <= frames for one in ranges)
    assert all(before.stop <= after.start for before, after in itertools.pairwise(ranges))
    assert all(any(index in one for index in seen) for one in ranges)
