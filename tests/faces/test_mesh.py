"""The face mesh: operators against plain loops, places in the frame, groups of points; the network itself by its peer.

Most of it needs no weights: a small network stands in, which always answers the same points and looks at brightness.
"""

import csv
import itertools

import cv2
import jax
import numpy as np
import pytest
from published import fetched
from tflite_writer import Writer

from fusion_dfd.faces import align, mesh
from fusion_dfd.faces.mtcnn import MTCNN
from fusion_dfd.types import MESH_POINTS
from fusion_dfd.weights import sources, tflite_file

CORNERS = np.array([[96, 96, 0], [0, 0, -8], [192, 0, 4], [0, 192, 2]], np.float32)
"""The first points of the stand-in, in pixels of the crop: its centre and three corners."""


@pytest.fixture
def stand_in(monkeypatch) -> mesh.FaceMesh:
    one = Writer([1, 192, 192, 3])
    pool = one.operator("max_pool", [0], [1, 3, 3, 3], [1, 64, 64, 64, 64, 0])
    answer = np.zeros((mesh.POINTS, 3))
    answer[: len(CORNERS)] = CORNERS
    kernels = one.constant(np.zeros((answer.size, 3, 3, 3))), one.constant(np.ones((1, 3, 3, 3)))
    points = one.operator(
        "conv", [pool, kernels[0], one.constant(answer.ravel())], [1, 1, 1, answer.size], [1, 3, 3, 0]
    )
    score = one.operator("conv", [pool, kernels[1], one.constant([-5.0])], [1, 1, 1, 1], [1, 3, 3, 0])
    network = tflite_file.read(one.file(points, score), "here")
    monkeypatch.setattr(mesh, "_load", lambda: network)
    return mesh.FaceMesh()


def face(centre=(60.0, 50.0), side=40.0, degrees=0.0):
    """A box, and five landmarks about its centre; positive degrees lower the eye at the right of the picture."""
    turn = np.radians(degrees)
    turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    landmarks = np.array([[-8, -6], [8, -6], [0, 0], [-6, 8], [6, 8]]) @ turn.T + centre
    half = np.array([side * 0.4, side / 2])
    return np.array([*(centre - half), *(centre + half)]), landmarks


def test_points_come_back_in_pixels_of_the_frame(stand_in):
    box, landmarks = face()
    found = stand_in.find(np.full((1, 100, 120, 3), 255, np.uint8), box[None], landmarks[None])
    assert (found.points.dtype, found.points.shape, found.score.shape) == (np.float32, (1, 468, 3), (1,))
    want = [[60, 50, 0], [30, 20, -8 * 60 / 192], [90, 20, 4 * 60 / 192], [30, 80, 2 * 60 / 192]]
    np.testing.assert_allclose(found.points[0, :4], want, atol=1e-4)


def test_the_crop_turns_with_the_eyes(stand_in):
    box, landmarks = face(degrees=90)
    found = stand_in.find(np.full((1, 100, 120, 3), 255, np.uint8), box[None], landmarks[None])
    np.testing.assert_allclose(found.points[0, :3, :2], [[60, 50], [90, 20], [90, 80]], atol=1e-4)


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
def test_eyes_lie_level_and_in_their_order_in_the_crop(degrees):
    box, landmarks = face(degrees=degrees)
    (matrix,) = mesh.upright(box[None], landmarks[None])
    left, right = landmarks[:2] @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(right - left, [16 * 192 / 60, 0], atol=1e-9)


def test_eyes_in_one_spot_and_a_box_without_size_give_an_upright_crop():
    (matrix,) = mesh.upright(np.array([[5.0, 5, 5, 5]]), np.full((1, 5, 2), 5.0))
    np.testing.assert_allclose(matrix, [[128, 0, 96 - 5 * 128], [0, 128, 96 - 5 * 128]])


def test_a_face_that_the_network_does_not_see_has_no_points(stand_in):
    box, landmarks = face()
    frames = [np.full((100, 120, 3), value, np.uint8) for value in (255, 0, 255, 0, 255)] + [
        np.zeros((9, 7, 3), np.uint8)
    ]
    found = stand_in.find(frames, np.stack([box] * 6), np.stack([landmarks] * 6))
    assert found.present.tolist() == [True, False, True, False, True, False]
    np.testing.assert_allclose(found.score, 1 / (1 + np.exp([-22, 5, -22, 5, -22, 5])), atol=1e-6)


def test_no_faces_give_no_points(stand_in):
    found = stand_in.find(np.zeros((0, 100, 120, 3), np.uint8), np.zeros((0, 4)), np.zeros((0, 5, 2)))
    assert (found.points.shape, found.present.shape) == ((0, 468, 3), (0,))


def test_groups_hold_points_of_the_mesh_each_in_one_of_them():
    groups = mesh.OVAL, mesh.LEFT_BROW, mesh.RIGHT_BROW, mesh.LEFT_EYE, mesh.RIGHT_EYE, mesh.LIPS, mesh.NOSE
    assert list(map(len, groups)) == [36, 10, 10, 16, 16, 40, 24]
    together = list(itertools.chain(*groups))
    assert len(set(together)) == len(together) == 152
    assert set(together) <= set(range(mesh.POINTS))
    assert tuple(together) == mesh.STORED
    assert len(mesh.STORED) == MESH_POINTS
    assert (mesh.JAW[0], mesh.JAW[-1], len(mesh.JAW)) == (454, 234, 21)


def test_a_flip_takes_each_group_to_its_counterpart_and_back():
    order = np.array(mesh.MIRRORED)
    np.testing.assert_array_equal(order[order], np.arange(MESH_POINTS))
    other = {mesh.LEFT_BROW: mesh.RIGHT_BROW, mesh.LEFT_EYE: mesh.RIGHT_EYE}
    for group in (mesh.OVAL, mesh.JAW, mesh.LIPS, mesh.NOSE, *other):
        assert set(order[mesh.stored(group)]) == set(mesh.stored(other.get(group, group)))
    # Where a point has no counterpart it lies on the middle line: hairline, chin, lips and the ridge of the nose.
    alone = {mesh.STORED[place] for place in np.flatnonzero(order == np.arange(MESH_POINTS))}
    assert alone == {10, 152, 0, 17, 13, 14, *mesh.NOSE[:10]}
    assert mesh.STORED[order[mesh.STORED.index(454)]] == 234, "the ears"


@pytest.mark.slow
def test_a_mirrored_photograph_has_the_mirrored_mesh(real, media):
    pictures, boxes, landmarks = faces(media, every=29)
    width = np.array([[picture.shape[1]] for picture in pictures])
    turned = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
    flipped = np.stack([width[:, 0] - 1 - boxes[:, 2], boxes[:, 1], width[:, 0] - 1 - boxes[:, 0], boxes[:, 3]], -1)
    points = landmarks[:, [1, 0, 2, 4, 3]].copy()
    points[..., 0] = width - 1 - points[..., 0]
    one, two = real.find(pictures, boxes, landmarks), real.find(turned, flipped, points)
    want = one.points[:, list(mesh.STORED), :2][:, list(mesh.MIRRORED)]
    want[..., 0] = width - 1 - want[..., 0]
    apart = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1)
    away = np.linalg.norm(two.points[:, list(mesh.STORED), :2] - want, axis=-1) / apart[:, None]
    assert np.median(away, axis=0).max() < 0.15, "each point, in distances between the eyes"


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ["conv", "depthwise", "max_pool"])
def test_windows_against_a_plain_loop(kind, stride, padding, rng):
    side, size = 7, (3, 2)
    x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
    places = [-(-(side if padding == 0 else side - length + 1) // stride) for length in size]
    one = Writer([1, side, side, 3])
    channels = 4 if kind == "conv" else 3
    kernel = rng.normal(size=(4, *size, 3) if kind == "conv" else (1, *size, 3))
    bias = rng.normal(size=channels)
    weights = [] if kind == "max_pool" else [one.constant(kernel), one.constant(bias)]
    options = {"conv": [0], "depthwise": [1, 0], "max_pool": [*size[::-1], 0]}[kind]
    made = one.operator(kind, [0, *weights], [1, *places, channels], [padding, stride, stride, *options])
    network = tflite_file.read(one.file(made), "here")
    (got,) = mesh.run(network.operators, network.outputs, mesh.prepared(network), {0: x})
    lacking = [
        0 if padding else max(0, (count - 1) * stride + length - side)
        for count, length in zip(places, size, strict=True)
    ]
    around = [(0, 0), *((lack // 2, lack - lack // 2) for lack in lacking), (0, 0)]
    wide = np.pad(x, around, constant_values=-np.inf if kind == "max_pool" else 0)
    want = np.zeros((2, *places, channels))
    for row, column in np.ndindex(*places):
        seen = wide[:, row * stride : row * stride + size[0], column * stride : column * stride + size[1]]
        if kind == "conv":
            want[:, row, column] = np.einsum("nhwi,ohwi->no", seen, kernel) + bias
        elif kind == "depthwise":
            want[:, row, column] = (seen * kernel[0]).sum((1, 2)) + bias
        else:
            want[:, row, column] = seen.max((1, 2))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_other_operators(rng):
    one = Writer([1, 2, 2, 2])
    slope = np.array([[[0.5, -1.0]]])
    bent = one.operator("prelu", [0, one.constant(slope)], [1, 2, 2, 2])
    both = one.operator("add", [0, bent], [1, 2, 2, 2], [3])
    wide = one.operator("pad", [both, one.constant(np.array([[0, 0], [1, 0], [0, 2], [0, 1]]))], [1, 3, 4, 3])
    network = tflite_file.read(one.file(wide), "here")
    x = rng.normal(0, 4, size=(3, 2, 2, 2)).astype(np.float32)
    (got,) = mesh.run(network.operators, network.outputs, mesh.prepared(network), {0: x})
    want = np.clip(x + np.where(x > 0, x, slope * x), 0, 6)
    np.testing.assert_allclose(got, np.pad(want, [(0, 0), (1, 0), (0, 2), (0, 1)]), atol=1e-6)


@pytest.fixture(scope="module")
def real() -> mesh.FaceMesh:
    fetched(mesh.WHEEL, mesh.FILE)
    return mesh.FaceMesh()


@pytest.fixture(scope="module")
def peer():
    """TensorFlow Lite's interpreter of the same file: uint8 [192, 192, 3] -> points [468, 3], score."""
    tensorflow = pytest.importorskip("tensorflow")
    net = tensorflow.lite.Interpreter(model_content=sources.read(mesh.WHEEL, mesh.FILE))
    net.allocate_tensors()

    def ask(crop: np.ndarray) -> tuple[np.ndarray, float]:
        net.set_tensor(net.get_input_details()[0]["index"], crop[None].astype(np.float32) / 255)
        net.invoke()
        points, flag = (net.get_tensor(one["index"]).ravel() for one in net.get_output_details())
        return points.reshape(-1, 3), 1 / (1 + np.exp(-float(flag[0])))

    return ask


def faces(media, every: int):
    """Photographs of faces, and the box and landmarks that the detector finds in each."""
    with open(media / "faces.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)][::every]
    detector = MTCNN(min_size=40)
    pictures, boxes, landmarks = [], [], []
    for name in names:
        picture = cv2.imread(str(media / name), cv2.IMREAD_COLOR_RGB)
        scale = min(1, 256 / max(picture.shape[:2]))
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        (found,) = detector.detect(picture[None])
        if len(found):
            pictures.append(picture)
            boxes.append(found.boxes[0])
            landmarks.append(found.landmarks[0])
    return pictures, np.array(boxes, np.float64), np.array(landmarks, np.float64)


@pytest.mark.tensorflow
def test_random_pictures_give_what_the_runtime_gives(real, peer, rng):
    crops = rng.integers(0, 256, (4, mesh.SIDE, mesh.SIDE, 3), dtype=np.uint8)
    network = real._network
    points, score = mesh._faces(network.operators, network.input, network.outputs, real._weights, crops)
    for got, sure, crop in zip(jax.device_get(points), score, crops, strict=True):
        want = peer(crop)
        np.testing.assert_allclose(got, want[0], atol=5e-3)
        np.testing.assert_allclose(sure, want[1], atol=1e-5)
    assert (score < mesh.PRESENT).all()


@pytest.mark.tensorflow
def test_photographs_give_what_the_runtime_gives_and_what_the_detector_found(real, peer, media):
    pictures, boxes, landmarks = faces(media, every=29)
    found = real.find(pictures, boxes, landmarks)
    assert found.present.all()
    matrices = mesh.upright(boxes, landmarks)
    for picture, matrix, got in zip(pictures, matrices, found.points, strict=True):
        points, _ = peer(align.warp(picture, matrix, mesh.SIDE))
        shown = got[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(shown, points[:, :2], atol=5e-3)
    groups = [found.points[:, list(one), :2].mean(1) for one in (mesh.RIGHT_EYE, mesh.LEFT_EYE, mesh.LIPS)]
    mouth = landmarks[:, 3:].mean(1)
    apart = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1)
    for got, want in zip(groups, (landmarks[:, 0], landmarks[:, 1], mouth), strict=True):
        assert np.median(np.linalg.norm(got - want, axis=-1) / apart) < 0.15
