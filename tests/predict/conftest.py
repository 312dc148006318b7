"""A detector with fresh weights whose face finder answers by a script (``scripted``, ``barcodes``: of tests/faces)."""

import jax
import pytest
from barcodes import barcode, write
from scripted import Scripted

from fusion_dfd import config as c
from fusion_dfd.predict.detector import DeepfakeDetector
from fusion_dfd.predict.verdict import VerdictRules
from fusion_dfd.training import state
from fusion_dfd.training.checkpoint import TrainedModel

RULES = VerdictRules(None, "mean_probability", None, "first")


@pytest.fixture(scope="session")
def config() -> c.Config:
    return c.Config(
        faces=c.Faces(every=4, min_size=12, size=32, clip_length=10, clips=1),
        data=c.Data(frames=5, size=32),
        model=c.Model(
            branches=("spatial", "temporal"),
            backbone=c.Backbone("resnet18", width=4, stages=1),
            recurrent=(4,),
            dense=(4,),
            head=(4,),
            token=4,
        ),
    ).validate()


@pytest.fixture(scope="session")
def trained(config) -> TrainedModel:
    params, stats = jax.jit(lambda: state.variables(config.model, 0))()
    return TrainedModel(config, {"params": params, "stats": stats}, 7, {})


@pytest.fixture(scope="session")
def build(trained):
    """``build(faces, rules, clips)``: a detector that finds what ``faces(number of the frame)`` says."""

    def made(faces, rules=RULES, clips=4) -> DeepfakeDetector:
        return DeepfakeDetector(trained, rules, clips, build_finder=lambda options: Scripted(faces))

    return made


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    """``video(frames)``: path of a video of 25 frames a second that carry their numbers."""
    folder = tmp_path_factory.mktemp("videos")

    def made(frames: int) -> str:
        path = folder / f"{frames}.mp4"
        return str(path if path.exists() else write(path, map(barcode, range(frames))))

    return made
