"""Every perturbation against its definition, written here another way."""

import cv2
import numpy as np
import pytest

from fusion_dfd.evaluation import perturb
from fusion_dfd.faces import recode


@pytest.fixture
def frames(rng) -> np.ndarray:
    """Six frames of 49 x 70 pixels: a moving gradient with some noise."""
    y, x = np.mgrid[:49, :70]
    ramp = np.stack([3 * x, 4 * y, 255 - 2 * (x + y)], -1).clip(0, 255)
    return (
        np.stack([np.roll(ramp, 2 * t, 1) + rng.integers(-5, 6, ramp.shape) for t in range(6)])
        .clip(0, 255)
        .astype(np.uint8)
    )


def _run(name, level, frames, **changes):
    return perturb.apply(name, level, frames, **{"video": "d/m/c/v", "indices": range(len(frames)), **changes})


@pytest.mark.parametrize(("name", "level"), perturb.cells())
def test_shape_type_and_seed(frames, name, level):
    before = frames.copy()
    out = _run(name, level, frames)
    assert (out.shape, out.dtype) == (frames.shape, np.uint8)
    assert (frames == before).all()
    assert (out != frames).any()
    np.testing.assert_array_equal(_run(name, level, frames), out)


def test_the_suite_is_the_published_one():
    got = {name: one.parameters for name, one in perturb.PERTURBATIONS.items()}
    assert got == {
        "saturation": (0.4, 0.3, 0.2, 0.1, 0.0),
        "contrast": (0.85, 0.725, 0.6, 0.475, 0.35),
        "blocks": (16, 32, 48, 64, 80),
        "noise": (0.001, 0.002, 0.005, 0.01, 0.05),
        "blur": (7, 9, 13, 17, 21),
        "pixelation": (2, 3, 4, 5, 6),
        "compression": (30, 32, 35, 38, 40),
    }
    assert len(perturb.cells(tuple(perturb.PERTURBATIONS))) == 35


@pytest.mark.parametrize("name", ["blocks", "noise"])
def test_random_numbers_belong_to_the_frame_and_the_video(frames, name):
    whole = _run(name, 3, frames, indices=range(10, 16))
    np.testing.assert_array_equal(_run(name, 3, frames[2:4], indices=[12, 13]), whole[2:4])
    for change in ({"video": "d/m/c/w"}, {"seed": 1}, {"indices": range(6)}):
        assert (_run(name, 3, frames, **{"indices": range(10, 16), **change}) != whole).any()
    same = _run(name, 3, np.repeat(frames[:1], 2, 0), indices=[0, 1])
    assert (same[0] != same[1]).any()


@pytest.mark.parametrize("level", range(1, 6))
def test_saturation_by_the_matrix_of_bt601(frames, level):
    p = perturb.PERTURBATIONS["saturation"].parameters[level - 1]
    grey = frames @ np.array([0.299, 0.587, 0.114])
    # Chroma is a difference to luma: scaling it scales that difference in every channel.
    want = grey[..., None] + p * (frames - grey[..., None])
    np.testing.assert_allclose(_run("saturation", level, frames), want.clip(0, 255), atol=1.0)


@pytest.mark.parametrize("level", range(1, 6))
def test_contrast(frames, level):
    p = perturb.PERTURBATIONS["contrast"].parameters[level - 1]
    np.testing.assert_allclose(_run("contrast", level, frames), frames * p, atol=0.501)


@pytest.mark.parametrize(("size", "unit"), [(64, 1), (300, 1), (520, 2)])
def test_blocks_are_grey_squares_of_eight(size, unit):
    white = np.full((1, size, size + 30, 3), 255, np.uint8)
    changed = (_run("blocks", 1, white)[0] != 255).any(-1)
    assert (_run("blocks", 1, white)[0][changed] == 128).all()
    count = 16 * unit
    assert 64 < changed.sum() <= 64 * count
    whole = np.lib.stride_tricks.sliding_window_view(changed, (8, 8)).all((2, 3))
    covered = np.zeros_like(changed)
    for top, left in np.argwhere(whole):
        covered[top : top + 8, left : left + 8] = True
    np.testing.assert_array_equal(covered, changed)  # every changed pixel lies in a whole square
    if size == 520:  # few enough on so large a picture that overlaps are rare
        assert changed.sum() > 64 * count * 0.8


@pytest.mark.parametrize("level", [1, 3, 5])
def test_noise_has_the_variance_it_says(level):
    p = perturb.PERTURBATIONS["noise"].parameters[level - 1]
    grey = np.full((1, 300, 300, 3), 128, np.uint8)
    out = _run("noise", level, grey)[0].astype(np.float32) / 255
    luma = out @ np.array([0.299, 0.587, 0.114], np.float32)
    inside = ((out > 0) & (out < 1)).all(-1)
    if inside.mean() > 0.999:  # clipping is rare: luma keeps the noise that was added to it
        assert luma.std() == pytest.approx(np.sqrt(p), rel=0.05)
    assert luma.mean() == pytest.approx(128 / 255, abs=0.01)
    assert out.std() > np.sqrt(p)


@pytest.mark.parametrize("level", range(1, 6))
def test_blur_is_a_convolution_with_the_sampled_gaussian(frames, level):
    p = perturb.PERTURBATIONS["blur"].parameters[level - 1]
    at = np.arange(p) - p // 2
    kernel = np.exp(-(at**2) / (2 * (p / 6) ** 2))
    kernel /= kernel.sum()
    padded = np.pad(frames[0].astype(float), [(p // 2,) * 2, (p // 2,) * 2, (0, 0)], "reflect")
    rows = sum(weight * padded[k : k + 49] for k, weight in enumerate(kernel))
    want = sum(weight * rows[:, k : k + 70] for k, weight in enumerate(kernel))
    np.testing.assert_allclose(_run("blur", level, frames)[0], want, atol=1.5)


@pytest.mark.parametrize("level", range(1, 6))
def test_pixelation_keeps_what_is_flat_and_loses_what_is_fine(level):
    flat = np.full((1, 60, 60, 3), 77, np.uint8)
    np.testing.assert_array_equal(_run("pixelation", level, flat), flat)
    p = perturb.PERTURBATIONS["pixelation"].parameters[level - 1]
    frame = np.random.default_rng(0).integers(0, 255, (1, 60, 60, 3), np.uint8)
    want = cv2.resize(cv2.resize(frame[0], (60 // p, 60 // p)), (60, 60))
    np.testing.assert_array_equal(_run("pixelation", level, frame)[0], want)


def test_video_compression_worsens_with_the_level_and_keeps_the_order_of_frames(frames):
    large = np.stack([cv2.GaussianBlur(cv2.resize(frame, (210, 147)), (5, 5), 1) for frame in frames])
    error = [np.abs(_run("compression", level, large).astype(int) - large).mean() for level in range(1, 6)]
    assert error == sorted(error)
    assert error[0] > 0
    shades = np.repeat(np.arange(20, 240, 20, dtype=np.uint8), 49 * 71 * 3).reshape(-1, 49, 71, 3)
    np.testing.assert_allclose(recode.recode(shades, "h264", 20), shades, atol=3)


def test_sharing_a_video_does_what_each_step_does(frames):
    share = perturb.Share(0.5, 60, 30)
    small = []
    for frame in frames:
        half = cv2.resize(frame, (35, 24), interpolation=cv2.INTER_AREA)
        _, data = cv2.imencode(".jpg", half[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])
        small.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    shown = recode.recode(np.stack(small), "h264", 30)
    want = np.stack([cv2.resize(frame, (70, 49), interpolation=cv2.INTER_CUBIC) for frame in shown])
    np.testing.assert_array_equal(share(frames), want)
    twice = perturb.CHAINS["messenger"].parameters[0]
    np.testing.assert_array_equal(_run("messenger", 1, frames), twice[1](twice[0](frames)))
