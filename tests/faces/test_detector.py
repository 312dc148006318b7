"""What every registered detector must do, and what is said of one that there is not."""

import numpy as np
import pytest
from portrait import LANDMARKS, plausible, portrait, scene

from fusion_dfd import config
from fusion_dfd.faces import detector
from fusion_dfd.types import DataError


@pytest.fixture(params=sorted(detector.DETECTORS))
def options(request) -> config.Faces:
    """Of each detector. RetinaFace's weights are nobody's to ship: its share skips where they are not at hand."""
    options = config.Faces(detector=request.param)
    if request.param == "retinaface":
        folder = request.getfixturevalue("media") / "weights"
        options.weights = str(folder / "retinaface_mobilenet0.25.onnx")
    return options


def test_it_finds_the_face(options):
    found = detector.build(options).detect(np.stack([portrait(), scene(200, 200)]))
    assert [len(each) for each in found] == [1, 0]
    assert plausible(found[0].boxes[0], found[0].landmarks[0])
    assert abs(found[0].landmarks[0] - LANDMARKS).max() < 8


def test_its_identity_begins_with_its_name_and_is_one_line(options):
    said = detector.identity(options)
    assert said.split()[0] == options.detector
    assert "\n" not in said


@pytest.mark.parametrize("ask", [detector.build, detector.identity])
def test_an_unknown_detector_is_answered_with_those_there_are(ask):
    with pytest.raises(DataError, match=r"faces\.detector=haar: .*mtcnn, retinaface"):
        ask(config.Faces(detector="haar"))
