"""Autoencoders of faces: where a face is put, what the code keeps, training, files."""

import multiprocessing
import pathlib
from concurrent import futures

import cv2
import jax
import numpy as np
import pytest
from talking_face import talking_face

from fusion_dfd.faces import mesh
from fusion_dfd.faces.mesh import LEFT_EYE, LIPS, RIGHT_EYE
from fusion_dfd.forge import autoencoder
from fusion_dfd.forge.autoencoder import DESIGNS, SIDE, TEMPLATE, Autoencoder, Design
from fusion_dfd.forge.forger import NotApplicable
from fusion_dfd.types import DataError

SMALL = Design(32, 1, 12, "transposed", 4)


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    """Coloured ovals of several heights with mouths of several widths: five numbers say all of each."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(40):
        face = np.full((SIDE, SIDE, 3), 90, np.uint8)
        cv2.ellipse(face, (64, 64), (45, int(rng.integers(48, 60))), 0, 0, 360, rng.integers(80, 250, 3).tolist(), -1)
        cv2.ellipse(face, (64, 98), (int(rng.integers(8, 24)), 6), 0, 0, 360, (120, 20, 20), -1)
        drawn.append(face)
    return drawn


@pytest.fixture
def one_small(monkeypatch):
    monkeypatch.setattr(autoencoder, "DESIGNS", {"small": SMALL})


def off(model: Autoencoder, faces: list[np.ndarray]) -> float:
    side = model.design.side
    small = np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces])
    return float(np.abs(model.decode(model.encode(small)).astype(float) - small).mean())


def test_eyes_and_lips_come_to_the_template_in_every_frame():
    face = talking_face(6, 131, 98)
    for side in (64, 96):
        moved = [
            cv2.transform(one[None], m)[0] for one, m in zip(face.mesh, autoencoder.placements(face, side), strict=True)
        ]
        found = np.stack([np.stack(moved)[:, mesh.stored(group)].mean(1) for group in (LEFT_EYE, RIGHT_EYE, LIPS)], 1)
        np.testing.assert_allclose(found.mean(1), np.tile(TEMPLATE.mean(0) * side - 0.5, (6, 1)), atol=1e-3)
        assert np.abs((found + 0.5) / side - TEMPLATE).max() < 0.12
        assert autoencoder.aligned(face, side).shape == (6, side, side, 3)


@pytest.mark.parametrize("enlarge", ["nearest", "transposed", "shuffle"])
def test_numpy_decodes_as_jax_does(enlarge):
    design = Design(32, 2, 5, enlarge, 4)
    rng = np.random.default_rng(1)
    arrays = autoencoder.initial(design, rng) | {"decoder": rng.normal(0, 0.1, (5, 192)).astype(np.float32)}
    codes = rng.normal(size=(3, 5)).astype(np.float32)
    jitted = jax.jit(lambda arrays, codes: autoencoder.decode(arrays, design, codes, autoencoder._convolve_jax))
    ours = autoencoder.decode(arrays, design, codes, autoencoder._convolve)
    assert ours.shape == (3, 32, 32, 3)
    np.testing.assert_allclose(ours, jitted(arrays, codes), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_what_is_trained_is_read_again_and_keeps_what_the_code_can_hold(faces, tmp_path, one_small, monkeypatch):
    (path,) = autoencoder.train(iter(faces), str(tmp_path), 0, steps=120)
    monkeypatch.setattr(autoencoder, "folder", lambda: str(tmp_path))
    model = autoencoder.load("small")
    assert path == str(tmp_path / "small.safetensors")
    usual = Autoencoder(SMALL, {**model.arrays, "encoder": np.zeros_like(model.arrays["encoder"])})
    assert off(model, faces) < 0.5 * off(usual, faces)
    (again,) = autoencoder.train(iter(faces), str(tmp_path / "again"), 0, steps=120)
    first, second = (pathlib.Path(name).read_bytes() for name in (path, again))
    assert first == second


def test_codes_of_the_training_have_mean_0_and_deviation_1(faces):
    model = Autoencoder(SMALL, autoencoder._components(np.stack(faces), SMALL))
    both = np.stack([picture for face in faces for picture in (face, face[:, ::-1])])
    codes = model.encode(both)[:, :3]
    np.testing.assert_allclose(codes.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(codes.std(0), 1, atol=1e-2)


def test_too_few_faces_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"3 real faces for the autoencoders of .*, give at least 16"):
        autoencoder.train([np.zeros((SIDE, SIDE, 3), np.uint8)] * 3, str(tmp_path), 0)


def test_missing_weights_name_the_command_and_others_are_refused(tmp_path, untrained, monkeypatch):
    monkeypatch.setattr(autoencoder, "folder", lambda: str(tmp_path))
    with pytest.raises(NotApplicable, match=r"shuffle96\.safetensors: no such autoencoder, make it with fusion-dfd"):
        autoencoder.load("shuffle96")
    (tmp_path / "shuffle96.safetensors").symlink_to(f"{untrained}/nearest64.safetensors")
    with pytest.raises(DataError, match="not the arrays of shuffle96"):
        autoencoder.load("shuffle96")


def test_threads_and_spawned_processes_decode_alike():
    rng = np.random.default_rng(2)
    design = DESIGNS["nearest64"]
    model = Autoencoder(design, autoencoder.initial(design, rng))
    codes = rng.normal(size=(4, design.code)).astype(np.float32)
    want = model.decode(codes).tobytes()
    with futures.ThreadPoolExecutor(3) as pool:
        assert all(got.tobytes() == want for got in pool.map(model.decode, [codes] * 6))
    with futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(model.decode, codes).result().tobytes() == want
