"""Nothing but the forgery separates real from fake: not the file's size, not the brightness of the picture."""

import pathlib

import av
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fusion_dfd.config import Synthetic
from fusion_dfd.synthetic.generate import generate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, np.ndarray]:
    root = generate(str(tmp_path_factory.mktemp("shortcuts")), Synthetic(1, (10, 1, 1), 10, 128), workers=2)
    out = {"label": [], "file size": [], "mean brightness": [], "contrast": []}
    for path in sorted(pathlib.Path(root).rglob("*.mp4")):
        with av.open(str(path)) as container:
            grey = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
        out["label"].append("manipulated" in str(path))
        out["file size"].append(path.stat().st_size)
        out["mean brightness"].append(grey.mean())
        out["contrast"].append(grey.std())
    return {name: np.array(values) for name, values in out.items()}


@pytest.mark.parametrize("name", ["file size", "mean brightness", "contrast"])
def test_it_does_not_tell_the_label(measured, name):
    assert np.bincount(measured["label"]).tolist() == [24, 96]
    assert np.ptp(measured[name]) > 0
    assert 0.4 < roc_auc_score(measured["label"], measured[name]) < 0.6
