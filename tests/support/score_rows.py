"""Scores made by hand: the fixture ``make``, for tests of statistics and of pages."""

import types

import numpy as np
import pytest

from fusion_dfd.evaluation.scores import FrameScore
from fusion_dfd.types import ORIGINAL, Score

METHODS = ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")


def score(logit: float, method: str = ORIGINAL, name: str = "000", clip: int = 0, **changes) -> Score:
    values = {
        "video": f"ff/{method}/c23/{name}",
        "clip": clip,
        "track": 0,
        "dataset": "ff",
        "method": method,
        "compression": "c23",
        "group": name[:3],
        "label": int(method != ORIGINAL),
        "logit": logit,
        "start": 16 * clip,
    }
    return Score(**values | changes)


def table(pairs: int = 4, clips: int = 2, seed: int = 0, skill: float = 3.0) -> list[Score]:
    """Two reals and two fakes of each method per pair, in the naming of FaceForensics++, which repeats file names."""
    rng = np.random.default_rng(seed)
    rows = []
    for pair in range(pairs):
        for a, b in ((2 * pair, 2 * pair + 1), (2 * pair + 1, 2 * pair)):
            for method in (ORIGINAL, *METHODS):
                fake = method != ORIGINAL
                name = f"{a:03d}_{b:03d}" if fake else f"{a:03d}"
                centre = rng.normal() + skill * (fake - 0.5)
                rows += [
                    score(float(centre + 0.3 * rng.normal()), method, name, clip, group=f"{2 * pair:03d}")
                    for clip in range(clips)
                ]
    return rows


def frames(rows: list[Score], count: int = 3) -> list[FrameScore]:
    names = Score.__dataclass_fields__
    return [
        FrameScore(**{name: getattr(row, name) for name in names}, frame=row.start + t)
        for row in rows
        for t in range(count)
    ]


@pytest.fixture(scope="session")
def make() -> types.SimpleNamespace:
    return types.SimpleNamespace(score=score, table=table, frames=frames, methods=METHODS)
