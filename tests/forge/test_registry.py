"""Every forger of the registry on drawn faces, and those that move faces on what they must and must not move."""

import contextlib

import cv2
import numpy as np
import pytest
from published import fetched
from talking_face import talking_face

from fusion_dfd.faces import mesh
from fusion_dfd.faces.mtcnn import MTCNN
from fusion_dfd.forge.forger import Donor, Face, Forged, NotApplicable, landmarks
from fusion_dfd.forge.registry import FORGERS

every = pytest.mark.parametrize("forger", FORGERS.values(), ids=FORGERS)
SEEDS = range(4)


def other() -> Face:
    return talking_face(40, seed=9)


def nobody() -> Face:
    raise NotApplicable("there is nobody else")


def forged(forger, face: Face, seed: int, donor: Donor = other) -> Forged:
    face.frames.flags.writeable = face.mesh.flags.writeable = False
    return forger(face, donor, np.random.default_rng(seed))


def check(face: Face, got: Forged) -> None:
    assert (got.frames.shape, got.frames.dtype) == (face.frames.shape, np.uint8)
    assert (got.mask.shape, got.mask.dtype) == (face.frames.shape[:3], np.float32)
    assert got.mask.min() >= 0
    assert 0.1 < got.mask.max() <= 1
    np.testing.assert_array_equal(got.frames[got.mask == 0], face.frames[got.mask == 0])
    assert (got.frames != face.frames).any()


@every
def test_a_forged_clip_differs_within_its_mask_only(forger):
    for seed in SEEDS:
        face = talking_face(24, seed=seed)
        check(face, forged(forger, face, seed))


@every
def test_equal_generators_give_equal_clips_and_others_do_not(forger):
    face = talking_face(16)
    first, again, second = (forged(forger, face, seed) for seed in (3, 3, 4))
    assert first.frames.tobytes() == again.frames.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.frames.tobytes() != second.frames.tobytes()


@every
def test_a_frame_without_mesh_is_refused(forger):
    face = talking_face(16)
    face.mesh[5] = np.nan
    with pytest.raises(NotApplicable, match="no face mesh in 1 of 16 frames"):
        forged(forger, face, 0)


@every
@pytest.mark.parametrize(("count", "height", "width"), [(1, 64, 64), (2, 64, 64), (9, 61, 75), (12, 131, 98)])
def test_any_size_works_or_is_refused_with_a_reason(forger, count, height, width):
    face = talking_face(count, height, width)
    for seed in SEEDS:
        refusal = contextlib.suppress(NotApplicable) if count < 8 else contextlib.nullcontext()
        with refusal:
            check(face, forged(forger, face, seed))


@every
def test_a_face_that_leaves_the_picture_is_no_error(forger):
    face = talking_face(12)
    cut = Face(np.ascontiguousarray(face.frames[:, 30:, 40:]), face.mesh - np.float32([40, 30]))
    for seed in SEEDS:
        check(cut, forged(forger, cut, seed))


def test_parts_of_a_clip_are_replaced_by_forgers_of_motion():
    face = talking_face(60)
    for seed in SEEDS:
        used = np.flatnonzero(forged(FORGERS["regions"], face, seed).mask.any((1, 2)))
        assert 8 <= len(used) <= 24
        assert used[-1] - used[0] + 1 == len(used)
    spans = {int(forged(FORGERS["mouth"], face, seed).mask.any((1, 2)).sum()) for seed in range(8)}
    assert max(spans) == 60
    assert 25 <= min(spans) < 60


def test_a_mouth_is_replaced_below_the_eyes_only():
    face = talking_face(30)
    lids = face.points((*mesh.LEFT_EYE, *mesh.RIGHT_EYE))[..., 1].max(1)
    got = forged(FORGERS["mouth"], face, 0)
    rows = np.arange(face.frames.shape[1])
    assert not (got.mask * (rows < lids[:, None])[..., None]).any()


def test_features_drift_and_the_oval_does_not():
    face = talking_face(24)
    for seed in SEEDS:
        got = forged(FORGERS["drift"], face, seed)
        away = got.mesh - face.mesh
        oval = np.isin(mesh.STORED, mesh.OVAL)
        np.testing.assert_array_equal(away[:, oval], 0)
        steps = np.linalg.norm(np.diff(away[:, ~oval], axis=0), axis=-1)
        assert 0.2 < steps.mean() / (64 / 256) < 8
        assert np.linalg.norm(away, axis=-1).mean(1).min() > 0
    with pytest.raises(NotApplicable, match="single frame"):
        forged(FORGERS["drift"], talking_face(1), 0)


@pytest.mark.parametrize("name", ["regions", "mouth"])
def test_other_moments_of_a_still_face_are_refused(name):
    with pytest.raises(NotApplicable, match=r"all moments|no region"):
        forged(FORGERS[name], talking_face(24, moving=False), 0, lambda: talking_face(24, seed=1, moving=False))


def test_a_driving_clip_that_is_missing_or_too_short_is_refused():
    with pytest.raises(NotApplicable, match="nobody else"):
        forged(FORGERS["animate"], talking_face(12), 0, nobody)
    with pytest.raises(NotApplicable, match="a clip of 12 frames cannot be animated by one of 8"):
        forged(FORGERS["animate"], talking_face(12), 0, lambda: talking_face(8, seed=1))


def test_an_animated_face_moves_as_the_driving_one_and_not_as_its_own():
    """Darkness of the opening of the mouth: driven by a still face it stays the same, by a talking one it changes."""
    face, compared = talking_face(24, 128, 128), 0
    for seed in SEEDS:
        swings = []
        for moving in (False, True):
            got = forged(FORGERS["animate"], face, seed, lambda m=moving: talking_face(24, 128, 128, 5, m))
            if (got.mask == 1).all():
                swings.append(np.ptp((got.frames[:, 60:115, 40:88].mean(-1) < 60).mean((1, 2))))
        assert not swings or 3 * swings[0] < swings[1]
        compared += bool(swings)
    assert compared


@pytest.mark.parametrize("name", ["animate", "regions"])
def test_landmarks_and_mesh_follow_what_moves(name):
    face = talking_face(24, 128, 128)
    moved = 0
    for seed in SEEDS:
        got = forged(FORGERS[name], face, seed)
        assert got.mesh.shape == face.mesh.shape
        still = ~got.mask.any((1, 2))
        np.testing.assert_array_equal(got.mesh[still], face.mesh[still])
        before = np.zeros((24, 5, 2), np.float32)
        shift = landmarks(face, got, before)
        np.testing.assert_allclose(shift[:, 2], (got.mesh - face.mesh)[:, mesh.stored((4,))[0]], atol=1e-4)
        moved += np.abs(got.mesh - face.mesh).max() > 0.3
    assert moved


def test_real_clips(media):
    fetched(mesh.WHEEL, mesh.FILE)
    faces = []
    for name in (
        "KwaiVGI_LivePortrait__assets__examples__driving__d0",
        "ai-forever_ghost__examples__videos__obama_short",
    ):
        video = cv2.VideoCapture(str(media / "videos" / "real" / f"{name}.mp4"))
        frames = [cv2.resize(video.read()[1][..., ::-1], (256, 256)) for _ in range(24)][::2]
        (found,) = MTCNN(min_size=40).detect(frames[0][None])
        boxes, landmarks = (np.stack([value[0]] * len(frames)) for value in (found.boxes, found.landmarks))
        got = mesh.FaceMesh().find(frames, boxes, landmarks)
        assert got.present.all()
        faces.append(Face(np.stack(frames), got.points[:, list(mesh.STORED), :2], name))
    for forger in FORGERS.values():
        check(faces[1], forged(forger, faces[1], 0, lambda: faces[0]))
