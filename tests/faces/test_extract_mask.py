"""The face that counts in a forged video: the one under the mask, whatever else is longer or larger."""

import dataclasses

import numpy as np
import pytest
from barcodes import barcode, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import Scripted

from fusion_dfd import config
from fusion_dfd.faces.extract import extract

OPTIONS = config.Faces(every=4, min_size=8, size=32, clip_length=10, clips=3)
LARGE, SMALL = (2, 8, 26, 0.99), (40, 20, 16, 0.99)
"""x, y, side, score"""


def both(_):
    return [LARGE, SMALL]


def frame(*marked, value: int = 255) -> np.ndarray:
    """uint8 [48, 64, 3], white where a face (x, y, side, score) is."""
    picture = np.zeros((48, 64, 3), np.uint8)
    for x, y, side, _ in marked:
        picture[y : y + side, x : x + side] = value
    return picture


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write(tmp_path_factory.mktemp("video") / "a.mp4", map(barcode, range(60)))


@pytest.fixture
def run(video, tmp_path):
    """The main face's left edge, and why the mask was not used, of (frames of the mask, script, ...)."""

    def call(frames, faces=both, **options):
        mask = write(tmp_path / "mask.mp4", frames) if frames is not None else str(tmp_path / "mask.mp4")
        found = extract(video, dataclasses.replace(OPTIONS, **options), Scripted(faces), mask)
        assert {clip.track for clip in found.clips} == {0}
        assert not found.damaged
        return {round(clip.boxes[0, 0].item()) for clip in found.clips}, found.unmasked

    return call


@pytest.mark.parametrize("sampling", ["dense", "uniform"])
def test_the_face_under_the_mask_counts(run, sampling):
    for face in (LARGE, SMALL):
        assert run([frame(face)] * 60, sampling=sampling) == ({face[0]}, None)


def test_the_mask_need_not_fill_the_box_nor_keep_to_it(run):
    x, y, side, _ = SMALL
    assert run([frame((x + 4, y + 4, 8, 1))] * 60) == ({x}, None)
    assert run([frame((x - 6, y - 6, side + 10, 1))] * 60) == ({x}, None)


def test_a_face_inside_the_box_of_another_is_told_from_it(run):
    inner = (10, 16, 10, 0.99)
    assert run([frame(inner)] * 60, lambda _: [LARGE, inner]) == ({10}, None)


def test_the_face_that_is_marked_for_longer_counts(run):
    assert run([frame(SMALL if k < 45 else LARGE) for k in range(60)], lambda _: [LARGE, SMALL]) == ({40}, None)


def test_the_others_follow_in_their_order(video, tmp_path):
    third = (28, 0, 12, 0.99)
    mask = write(tmp_path / "m.mp4", [frame(third)] * 60)
    options = dataclasses.replace(OPTIONS, all_tracks=True)
    found = extract(video, options, Scripted(lambda _: [LARGE, SMALL, third]), mask)
    order = [round(clip.boxes[0, 0].item()) for clip in found.clips]
    assert order == [28, 2, 40] * 3
    assert [clip.track for clip in found.clips] == [0, 1, 2] * 3


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ([frame(SMALL)] * 59, "mask.mp4: 59 frames where the video has 60, copy or download both again"),
        ([frame(SMALL)[:40]] * 60, "mask.mp4: 64 x 40 pixels where the video has 64 x 48, give the mask in that size"),
        ([frame()] * 60, "mask.mp4: marks no pixel of a face that was found, check that it belongs to the video"),
        ([frame(SMALL, value=60)] * 60, "mask.mp4: marks no pixel of a face that was found, check that it"),
        (None, "mask.mp4: no such file, check the path"),
    ],
)
def test_a_mask_that_cannot_be_used_is_a_sentence_and_the_longest_and_largest_counts(run, frames, said):
    faces, why = run(frames)
    assert faces == {LARGE[0]}
    assert said in why


def test_one_face_needs_no_mask(run):
    assert run(None, lambda _: [SMALL]) == ({SMALL[0]}, None)


def test_a_video_without_faces_asks_no_mask(video):
    found = extract(video, OPTIONS, Scripted(lambda _: []), "/nowhere")
    assert (found.clips, found.unmasked) == ([], None)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.integers(0, 400), st.booleans())
def test_a_damaged_mask_never_crashes(video, tmp_path, seed, count, cut):
    path = tmp_path / "m.mp4"
    write(path, [frame(SMALL)] * 60)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    places = rng.integers(0, len(content), count)
    content[:] = content[: len(content) - count] if cut else content
    for place in places[places < len(content)]:
        content[place] = rng.integers(256)
    path.write_bytes(content)
    found = extract(video, OPTIONS, Scripted(both), str(path))
    assert len(found.clips) == 3
    assert found.unmasked is None or found.unmasked.startswith(str(path))
