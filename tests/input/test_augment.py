import cv2
import numpy as np
import pytest

from fusion_dfd.config import Augment
from fusion_dfd.faces import mesh
from fusion_dfd.input import augment
from fusion_dfd.types import MESH_POINTS, DataError

PARTS = {
    "nothing": augment.Params(),
    "flip": augment.Params(flip=True),
    "crop": augment.Params(window=(0.05, 0.11, 0.8)),
    "flipped crop": augment.Params(flip=True, window=(0.11, 0.13, 0.77)),
    "colour": augment.Params(brightness=1.1, contrast=0.8, saturation=1.3),
    "blur": augment.Params(blur=1.0),
    "jpeg": augment.Params(jpeg=50),
}
SIZES = [24, 64, 96]
"""Of the result, for frames of 64 pixels: shrinking by areas, none, enlarging."""


def landmarks(count, width=64, height=64):
    face = np.array([[0.3, 0.35], [0.7, 0.4], [0.52, 0.55], [0.35, 0.72], [0.66, 0.75]], np.float32)
    return np.tile(face * np.array([width, height], np.float32), (count, 1, 1))


def noise(rng, *shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PARTS)
def test_a_static_clip_stays_exactly_static(name, size, rng):
    still = np.repeat(noise(rng, 1, 64, 64, 3), 4, axis=0)
    frames, points = augment.apply(still, landmarks(4), PARTS[name], size)
    assert frames.shape == (4, size, size, 3)
    assert frames.dtype == np.uint8
    assert points.dtype == np.float32
    assert (frames == frames[0]).all()
    assert (points == points[0]).all()
    assert frames.std() > 1


def test_every_drawn_chain_keeps_a_static_clip_static(rng):
    still = np.repeat(noise(rng, 1, 48, 48, 3), 3, axis=0)
    always = Augment(flip=0.5, crop=0.3, colour=0.5, blur=1.0, jpeg=1.0)
    for _ in range(20):
        frames, _ = augment.apply(still, landmarks(3), augment.draw(rng, always), 32)
        assert (frames == frames[0]).all()


def test_frames_do_not_influence_each_other(rng):
    clip = noise(rng, 3, 64, 64, 3)
    params = augment.Params(True, (0.1, 0.05, 0.8), 1.1, 0.9, 1.2, 0.8, 60)
    whole, _ = augment.apply(clip, landmarks(3), params, 32)
    alone = [augment.apply(clip[i : i + 1], landmarks(1), params, 32)[0][0] for i in range(3)]
    np.testing.assert_array_equal(whole, np.stack(alone))


def test_flip_twice_is_the_identity(rng):
    clip, points = noise(rng, 2, 40, 40, 3), landmarks(2, 40, 40)
    flip = augment.Params(flip=True)
    once = augment.apply(clip, points, flip, 40)
    np.testing.assert_array_equal(once[0], clip[:, :, ::-1])
    twice = augment.apply(*once, flip, 40)
    np.testing.assert_array_equal(twice[0], clip)
    np.testing.assert_allclose(twice[1], points, atol=1e-5)


def test_a_mesh_moves_with_the_landmarks_and_its_missing_frames_stay_missing(rng):
    clip = rng.integers(0, 256, (2, 64, 64, 3), np.uint8)
    points = np.concatenate([landmarks(2), rng.uniform(0, 63, (2, MESH_POINTS, 2)).astype(np.float32)], 1)
    points[1, 5:] = np.nan
    for params in PARTS.values():
        _, five = augment.apply(clip, points[:, :5], params, 40)
        _, moved = augment.apply(clip, points, params, 40)
        np.testing.assert_array_equal(moved[:, :5], five)
        assert np.isnan(moved[1, 5:]).all()
        orders = (augment.FLIPPED_LANDMARKS, mesh.MIRRORED) if params.flip else (range(5), range(MESH_POINTS))
        for axis in range(2):  # one scale and shift for all points
            line = np.polyfit(points[0, list(orders[0]), axis], five[0, :, axis], 1)
            want = np.polyval(line, points[0, 5:][list(orders[1]), axis])
            np.testing.assert_allclose(moved[0, 5:, axis], want, atol=1e-3)
    flip = augment.Params(flip=True)
    once = augment.apply(clip, points, flip, 64)
    np.testing.assert_allclose(augment.apply(*once, flip, 64)[1], points, atol=1e-4)
    left, right = mesh.stored(mesh.LEFT_EYE), mesh.stored(mesh.RIGHT_EYE)
    np.testing.assert_allclose(once[1][0, 5:][left, 0], 63 - points[0, 5:][right, 0], atol=1e-4)


def test_a_flip_keeps_the_landmark_at_the_left_first():
    _, points = augment.apply(np.zeros((1, 64, 64, 3), np.uint8), landmarks(1), augment.Params(flip=True), 64)
    eyes, mouth = points[0, :2, 0], points[0, 3:, 0]
    assert eyes[0] < eyes[1]
    assert mouth[0] < mouth[1]


@pytest.mark.parametrize("shape", [(64, 64), (96, 72)])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["nothing", "flip", "crop", "flipped crop", "blur"])
def test_landmarks_follow_the_pixels(name, size, shape):
    height, width = shape
    points = landmarks(5, width, height)
    y, x = np.mgrid[:height, :width]
    spots = [np.exp(-((x - points[k, k, 0]) ** 2 + (y - points[k, k, 1]) ** 2) / 18) for k in range(5)]
    clip = np.repeat((np.stack(spots) * 255).astype(np.uint8)[..., None], 3, axis=-1)
    frames, moved = augment.apply(clip, points, PARTS[name], size)
    order = augment.FLIPPED_LANDMARKS if PARTS[name].flip else range(5)
    for place, k in enumerate(order):
        image = frames[k, ..., 0].astype(np.float64)
        y, x = np.mgrid[:size, :size]
        centre = np.array([(image * x).sum(), (image * y).sum()]) / image.sum()
        np.testing.assert_allclose(moved[k, place], centre, atol=0.25)


def test_evaluation_is_a_plain_resize_of_the_whole_crop(rng):
    clip, points = noise(rng, 2, 64, 64, 3), landmarks(2)
    same, kept = augment.apply(clip, points, augment.Params(), 64)
    np.testing.assert_array_equal(same, clip)
    np.testing.assert_allclose(kept, points, atol=1e-5)
    quarter, moved = augment.apply(clip, points, augment.Params(), 16)
    means = clip.reshape(2, 16, 4, 16, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(quarter, means, atol=0.51)
    np.testing.assert_allclose(moved, (points + 0.5) / 4 - 0.5, atol=1e-5)


@pytest.mark.parametrize("name", ["nothing", "crop", "flipped crop"])
def test_shrinking_does_not_alias(name):
    checks = np.indices((256, 256)).sum(axis=0) % 2 * 255
    clip = np.repeat(checks[None, ..., None], 3, axis=-1).astype(np.uint8)
    frames, _ = augment.apply(clip, landmarks(1), PARTS[name], 64)
    assert np.abs(frames.astype(int) - 128).max() < 50
    assert frames.std() < 12


@pytest.mark.parametrize(
    ("params", "colour", "expected"),
    [
        (augment.Params(brightness=1.2), (100, 50, 10), (120, 60, 12)),
        (augment.Params(brightness=1.2), (250, 250, 250), (255, 255, 255)),
        (augment.Params(contrast=0.5), (100, 200, 0), (113.75, 163.75, 63.75)),
        (augment.Params(contrast=1.5), (10, 127, 250), (0, 126.75, 255)),
        (augment.Params(saturation=1.5), (80, 80, 80), (80, 80, 80)),
        (augment.Params(saturation=0.5), (200, 100, 0), (159.25, 109.25, 59.25)),
    ],
)
def test_colour_by_hand(params, colour, expected):
    clip = np.full((1, 16, 16, 3), colour, np.uint8)
    frames, _ = augment.apply(clip, landmarks(1), params, 16)
    np.testing.assert_allclose(frames[0, 3, 5], expected, atol=0.51)


def test_jpeg_keeps_red_red_and_gets_worse_with_lower_quality(rng):
    red = np.full((1, 32, 32, 3), (220, 20, 30), np.uint8)
    frames, _ = augment.apply(red, landmarks(1), augment.Params(jpeg=90), 32)
    assert np.abs(frames.astype(int) - red).max() <= 3
    picture = cv2.GaussianBlur(noise(rng, 64, 64, 3), (0, 0), 2)[None]
    errors = [
        np.abs(augment.apply(picture, landmarks(1), augment.Params(jpeg=quality), 64)[0].astype(int) - picture).mean()
        for quality in (95, 60, 20)
    ]
    assert 0 < errors[0] < errors[1] < errors[2]


def test_nothing_is_drawn_when_all_is_off(rng):
    off = Augment(flip=0, crop=0, colour=0, blur=0, jpeg=0)
    assert {augment.draw(rng, off) for _ in range(20)} == {augment.Params()}


def test_draws_stay_in_range(rng):
    options = Augment(flip=1.0, crop=0.2, colour=0.3, blur=1.0, jpeg=1.0, jpeg_quality=(40, 42))
    draws = [augment.draw(rng, options) for _ in range(200)]
    assert all(one.flip for one in draws)
    assert {one.jpeg for one in draws} == {40, 41, 42}
    windows = np.array([one.window for one in draws])
    assert windows[:, :2].min() >= 0
    assert (windows[:, :2].max(axis=1) + windows[:, 2]).max() <= 1 + 1e-9
    assert 0.8 <= windows[:, 2].min() < 0.82
    colours = np.array([[one.brightness, one.contrast, one.saturation] for one in draws])
    assert 0.7 <= colours.min() < 0.72
    assert 1.28 < colours.max() <= 1.3
    low, high = augment.BLUR_SIGMA
    assert all(low <= one.blur <= high for one in draws)


def test_switching_one_part_off_leaves_the_other_draws():
    full = Augment(flip=0.5, crop=0.2, colour=0.3, blur=1.0, jpeg=1.0)
    dull = Augment(flip=0.5, crop=0.2, colour=0.3, blur=0.0, jpeg=1.0)
    first, second = (augment.draw(np.random.default_rng(5), options) for options in (full, dull))
    assert first.blur > 0 == second.blur
    assert (first.flip, first.window, first.brightness, first.jpeg) == (
        second.flip,
        second.window,
        second.brightness,
        second.jpeg,
    )


@pytest.mark.parametrize("name", PARTS)
def test_no_frames_one_pixel_and_lost_landmarks(name):
    none, points = augment.apply(np.zeros((0, 8, 8, 3), np.uint8), landmarks(0), PARTS[name], 16)
    assert none.shape == (0, 16, 16, 3)
    assert points.shape == (0, 5, 2)
    lost = landmarks(2)
    lost[1, 2] = np.nan
    frames, points = augment.apply(np.full((2, 1, 1, 3), 128, np.uint8), lost, PARTS[name], 16)
    assert np.ptp(frames) <= 45
    assert np.isnan(points).sum() == 2


def test_frames_without_pixels_are_refused():
    with pytest.raises(DataError, match="0x8 pixels"):
        augment.apply(np.zeros((2, 8, 0, 3), np.uint8), landmarks(2), augment.Params(), 16)


@pytest.mark.parametrize("size", [64, 20])
def test_a_crop_keeps_the_nearest_whole_pixels(rng, size):
    frames = noise(rng, 2, 64, 50, 3)
    got, _ = augment.apply(frames, landmarks(2), augment.Params(window=(0.05, 0.11, 0.81)), size)
    for frame, made in zip(frames, got, strict=True):
        how = cv2.INTER_AREA if size == 20 else cv2.INTER_LINEAR
        np.testing.assert_array_equal(made, cv2.resize(frame[7:59, 2:43], (size, size), interpolation=how))


@pytest.mark.parametrize("window", [(0.0, 0.0, 0.01), (0.99, 0.99, 0.01), (0.3, 0.3, 0.4)])
def test_a_crop_of_a_few_pixels_has_one_at_least(window):
    frames, _ = augment.apply(np.full((1, 3, 2, 3), 77, np.uint8), landmarks(1), augment.Params(window=window), 16)
    assert (frames == 77).all()


@pytest.mark.parametrize("sigma", [0.4, 0.75, 1.2])
def test_blur_is_opencvs(rng, sigma):
    frames = noise(rng, 1, 32, 32, 3)
    got, _ = augment.apply(frames, landmarks(1), augment.Params(blur=sigma), 32)
    assert np.abs(got[0].astype(int) - cv2.GaussianBlur(frames[0], (0, 0), sigma)).max() <= 2


@pytest.mark.parametrize("name", PARTS)
def test_a_given_place_is_written_and_the_frames_stay(rng, name):
    frames, points = noise(rng, 3, 32, 32, 3), landmarks(3)
    kept, out = frames.copy(), np.zeros((3, 32, 32, 3), np.uint8)
    wanted, moved = augment.apply(frames, points, PARTS[name], 32)
    got, also = augment.apply(frames, points, PARTS[name], 32, out)
    assert got is out
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(also, moved)
    np.testing.assert_array_equal(frames, kept)
