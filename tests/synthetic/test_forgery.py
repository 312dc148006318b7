"""Forgeries: generic promises of every family, and the kind of evidence each leaves."""

import functools

import cv2
import numpy as np
import pytest

from fusion_dfd.synthetic import footage
from fusion_dfd.synthetic.forgery import FAMILIES

FRAMES, SIZE = 12, 128


@functools.cache
def take(target: int = 2, source: int = 3) -> footage.Footage:
    return footage.Footage(0, target, source, FRAMES, SIZE)


@functools.cache
def frames(name: str) -> np.ndarray:
    """float32 [t, h, w, 3]; ``own`` is the real video."""
    shot = take()
    layers = shot.layers if name == "own" else FAMILIES[name](shot, footage.generator(0, name))
    return np.stack(list(shot.film(layers))).astype(np.float32)


def box(x: float, y: float, half: float) -> tuple[slice, slice]:
    unit, (cx, cy) = take().unit, (0.5 * SIZE, 0.47 * SIZE)
    return (
        slice(round(cy + (y - half) * unit), round(cy + (y + half) * unit)),
        slice(round(cx + (x - half) * unit), round(cx + (x + half) * unit)),
    )


INNER, MOUTH = box(0, 0.15, 0.55), box(0, 0.68, 0.3)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_frame_for_each_and_the_picture_around_the_face_is_untouched(name):
    forged, own = frames(name), frames("own")
    assert forged.shape == own.shape
    border = np.ones((SIZE, SIZE), bool)
    border[SIZE // 8 : -SIZE // 6, SIZE // 5 : -SIZE // 5] = False
    np.testing.assert_array_equal(forged[:, border], own[:, border])
    assert np.abs(forged - own)[:, *INNER].mean() > 0.3


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_generator_gives_the_same_forgery(name):
    one, two = (next(iter(FAMILIES[name](take(), footage.generator(7, name)))) for _ in range(2))
    assert one[0] == two[0]
    np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_outline_of_the_head_is_the_targets(name):
    """Coverage may move with the mouth that opens, never with the source's head."""
    for (_, forged), (_, own) in zip(FAMILIES[name](take(), footage.generator(0, name)), take().layers, strict=True):
        assert np.abs(forged[..., 3] - own[..., 3]).mean() < 0.003


def detail(images: np.ndarray) -> float:
    return float(np.mean([np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in images]))


def unsteadiness(images: np.ndarray) -> float:
    """Mean absolute second difference in time: what a smooth movement hardly has."""
    return float(np.abs(np.diff(images, 2, axis=0)).mean())


def clean(name: str, region) -> np.ndarray:
    """The region of the face layers, without sensor noise."""
    shot = take()
    quiet = footage.Footage(0, 2, 3, FRAMES, SIZE)
    quiet._noise[:] = 0
    layers = shot.layers if name == "own" else FAMILIES[name](shot, footage.generator(0, name))
    return np.stack(list(quiet.film(layers))).astype(np.float32)[:, *region]


def test_deepfakes_are_coarse_in_every_frame_and_off_colour():
    coarse = clean("Deepfakes", INNER)
    sharp = clean("FaceSwap", INNER)
    assert detail(coarse) < 0.75 * detail(sharp)
    casts = []
    for seed in range(20):
        _, layer = next(iter(FAMILIES["Deepfakes"](take(), footage.generator(seed, "Deepfakes"))))
        casts.append((layer - take().layers[0][1])[..., :3].mean((0, 1)))
    assert np.std(casts) > 0.003
    assert abs(np.mean(casts)) < 0.5 * np.std(casts)


def test_faceswap_is_as_sharp_as_the_real_and_unsteady():
    shot = take()
    steady = np.stack(list(shot.film(shot.place(shot.swapped, p, i) for i, p in enumerate(shot.swapped_painted))))
    steady = steady.astype(np.float32)[:, *INNER]
    forged = frames("FaceSwap")[:, *INNER]
    assert detail(forged) == pytest.approx(detail(steady), rel=0.05)
    assert unsteadiness(forged) > 1.5 * unsteadiness(steady)


def test_deepfakes_are_as_steady_as_the_real():
    assert unsteadiness(frames("Deepfakes")[:, *INNER]) < 1.1 * unsteadiness(frames("own")[:, *INNER])


def test_face2face_draws_unchanged_motion_as_the_very_same_pictures():
    """No trace of its own: with nothing to replace, the forgery is the real video, bit by bit."""
    shot = footage.Footage(0, 2, 3, 3, SIZE)
    for index, (corner, layer) in enumerate(shot.layers):
        again = shot.place(shot.head, shot.paint_frame(shot.head, shot.motion, index), index, shot.motion)
        assert again[0] == corner
        np.testing.assert_array_equal(again[1], layer)


def test_neural_textures_soften_the_mouth_only():
    own, forged = clean("own", MOUTH), clean("NeuralTextures", MOUTH)
    assert detail(forged) < 0.8 * detail(own)
    eyes = box(0, -0.3, 0.45)
    np.testing.assert_array_equal(frames("NeuralTextures")[:, *eyes], frames("own")[:, *eyes])
