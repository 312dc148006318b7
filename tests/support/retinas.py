"""RetinaFace's weights made of nothing, in every file format, and its arithmetic written out in numpy."""

import math

import numpy as np
import onnx
import safetensors.numpy

from fusion_dfd.faces.retinaface_networks import layers

KINDS = ("weight", "bias")


def arrays(network: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by published name, at a scale that keeps activations near one."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, layer in layers(network).items():
        spread = math.sqrt((1 if network == "resnet50" else 2) / math.prod(layer.shape[1:]))
        out[f"{name}.weight"] = rng.normal(0, spread, layer.shape).astype(np.float32)
        count = layer.shape[0]
        if layer.norm is None:
            out[f"{name}.bias"] = rng.normal(0, 0.1, count).astype(np.float32)
            continue
        out[f"{layer.norm}.weight"] = rng.uniform(0.5, 1.5, count).astype(np.float32)
        out[f"{layer.norm}.bias"] = rng.normal(0, 0.1, count).astype(np.float32)
        out[f"{layer.norm}.running_mean"] = rng.normal(0, 0.1, count).astype(np.float32)
        out[f"{layer.norm}.running_var"] = rng.uniform(0.5, 1.5, count).astype(np.float32)
        out[f"{layer.norm}.num_batches_tracked"] = np.array(7)
    first = "body.conv1" if network == "resnet50" else "body.stage1.0.0"
    out[f"{first}.weight"] /= 64  # it reads pixels
    return out


def folded(network: str, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kernels and biases without BatchNorm, as exporters fold them."""
    out = {}
    for name, layer in layers(network).items():
        kernel = values[f"{name}.weight"]
        if layer.norm is None:
            bias = values[f"{name}.bias"]
        else:
            get = {kind: values[f"{layer.norm}.{kind}"] for kind in ("weight", "bias", "running_mean", "running_var")}
            scale = get["weight"] / np.sqrt(get["running_var"] + 1e-5)
            kernel, bias = kernel * scale[:, None, None, None], get["bias"] - get["running_mean"] * scale
        out[f"{name}.weight"], out[f"{name}.bias"] = kernel, bias
    return out


def write_safetensors(path, values: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> str:
    safetensors.numpy.save_file(values, path, metadata)
    return str(path)


def write_onnx(path, network: str, values: dict[str, np.ndarray], slope: float = 0.1, numbered: bool = True) -> str:
    """A graph of convolutions alone, with folded ``values`` under numbers for names but in the heads."""
    nodes, arrays = [], []
    for count, (name, layer) in enumerate(layers(network).items()):
        names = {kind: f"{2 * count}{kind[0]}" if numbered and layer.norm else f"{name}.{kind}" for kind in KINDS}
        nodes.append(onnx.helper.make_node("Conv", ["x", *names.values()], [], strides=[layer.stride] * 2))
        nodes.append(onnx.helper.make_node("LeakyRelu", [], [], alpha=slope))
        arrays += [
            onnx.numpy_helper.from_array(values[f"{name}.{kind}"].astype(np.float32), names[kind]) for kind in KINDS
        ]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, network, [], [], arrays))
    path.write_bytes(model.SerializeToString())
    return str(path)


def lay_anchors(height: int, width: int, sides) -> list[tuple[float, float, float]]:
    """Centre x, centre y, side of every anchor."""
    out = []
    for stride, pair in zip((8, 16, 32), np.reshape(sides, (3, 2)).tolist(), strict=True):
        for row in range(math.ceil(height / stride)):
            for column in range(math.ceil(width / stride)):
                out += [((column + 0.5) * stride, (row + 0.5) * stride, side) for side in pair]
    return out


def decode(anchor, offset, point) -> tuple[list[float], list[list[float]]]:
    """Box and landmarks of one anchor."""
    x, y, side = anchor
    middle = x + offset[0] * 0.1 * side, y + offset[1] * 0.1 * side
    size = side * math.exp(offset[2] * 0.2), side * math.exp(offset[3] * 0.2)
    box = [middle[0] - size[0] / 2, middle[1] - size[1] / 2, middle[0] + size[0] / 2, middle[1] + size[1] / 2]
    return box, [[x + px * 0.1 * side, y + py * 0.1 * side] for px, py in point]


def suppress(boxes, threshold: float) -> list[int]:
    """Greedy non-maximum suppression of boxes in order of confidence: the places of those kept."""
    kept: list[int] = []
    for k, a in enumerate(boxes):
        for other in kept:
            b = boxes[other]
            wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(wide, 0) * max(high, 0)
            if shared > threshold * ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared):
                break
        else:
            kept.append(k)
    return kept
