"""The cascade against frozen outputs of the package its weights come from, on real, rendered and painted faces.

The frozen numbers were printed by mtcnn 1.0.0 under TensorFlow 2.21.0, on ``portrait()``.
"""

import csv
import pathlib

import cv2
import numpy as np
import pytest
from portrait import LANDMARKS, plausible, portrait, scene

from fusion_dfd.faces import mtcnn
from fusion_dfd.faces.boxes import overlap
from fusion_dfd.faces.mtcnn import MTCNN
from fusion_dfd.synthetic import footage
from fusion_dfd.types import DataError
from fusion_dfd.weights import sources

REFERENCE_BOX = np.array([[57.706, 45.336, 144.436, 164.317]])
REFERENCE_LANDMARKS = [[81.226, 93.83], [117.643, 94.687], [99.944, 119.985], [86.073, 138.87], [114.041, 139.213]]
PNET = 0.6601343154907227, [0.1740892231464386, -0.01214512437582016, -0.17038728296756744, -0.0407012477517128]
RNET = 0.9816451072692871, [0.1836358606815338, 0.06938458234071732, -0.154362291097641, 0.053268615156412125]
ONET = 0.9978561997413635, [0.12119613587856293, -0.035017549991607666, -0.04023091867566109, 0.21437084674835205]
ONET_X = [0.3405423164367676, 0.7170945405960083, 0.546132504940033, 0.37696975469589233, 0.6873630881309509]
ONET_Y = [0.464993953704834, 0.45804980397224426, 0.7166597843170166, 0.9343435764312744, 0.9250863790512085]


@pytest.fixture(scope="module")
def finder():
    return MTCNN(min_size=32, threshold=0.6)


def test_the_networks_agree_with_the_package():
    face = portrait()
    score, offset = mtcnn.pnet(mtcnn.load("pnet"), face[None, 50:170:10, 40:160:10])
    np.testing.assert_allclose(score, [[[PNET[0]]]], atol=2e-6)
    np.testing.assert_allclose(offset[0, 0], [PNET[1]], atol=2e-6)
    score, offset = mtcnn.rnet(mtcnn.load("rnet"), face[None, 50:170:5, 40:160:5])
    np.testing.assert_allclose(score, [RNET[0]], atol=2e-6)
    np.testing.assert_allclose(offset, [RNET[1]], atol=2e-6)
    score, offset, points = mtcnn.onet(mtcnn.load("onet"), face[None, 50:146:2, 50:146:2])
    np.testing.assert_allclose(score, [ONET[0]], atol=2e-6)
    np.testing.assert_allclose(offset, [ONET[1]], atol=2e-6)
    np.testing.assert_allclose(points[0], np.stack([ONET_X, ONET_Y], -1), atol=2e-6)


def test_the_cascade_finds_the_package_s_face():
    (found,) = MTCNN(min_size=20, threshold=0.8).detect(portrait()[None])
    assert len(found) == 1
    assert (found.boxes.dtype, found.scores.dtype, found.landmarks.dtype) == (np.float32,) * 3
    assert (found.boxes.shape, found.scores.shape, found.landmarks.shape) == ((1, 4), (1,), (1, 5, 2))
    assert found.scores[0] > 0.95
    assert overlap(REFERENCE_BOX, found.boxes)[0, 0] > 0.8
    assert abs(found.landmarks[0] - REFERENCE_LANDMARKS).max() < 3
    assert abs(found.landmarks[0] - LANDMARKS).max() < 3


def test_boxes_and_landmarks_follow_the_face(finder):
    places = (10, 30), (150, 5), (97, 63)
    frames = np.stack([scene(270, 360, place) for place in places])
    for place, found in zip(places, finder.detect(frames), strict=True):
        assert len(found) == 1
        assert abs(found.landmarks[0] - LANDMARKS - place).max() < 5
        assert overlap(REFERENCE_BOX + np.tile(place, 2), found.boxes)[0, 0] > 0.75


def test_faces_of_a_frame_come_by_confidence_and_those_of_others_do_not_matter(finder):
    frames = [scene(240, 480, (0, 20), (260, 30)), scene(240, 480), scene(240, 480, (140, 10))]
    together = finder.detect(np.stack(frames * 4))
    assert [len(found) for found in together] == [2, 0, 1] * 4
    assert together[0].scores[0] >= together[0].scores[1]
    for frame, found in zip(frames, together[3:6], strict=True):
        (alone,) = finder.detect(frame[None])
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=1e-3)
        np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=1e-3)


def test_scale_is_undone_on_each_axis_and_large_frames_keep_their_precision(finder):
    large = cv2.resize(scene(300, 400, (120, 60)), None, fx=4.75, fy=3.6, interpolation=cv2.INTER_LINEAR)
    (found,) = finder.detect(large[None])
    assert len(found) == 1
    side = (found.boxes[0, 2:] - found.boxes[0, :2]).max()
    assert abs(found.landmarks[0] - (LANDMARKS + np.array([120, 60])) * (4.75, 3.6)).max() < 0.04 * side


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (2, 8, 8, 3), (1, 1, 500, 3), (3, 12, 12, 3), (1, 97, 101, 3)])
def test_frames_without_a_face_of_any_size_and_number(finder, shape):
    found = finder.detect(np.full(shape, 128, np.uint8))
    assert [len(each) for each in found] == [0] * shape[0]
    for each in found:
        assert (each.boxes.shape, each.scores.shape, each.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


def test_noise_is_no_face(finder, rng):
    assert [len(found) for found in finder.detect(rng.integers(0, 255, (3, 120, 160, 3), np.uint8))] == [0, 0, 0]


def test_small_faces_and_unsure_ones_are_left_out():
    assert [len(found) for found in MTCNN(min_size=140, threshold=0.6).detect(portrait()[None])] == [0]
    (found,) = MTCNN(min_size=32, threshold=0.6).detect(portrait()[None])
    score = float(found.scores[0])
    assert len(MTCNN(min_size=32, threshold=score - 0.01).detect(portrait()[None])[0]) == 1
    assert len(MTCNN(min_size=32, threshold=score + (1 - score) / 2).detect(portrait()[None])[0]) == 0


def test_boxes_stay_inside_the_frame(finder):
    (found,) = finder.detect(np.ascontiguousarray(portrait()[None, 52:160, 60:142]))
    assert len(found) == 1
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [81, 107, 81, 107]).all()


def test_few_programs_are_compiled(finder):
    networks = mtcnn.pnet, mtcnn.rnet, mtcnn.onet
    finder.detect(scene(240, 480, (0, 20))[None])
    before = [network._cache_size() for network in networks]
    for count, height, width in ((1, 238, 478), (9, 240, 476), (3, 237, 480)):
        finder.detect(np.stack([scene(height, width, (100, 20), (260, 10))] * count))
    assert [network._cache_size() for network in networks] == before


def test_rendered_faces_are_found(finder):
    size, frames = 160, []
    for person in range(0, 16, 2):
        take = footage.Footage(0, person, person + 1, 2, size)
        layers = [take.place(take.head, take.paint_frame(take.head, take.motion, 0), 0)]
        frames += list(take.film(layers))
    for found in finder.detect(np.stack(frames)):
        assert len(found) == 1
        centre, side = (found.boxes[0, :2] + found.boxes[0, 2:]) / 2, found.boxes[0, 2:] - found.boxes[0, :2]
        assert abs(centre - (0.5 * size, 0.5 * size)).max() < 0.12 * size
        assert (side > 0.25 * size).all()
        assert (side < 0.65 * size).all()
        assert plausible(found.boxes[0], found.landmarks[0])


@pytest.mark.slow
def test_photographs_of_one_face_each(media):
    """The faces of 292 photographs: over 98% give exactly one face, and its landmarks make sense."""
    with open(media / "faces.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    frames = np.zeros((len(names), 256, 256, 3), np.uint8)
    for frame, name in zip(frames, names, strict=True):
        picture = cv2.imread(str(media / name), cv2.IMREAD_COLOR_RGB)
        scale = 256 / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        frame[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    found = MTCNN(min_size=24, threshold=0.9).detect(frames)
    one = [each for each in found if len(each) == 1]
    sound = [each for each in one if plausible(each.boxes[0], each.landmarks[0])]
    assert len(one) > 0.98 * len(names)
    assert len(sound) > 0.96 * len(names)


def test_the_weights_are_the_known_ones():
    for name, layers in {"pnet": 13, "rnet": 16, "onet": 21}.items():
        arrays = mtcnn.load(name)
        assert len(arrays) == layers
        assert all(array.dtype == np.float32 for array in arrays)


def test_altered_weights_are_refused_before_they_are_unpickled(tmp_path, monkeypatch):
    real = pathlib.Path(sources.fetch(mtcnn.WHEEL, "mtcnn/assets/weights/pnet.lz4"))
    copy = tmp_path / "pnet.lz4"
    monkeypatch.setattr(sources, "_installed", lambda *_: str(copy))
    content = bytearray(real.read_bytes())
    copy.write_bytes(content)
    fresh = mtcnn.load.__wrapped__
    assert len(fresh("pnet")) == 13
    content[1000] ^= 1
    copy.write_bytes(content)
    monkeypatch.setattr(mtcnn.joblib, "load", lambda _: pytest.fail("unpickled"))
    with pytest.raises(DataError, match=r"pnet\.lz4: is not pnet\.lz4 of mtcnn==1\.0\.0 .*pip install"):
        fresh("pnet")
