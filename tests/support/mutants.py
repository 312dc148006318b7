"""Files of every kind that the package reads, damaged at random: each must be read or refused with a sentence.

A kind is a small sound file and its reader. A mutant differs from it in a few bytes, lacks an end, or has a piece
doubled, moved or replaced by what parsers take for a size. Anything but DataError and ConfigError is a fault.
"""

import dataclasses
import functools
import io
import json
import pathlib
import time
import zipfile
from collections.abc import Callable

import cv2
import numpy as np
import safetensors.numpy
import tiny
import torch_writer
from barcodes import barcode, write
from tflite_writer import Writer

from fusion_dfd import config
from fusion_dfd.config import ConfigError
from fusion_dfd.datasets import dfdc, files, folder
from fusion_dfd.evaluation import calibrate, score_table, training_data
from fusion_dfd.faces.video import Reader, probe
from fusion_dfd.shards import records, tfrecord
from fusion_dfd.types import DataError, Video
from fusion_dfd.weights import array_files, keras_file, tflite_file, torch_file

Make = Callable[[pathlib.Path], None]
"""Writes a sound file at a path."""
Read = Callable[[str], object]
"""Reads the file at a path. May raise DataError and ConfigError."""

SIZES = [
    (value % 256**width).to_bytes(width, order)
    for value in (0, 1, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -1)
    for width in (1, 2, 4, 8)
    for order in ("little", "big")
]
"""Numbers that parsers stumble over, as they may stand in a file."""
WORDS = (b"NaN", b"Infinity", b"-1", b"1e999", b"null", b"[]", b"{}", b'""', b"true", b"\xff\xfe", b"\0", b"9" * 400)
"""Values that readers of text stumble over."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    """Of the file, with its ending."""
    make: Make
    read: Read
    text: bool = False
    needs: str = ""
    """An optional package without which it is not read."""


@dataclasses.dataclass
class Counts:
    """What became of the mutants of a kind."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0


class Fault(AssertionError):
    """A mutant was neither read nor refused with a sentence; it lies at the path in the text."""


def mutant(content: bytes, rng: np.random.Generator, text: bool) -> bytes:
    """The content with one to four changes."""
    out = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(len(out) + 1))
        length = int(rng.integers(1, 65))
        other = int(rng.integers(len(out) + 1))
        match int(rng.integers(7)):
            case 0:
                out[at : at + 1] = rng.bytes(1)
            case 1:
                put = WORDS[rng.integers(len(WORDS))] if text else SIZES[rng.integers(len(SIZES))]
                out[at : at + len(put)] = put
            case 2:
                del out[at : at + length]
            case 3:
                out[at:at] = out[other : other + length]
            case 4:
                out[at : at + length] = rng.bytes(length)
            case 5 if at < len(out):
                out[at] ^= 1 << int(rng.integers(8))
            case 6:
                del out[at:]
    return bytes(out)


def run(kind: Kind, place: pathlib.Path, seed: int, count: int = 0, seconds: float = 0.0) -> Counts:
    """Read ``count`` mutants, or as many as ``seconds`` allow; the same ones for the same seed.

    Raises Fault for the first that is neither read nor refused. A crash or a hang leaves it at the path, too.
    """
    rng = np.random.default_rng([seed, *kind.name.encode()])
    path = place / kind.name
    kind.make(path)
    kind.read(str(path))
    sound, found, end = path.read_bytes(), Counts(), time.monotonic() + seconds
    while found.tried < count or time.monotonic() < end:
        path.write_bytes(mutant(sound, rng, kind.text))
        found.tried += 1
        try:
            kind.read(str(path))
            found.accepted += 1
        except (DataError, ConfigError) as error:
            found.refused += 1
            if not str(error).strip() or "\n" in str(error).strip():
                raise Fault(f"{path}: no single sentence: {error}") from error
        except Exception as error:
            raise Fault(f"{path}: {type(error).__name__}: {error}") from error
    return found


def _watched(path: str) -> None:
    info = probe(path, 60.0)
    for _, frame in Reader(path, [0, 2, 3, min(info.frames - 1, 40)], 60.0):
        assert frame.dtype == np.uint8


def _film(codec: str, pixels: str) -> Make:
    return lambda path: write(path, [barcode(k) for k in range(6)], codec, pixels)


def _text(text: str | dict | list) -> Make:
    return lambda path: path.write_text(text if isinstance(text, str) else json.dumps(text)) and None


def _bytes(content: Callable[[], bytes]) -> Make:
    return lambda path: path.write_bytes(content()) and None


ARRAYS = {"a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "b": np.array([1.5, -2], np.float64)}


def _npz(path: pathlib.Path, save=np.savez_compressed) -> None:
    with open(path, "wb") as file:
        save(file, **ARRAYS)


def _zip(path: pathlib.Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("real/a.mp4", "real/b.mp4", "fake/c.mp4", "fake/d.mp4"):
            archive.writestr(name, name * 20)


def _tflite() -> bytes:
    one = Writer([1, 8, 8, 2])
    kernel = one.constant(np.arange(72, dtype=np.float32).reshape(4, 3, 3, 2))
    one.operator("conv", [0, kernel, one.constant(np.ones(4))], [1, 4, 4, 4], [0, 2, 2, 3])
    return one.file(len(one.tensors) - 1)


def _h5(path: pathlib.Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = [b"a", b"b"]
        for layer in ("a", "b"):
            root.create_group(layer).attrs["weight_names"] = [f"{layer}/kernel:0".encode()]
            root[layer][f"{layer}/kernel:0"] = ARRAYS["a.weight"]


def _keras(path: pathlib.Path) -> None:
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/conv2d/vars/0"] = ARRAYS["a.weight"]
    layers = [{"class_name": "Conv2D", "config": {"name": "a"}}]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers}}))
        archive.writestr("model.weights.h5", weights.getvalue())


def _shard(path: pathlib.Path) -> None:
    tiny.write_split(path.parent, "val", 1, np.random.default_rng(0))


def _record(path: pathlib.Path) -> None:
    video = Video("a", "", 0, "tiny", "original", "", "val", "g", "a")
    path.write_bytes(records.encode(video, 0, tiny.face(0, np.random.default_rng(0)), "none"))


CALIBRATION = {
    "kind": "temperature",
    "temperature": 1.5,
    "offset": 0.1,
    "knots": [[], []],
    "threshold": 0.5,
    "target": "eer",
    "abstain": [0.4, 0.6],
    "aggregate": "mean_probability",
    "tracks": "first",
    "step": 4,
    "data": "x",
    "val": {"real": 20, "fake": 20},
}
SCORES = "video,label,probability,group\na,real,0.1,x\nb,fake,0.9,y\nc,0,0.25,x\n"
LISTED = "path,label,group,split\na.mp4,real,x,train\nb.mp4,fake,y,train\nc.mp4,0,z,test\nd.mp4,1,w,test\n"
DFDC = {"a.mp4": {"label": "REAL", "split": "train"}, "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"}}


def _weights(form: str) -> Callable[[], bytes]:
    return lambda: torch_writer.both(ARRAYS)[form]


KINDS = [
    Kind("a.mp4", _film("libx264", "yuv420p"), _watched),
    Kind("a.mkv", _film("libx264", "yuv420p"), _watched),
    Kind("a.webm", _film("libvpx-vp9", "yuv420p"), _watched),
    Kind("a.avi", _film("mjpeg", "yuvj420p"), _watched),
    Kind("a.gif", _film("gif", "rgb8"), _watched),
    Kind("a.ts", _film("libx264", "yuv420p"), _watched),
    Kind("a.png", lambda path: cv2.imwrite(str(path), barcode(3)) and None, _watched),
    Kind("a.npz", _npz, array_files.read_npz),
    Kind("plain.npz", functools.partial(_npz, save=np.savez), array_files.read_npz),
    Kind("a.safetensors", _bytes(lambda: safetensors.numpy.save(ARRAYS)), array_files.read_safetensors),
    Kind("zip.pth", _bytes(_weights("archive")), torch_file.read),
    Kind("old.pth", _bytes(_weights("sequence")), torch_file.read),
    Kind("a.h5", _h5, keras_file.read, needs="h5py"),
    Kind("a.keras", _keras, keras_file.read, needs="h5py"),
    Kind("a.zip", _zip, folder.videos),
    Kind("a.tflite", _bytes(_tflite), lambda path: tflite_file.read(pathlib.Path(path).read_bytes(), path)),
    Kind("tiny-val.tfrecord-00000-of-00001", _shard, tfrecord.scan),
    Kind("record", _record, lambda path: records.decode(pathlib.Path(path).read_bytes())),
    Kind("config.json", lambda path: path.write_text(config.to_json(config.Config())) and None,
         lambda path: config.from_json(pathlib.Path(path).read_text(errors="replace")), text=True),
    Kind("calibration.json", _text(CALIBRATION), lambda path: calibrate.load(path, 4), text=True),
    Kind("data.json", _text({"train": {"a": ["b"]}, "val": {}, "excluded": []}), training_data.load, text=True),
    Kind("scores.csv", _text(SCORES), score_table.read_table, text=True),
    Kind("list.csv", _text(LISTED), lambda path: folder.read_list(path, "x", "fake"), text=True),
    Kind("metadata.json", _text(DFDC), lambda path: dfdc._described("", path, "dfdc", "train"), text=True),
    Kind("pairs.json", _text([["071", "054"], ["087", "081"]]), files.read_pairs, text=True),
]  # fmt: skip
