"""Detectors of every system with fresh weights, on small videos of a face that a script finds."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from barcodes import barcode, write
from scripted import POINTS, Scripted

from fusion_dfd import config as c
from fusion_dfd.predict import warnings
from fusion_dfd.predict.detector import DeepfakeDetector
from fusion_dfd.predict.verdict import VerdictRules, Window
from fusion_dfd.training import state
from fusion_dfd.training.checkpoint import TrainedModel
from fusion_dfd.types import Outputs

SIDE, FRAMES = 32, 6
VARIANTS = {
    "fusion": {},
    "micro alone": {"branches": ("micro",)},
    "spatial and temporal": {"branches": ("spatial", "temporal")},
    "sequence": {"system": "sequence"},
    "frame": {"system": "frame"},
    "frame of a ViT": {"system": "frame", "backbone": c.Backbone("vit_small", width=4, stages=1)},
    "flow": {"system": "flow"},
    "r2plus1d": {"system": "r2plus1d", "backbone": c.Backbone(width=4, stages=2), "remat": True},
    "timesformer": {"system": "timesformer"},
}


def face(_):
    return [(8, 6, 36, 0.99)]


@functools.cache
def trained(variant: str) -> TrainedModel:
    model = c.Model(
        backbone=c.Backbone("resnet18", width=4, stages=1),
        micro=c.Micro(inputs=("difference", "flow"), size=24, widths=(4,)),
        timesformer=c.TimeSformer(size=SIDE, frames=FRAMES, patch=16, width=8, depth=1, heads=2),
        recurrent=(4,),
        dense=(6,),
        head=(6,),
        token=6,
    )
    config = c.Config(
        faces=c.Faces(every=3, min_size=12, size=SIDE, clip_length=12, clips=1),
        data=c.Data(frames=FRAMES, size=SIDE),
        model=dataclasses.replace(model, **VARIANTS[variant]),
    ).validate()
    return TrainedModel(config, weights(state.abstract_variables(config.model)), 7, {})


def weights(shapes: dict) -> dict:
    """Random weights without compiling the initialisation: scales and variances about 1, the rest about 0."""
    rng = np.random.default_rng(1)

    def drawn(path, leaf) -> np.ndarray:
        centre = float(path[-1].key in ("scale", "var"))
        spread = 0.1 if centre or len(leaf.shape) < 2 else 1 / np.sqrt(np.prod(leaf.shape[:-1]))
        return (centre + spread * rng.normal(size=leaf.shape)).astype(leaf.dtype)

    return jax.tree_util.tree_map_with_path(drawn, shapes)


@pytest.fixture(scope="session")
def build():
    """``build(variant, faces, run)``: a detector that finds what ``faces(number of the frame)`` says."""

    def made(variant: str = "fusion", faces=face, run=None, rules=None) -> DeepfakeDetector:
        known = tuple(warnings.of(False, run and run.training_data, run))
        rules = rules or VerdictRules(None, "mean_probability", None, "first", known)
        return DeepfakeDetector(trained(variant), rules, 4, run, build_finder=lambda options: Scripted(faces))

    return made


@pytest.fixture(scope="session")
def variants() -> dict[str, dict]:
    return VARIANTS


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    """``video(frames)``: path of a video of 25 frames a second that carry their numbers."""
    folder = tmp_path_factory.mktemp("videos")

    def made(frames: int) -> str:
        path = folder / f"{frames}.mp4"
        return str(path if path.exists() else write(path, map(barcode, range(frames))))

    return made


@pytest.fixture
def window(rng):
    """``window(start, logit)``: textured frames in slow motion, with landmarks in them."""

    def made(start: int = 0, logit: float = 0.0, place: int = 0) -> Window:
        wide = rng.integers(0, 256, (SIDE + FRAMES, SIDE, 3))
        wide = (wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) // 3
        frames = np.stack([wide[t : t + SIDE] for t in range(FRAMES)]).astype(np.uint8)
        landmarks = np.broadcast_to(np.float32(POINTS * SIDE), (FRAMES, 5, 2)).copy()
        indices = np.arange(start, start + FRAMES, dtype=np.int32)
        return Window(0, place, indices, frames, landmarks, np.zeros(19), Outputs(np.float32(logit)))

    return made
