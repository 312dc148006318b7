"""Detectors of PyTorch and ONNX Runtime: what they say of a picture is what stands in the table."""

import csv
import json

import numpy as np
import plain_shards
import pytest

from fusion_dfd import config
from fusion_dfd.peers import detector, score
from fusion_dfd.peers.worker import Setup
from fusion_dfd.types import DataError

GREYS = {f"r{n}": (0, 20 + 25 * n) for n in range(4)} | {f"f{n}": (1, 130 + 25 * n) for n in range(4)}


def run(name: str, folder: str, out, **stated) -> dict[str, float]:
    """The probability of each video, by its name."""
    changes = tuple((key, str(value)) for key, value in stated.items())
    done = score.score(
        Setup(name, changes, (folder,), "test", 0, False), str(out), config.Evaluate(bootstrap=0), own=False
    )
    assert done.failed == {}
    with open(out / "videos.csv", newline="") as file:
        return {row["video"].rpartition("/")[2]: float(row["probability"]) for row in csv.DictReader(file)}


def pictures(folder: str, size: int) -> dict[str, np.ndarray]:
    """The frames of every video, uint8 [6, size, size, 3]."""
    from fusion_dfd.input.pipeline import whole_clips
    from fusion_dfd.shards import clip_index

    split = clip_index.open_split(folder, "test")
    names = [str(video).rpartition("/")[2] for video in split.table.video]
    return dict(zip(names, whole_clips(split, config.Data(size=size, threads=1)), strict=True))


@pytest.mark.extras
def test_an_image_classifier_of_timm(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    register = torch.library.register_fake
    # As in tests/parity: torchvision's wheel names operators that it lacks beside PyTorch's CPU build.
    monkeypatch.setattr(
        torch.library,
        "register_fake",
        lambda name, *rest, **options: (
            (lambda function: function) if str(name).startswith("torchvision::") else register(name, *rest, **options)
        ),
    )
    pytest.importorskip("timm")
    folder = plain_shards.write(tmp_path / "shards", GREYS)
    got = run("timm_peer:make", folder, tmp_path / "out")
    import timm_peer

    net = timm_peer.make().net
    assert got.keys() == GREYS.keys()
    for name, frames in pictures(folder, 64).items():
        given = torch.from_numpy(frames).permute(0, 3, 1, 2) / 127.5 - 1
        with torch.inference_mode():
            want = net(given).softmax(-1)[:, 1].mean()
        assert got[name] == pytest.approx(float(want), abs=1e-5)
    assert len(set(got.values())) == len(GREYS)


def program(path, shape: list, axes: list[int], kind: str = "FLOAT", inputs: int = 1) -> str:
    """An ONNX program: the mean over ``axes`` of its input, as it comes; returns the detector's name."""
    onnx = pytest.importorskip("onnx")
    helper, of = onnx.helper, getattr(onnx.TensorProto, kind)
    taken = [helper.make_tensor_value_info(f"x{n}", of, shape) for n in range(inputs)]
    given = helper.make_tensor_value_info("y", of, [shape[0]])
    axis = helper.make_tensor("axes", onnx.TensorProto.INT64, [len(axes)], axes)
    node = helper.make_node("ReduceMean", ["x0", "axes"], ["y"], keepdims=0)
    graph = helper.make_graph([node], "mean", taken, [given], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return f"onnx:{path}"


PLAIN = {"mean": "0,0,0", "std": "1,1,1"}


@pytest.mark.parametrize(
    ("shape", "kind", "stated"),
    [
        (["n", 3, 40, 40], "FLOAT", {"input": "frame", "size": 40, "axes": "bchw", "batch": 32}),
        ([5, 40, 40, 3], "FLOAT16", {"input": "frame", "size": 40, "axes": "bhwc", "batch": 5}),
        ([2, 3, 4, 40, 40], "FLOAT", {"input": "clip", "frames": 4, "axes": "bcthw", "batch": 2}),
        (["n", "t", 3, "h", "w"], "FLOAT", {"input": "clip", "frames": 16, "axes": "btchw", "size": 224}),
    ],
)
def test_an_onnx_file_states_itself_by_its_shape(shape, kind, stated, tmp_path):
    pytest.importorskip("onnxruntime")
    name = program(tmp_path / "peer.onnx", shape, list(range(1, len(shape))), kind)
    found = detector.load(name).stated
    assert {key: getattr(found, key) for key in stated} == stated
    folder = plain_shards.write(tmp_path / "shards", GREYS)
    got = run(name, folder, tmp_path / "out", **PLAIN)
    want = {key: (grey + 2.5) / 255 for key, (_, grey) in GREYS.items()}
    assert got == pytest.approx(want, abs=0.005)
    header = json.loads((tmp_path / "out" / score.PREDICTIONS).read_text().partition("\n")[0])
    assert len(header["stated"]["digest"]) == 64
    assert header["stated"]["device"] == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("shape", "kind", "inputs", "message"),
    [
        (["n", 7, 40, 40], "FLOAT", 1, "an input of shape .*; want one with 3 channels, bchw or bhwc, btchw"),
        (["n", 3], "FLOAT", 1, "want one with 3 channels"),
        (["n", 3, 40, 40], "FLOAT", 2, r"takes x0: tensor\(float\), x1: tensor\(float\); a detector takes one input"),
        (["n", 3, 40, 40], "DOUBLE", 1, r"takes x0: tensor\(double\); a detector takes one input"),
    ],
)
def test_an_onnx_file_of_another_kind_is_refused(shape, kind, inputs, message, tmp_path):
    pytest.importorskip("onnxruntime")
    name = program(tmp_path / "peer.onnx", shape, list(range(1, len(shape))), kind, inputs)
    with pytest.raises(DataError, match=message):
        detector.load(name)


def test_a_file_that_is_no_onnx_program_is_refused(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "x.onnx").write_bytes(b"no program")
    with pytest.raises(DataError, match=r"x\.onnx is no ONNX program that onnxruntime can run"):
        detector.load(f"onnx:{tmp_path / 'x.onnx'}")
