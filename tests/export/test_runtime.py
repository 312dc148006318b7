"""Whichever engine runs an exported folder, what is said of a clip and of a video is the same."""

import dataclasses

import jax
import numpy as np
import pytest
from barcodes import barcode, write
from scripted import Scripted

from fusion_dfd import config as c
from fusion_dfd.export import runtime
from fusion_dfd.predict import detector
from fusion_dfd.runs import score
from fusion_dfd.runs.run import Run
from fusion_dfd.types import MESH_POINTS, Batch


def batch(rng, weight) -> Batch:
    rows = len(weight)
    frames = rng.integers(0, 256, (rows, 4, 32, 32, 3)).astype(np.uint8)
    landmarks = rng.uniform(0, 32, (rows, 4, 5, 2)).astype(np.float32)
    zeros = np.zeros(rows, np.int32)
    apart = np.array([True, True, False, True])
    length, weight = np.array([4, 1, 2, 3], np.int32), np.array(weight, np.float32)
    return Batch(frames, landmarks, length, zeros, weight, zeros, contiguous=apart)


def test_the_onnx_program_answers_for_the_rows_that_count(written, rng):
    clips = batch(rng, [1, 0, 1, 1])
    live = jax.device_get(score.predictor(Run(written).best())(clips))
    found = runtime.predictor(Run(written))(clips)
    assert jax.tree.structure(found) == jax.tree.structure(live)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[[0, 2, 3]], atol=1e-5), found, live)


def test_the_stablehlo_program_gives_all_that_the_model_gives(written, rng):
    clips = batch(rng, [1, 1, 1, 1])
    live = score.predictor(Run(written).best())(clips)
    found = runtime.stablehlo_program(written)(runtime.arrays(clips, Run(written).config.model))
    np.testing.assert_allclose(found["logit"], live.logit, atol=1e-6)
    np.testing.assert_allclose(found["branch_logits.spatial"], live.branch_logits["spatial"], atol=1e-6)
    np.testing.assert_allclose(found["frame_logits"], live.frame_logits, atol=1e-6)


def test_a_video_gets_the_same_verdict(run, written, tmp_path):
    path = str(write(tmp_path / "clip.mp4", map(barcode, range(21))))
    found = []
    for folder, name in ((run, "jax"), (written, "jax"), (written, "onnx"), (written, "auto")):
        one = detector.load(folder, clips=3, engine=name)
        one.finder = Scripted(lambda _: [(5, 5, 30, 0.99)])
        found.append(dataclasses.replace(one.predict(path), took=0, record=None))
    assert found[0].probability is not None
    assert found[0] == found[1]
    for verdict in found[2:]:
        assert verdict.probability == pytest.approx(found[0].probability, abs=1e-5)
        assert verdict.verdict == found[0].verdict


@pytest.mark.parametrize("reads", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_landmarks_fit_the_program_with_and_without_a_mesh(reads, stored, rng):
    model = c.Model(micro=c.Micro(mesh=reads))
    clips = batch(rng, [1, 1, 1, 1])
    five = clips.landmarks
    if stored:
        mesh = rng.uniform(0, 32, (4, 4, MESH_POINTS, 2)).astype(np.float32)
        clips = clips.replace(landmarks=np.concatenate([five, mesh], axis=2))
    fitted = runtime.arrays(clips, model)["landmarks"]
    assert fitted.shape == (4, 4, runtime.points(model), 2)
    np.testing.assert_array_equal(fitted[:, :, :5], five)
    if reads:
        np.testing.assert_array_equal(fitted[:, :, 5:], clips.landmarks[:, :, 5:] if stored else 0)
