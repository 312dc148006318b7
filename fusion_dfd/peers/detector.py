"""Other people's detectors: what one states of itself, how it is loaded and called.

A detector is a callable, named ``module:factory``; the factory takes nothing and returns it. It is called with float32
pictures and returns a number for each, and may state by attributes what it wants (:class:`Stated` has them, with
defaults)::

    class Peer:
        input, size, batch = "frame", 299, 64
        mean = std = (0.5, 0.5, 0.5)

        def __call__(self, pictures):        # float32 [b, 3, 299, 299]
            return probabilities             # of fake, 0..1: [b], [b, 1], or [b, 2] with the fakes' column last

``onnx:FILE`` is an ONNX program with one input, whose shape says whether it takes frames or clips, their size and the
order of the axes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import special

from fusion_dfd.types import DataError

LAYOUTS = {"frame": ("bchw", "bhwc"), "clip": ("btchw", "bcthw", "bthwc")}
"""Orders of the axes of what a detector takes, by its input; the first is the default."""
OUTPUTS = ("probability", "logit")
ONNX = "onnx:"
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""Of ONNX Runtime, the first that there is."""


@dataclasses.dataclass(frozen=True)
class Stated:
    """What a detector states of itself. Pixels are RGB, ``(value / 255 - mean) / std``."""

    input: str = "frame"
    """``frame``: it judges single frames, and the mean over a window's frames is its probability; or ``clip``."""
    size: int = 224
    """Side of the pictures, pixels."""
    frames: int = 16
    """Frames of a clip, or of the window whose frames are judged. A shorter clip ends with its last frame repeated."""
    batch: int = 32
    """Pictures or clips of one call; the last call of all may have fewer."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    layout: str = ""
    """Order of the axes, one of :data:`LAYOUTS`; ``""`` takes the first for the input."""
    scale: float = 0.0
    """Side of the crop in sides of the face box; 0 takes the crop as it is stored."""
    output: str = "probability"
    """``probability`` in 0..1, or ``logit``."""
    device: str = ""
    """Where it runs, in words; only reported."""

    def __post_init__(self) -> None:
        for name, wanted in _WANTED.items():
            value = getattr(self, name)
            if not wanted.holds(value):
                raise DataError(f"the detector states {name}={value!r}; want {wanted.text}")
        layouts = LAYOUTS[self.input]
        if self.layout not in ("", *layouts):
            raise DataError(f"the detector states layout={self.layout!r}; a {self.input} has {' or '.join(layouts)}")

    @property
    def axes(self) -> str:
        return self.layout or LAYOUTS[self.input][0]

    def pictures(self, frames: np.ndarray) -> np.ndarray:
        """uint8 [b, h, w, 3], or [b, t, h, w, 3] of clips, as float32 of the detector's range and order of axes."""
        values = (frames.astype(np.float32) / 255 - np.float32(self.mean)) / np.float32(self.std)
        ours = LAYOUTS[self.input][-1]
        return np.ascontiguousarray(values.transpose([ours.index(axis) for axis in self.axes]))


@dataclasses.dataclass(frozen=True)
class _Wanted:
    text: str
    holds: Callable[[Any], bool]


def _whole(low: int, high: int) -> _Wanted:
    return _Wanted(
        f"a whole number in {low} .. {high}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high,
    )


def _word(*words: str) -> _Wanted:
    return _Wanted(" or ".join(words), lambda value: value in words)


def _three(name: str, holds: Callable[[float], bool]) -> _Wanted:
    return _Wanted(
        f"three {name}, of R, G and B",
        lambda values: isinstance(values, tuple) and len(values) == 3 and all(map(holds, values)),
    )


_WANTED = {
    "input": _word(*LAYOUTS),
    "size": _whole(1, 4096),
    "frames": _whole(1, 1024),
    "batch": _whole(1, 100000),
    "mean": _three("numbers", np.isfinite),
    "std": _three("positive numbers", lambda value: np.isfinite(value) and value > 0),
    "scale": _Wanted("0, or a number in 1 .. 4", lambda value: value == 0 or 1 <= value <= 4),
    "output": _word(*OUTPUTS),
}
_NAMES = tuple(field.name for field in dataclasses.fields(Stated))


@dataclasses.dataclass(frozen=True)
class Detector:
    """A loaded detector."""

    name: str
    """As it was asked for."""
    stated: Stated
    digest: str
    """SHA-256 of the ONNX file or of the source file of the module, hexadecimal; ``""`` where there is no such file."""
    call: Callable[[np.ndarray], Any]

    def probabilities(self, frames: np.ndarray) -> np.ndarray:
        """float64 [b] in 0..1, NaN where the detector says so, of uint8 frames [b, h, w, 3] or clips [b, t, h, w, 3].

        Raises :class:`DataError` for an answer of another shape or range; whatever the detector raises is left as it
        is.
        """
        given = self.call(self.stated.pictures(frames))
        answer = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
        count = len(frames)
        if answer.shape not in ((count,), (count, 1), (count, 2)) or answer.dtype.kind not in "fiu":
            raise DataError(
                f"{self.name} returned {answer.dtype} {list(answer.shape)} for {count} {self.stated.input}s; want "
                f"numbers [{count}], [{count}, 1], or [{count}, 2] with the fakes last"
            )
        values = answer.astype(np.float64)
        two = answer.shape == (count, 2)
        if self.stated.output == "logit":
            values = values[:, 1] - values[:, 0] if two else values.reshape(count)
            return special.expit(values)
        values = values[:, 1] if two else values.reshape(count)
        outside = values[(values < 0) | (values > 1)]
        if len(outside):
            raise DataError(
                f"{self.name} returned {outside[0]:g} as a probability, want 0..1; if these are logits, state "
                "output=logit"
            )
        return values


def load(name: str, changes: Mapping[str, str] | None = None) -> Detector:
    """The detector ``module:factory`` or ``onnx:FILE``; modules are also looked for in the current folder.

    ``changes`` replaces what it states, by name, as text; several numbers are separated by commas. Raises
    :class:`DataError` where there is no such module, factory or file, where the factory raises or returns no callable,
    and for a statement that is none.
    """
    typed = {key: _typed(key, text) for key, text in (changes or {}).items()}
    if name.startswith(ONNX):
        call, found, path = _onnx(name.removeprefix(ONNX))
    else:
        call, path = _factory(name)
        found = {key: getattr(call, key) for key in _NAMES if hasattr(call, key)}
    found = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    return Detector(name, Stated(**found | typed), _sha256(path), call)


def _typed(name: str, text: str) -> Any:
    if name not in _NAMES:
        raise DataError(f"a detector states no {name!r}; it states {', '.join(_NAMES)}")
    kind = type(getattr(Stated(), name))
    try:
        return tuple(map(float, text.split(","))) if kind is tuple else kind(text)
    except ValueError:
        raise DataError(f"{name}={text!r}: want {_WANTED[name].text}") from None


def _factory(name: str) -> tuple[Callable, str]:
    """The callable, and the source file of its module, ``""`` where there is none."""
    module, _, factory = name.partition(":")
    if not (module and factory):
        raise DataError(f"detector {name!r}: want module:factory, such as mypeer:make, or {ONNX}FILE")
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except Exception as error:
        said = f"detector {name}: cannot import {module} ({_short(error)})"
        raise DataError(f"{said}; start in the folder of the module, or set PYTHONPATH") from error
    if not callable(make := getattr(found, factory, None)):
        raise DataError(f"detector {name}: {module} has no function {factory}")
    try:
        call = make()
    except Exception as error:
        raise DataError(f"detector {name}: {factory}() failed ({_short(error)})") from error
    if not callable(call):
        raise DataError(f"detector {name}: {factory}() returned {type(call).__name__}, want something to call")
    return call, inspect.getsourcefile(found) or ""


def _onnx(path: str) -> tuple[Callable, dict[str, Any], str]:
    """The program as a callable, what its input states, and its path."""
    try:
        import onnxruntime
    except ImportError as error:
        raise DataError(f"{path} needs onnxruntime: pip install 'fusion-dfd[onnx]'") from error
    if not os.path.isfile(path):
        raise DataError(f"there is no ONNX file {path}")
    providers = [one for one in PROVIDERS if one in onnxruntime.get_available_providers()]
    try:
        session = onnxruntime.InferenceSession(path, providers=providers)
    except Exception as error:  # onnxruntime raises types of its own
        raise DataError(f"{path} is no ONNX program that onnxruntime can run ({_short(error)})") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in ("tensor(float)", "tensor(float16)"):
        shown = ", ".join(f"{one.name}: {one.type}" for one in inputs)
        raise DataError(f"{path} takes {shown}; a detector takes one input, of float pictures")
    (taken,) = inputs
    stated, fixed = _shape(path, taken.shape)
    kind = np.float16 if taken.type == "tensor(float16)" else np.float32

    def call(pictures: np.ndarray) -> np.ndarray:
        count = len(pictures)
        if fixed > count:  # a program of a fixed batch: the last picture fills it up
            pictures = np.concatenate([pictures, np.repeat(pictures[-1:], fixed - count, axis=0)])
        return session.run(None, {taken.name: pictures.astype(kind)})[0][:count]

    stated["device"] = session.get_providers()[0]
    return call, stated, path


def _shape(path: str, shape: list) -> tuple[dict[str, Any], int]:
    """What the shape of an ONNX program's input states, and the batch where it is fixed, else 0."""
    kind = {4: "frame", 5: "clip"}.get(len(shape))
    layouts = [one for one in LAYOUTS.get(kind, ()) if shape[one.index("c")] == 3]
    if not layouts:
        wanted = ", ".join(" or ".join(LAYOUTS[kind]) for kind in LAYOUTS)
        raise DataError(f"{path} takes an input of shape {shape}; want one with 3 channels, {wanted}")
    sizes = dict(zip(layouts[0], shape, strict=True))
    stated = {"input": kind, "layout": layouts[0]}
    names = {"size": "h", "frames": "t", "batch": "b"}
    stated |= {name: sizes[axis] for name, axis in names.items() if isinstance(sizes.get(axis), int)}
    return stated, stated.get("batch", 0)


def _sha256(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    said = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *said[:1]])
