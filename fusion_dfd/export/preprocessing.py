"""Specifies how a video becomes the inputs of an exported program: ``preprocessing.json``.

It is for people who implement the preprocessing in another language; this package does not read it.
"""

from __future__ import annotations

from typing import Any

from fusion_dfd import config as c
from fusion_dfd.export import runtime
from fusion_dfd.faces import align, track
from fusion_dfd.faces.mesh import STORED
from fusion_dfd.input import augment

LANDMARKS = (
    "eye on the left of the image",
    "other eye",
    "nose tip",
    "mouth corner on the left of the image",
    "other mouth corner",
)


def contract(config: c.Config) -> dict[str, Any]:
    """The steps in order, and the inputs and outputs of the programs."""
    return {
        "about": "From a video to the inputs of model.onnx and model.stablehlo. Coordinates are pixels, x to the right "
        "and y downwards, the centre of the first pixel at 0.",
        "faces": _faces(config.faces),
        "clip": _clip(config),
        "inputs": _inputs(config),
        "outputs": _outputs(),
        "video": _video(config.evaluate),
    }


def _faces(faces: c.Faces) -> dict[str, Any]:
    return {
        "detector": faces.detector,
        "least_confidence": faces.threshold,
        "least_side_of_a_face_box": faces.min_size,
        "detect_on_every_nth_frame": faces.every if faces.sampling == "dense" else 1,
        "between": "boxes and landmarks are interpolated linearly, then smoothed over time by the kernel",
        "kernel": track.KERNEL.tolist() if faces.sampling == "dense" else [1.0],
        "crop": _crop(faces),
        "crop_side": faces.size,
        "pixels": "RGB, uint8",
    }


def _crop(faces: c.Faces) -> dict[str, Any]:
    shrinking = "area averaging if it shrinks, else linear interpolation; beyond the frame its edge is repeated"
    if not faces.align:
        rule = (
            "one square for all frames of the clip, centred on the union of its face boxes; its side is scale times "
            "the longest side of any box, or larger if a box would otherwise extend beyond the square"
        )
        return {"rule": rule, "scale": faces.scale, "resampling": shrinking}
    rule = (
        "one similarity transform for all frames of the clip: maps the median of each landmark over the clip to the "
        "template, in least squares; the template is centred, and scaled so that the crop shows scale times the face"
    )
    return {
        "rule": rule,
        "scale": faces.scale,
        "resampling": shrinking,
        "template": align.TEMPLATE.tolist(),
        "template_centre": align.CENTRE.tolist(),
        "template_face": align.FACE,
    }


def _clip(config: c.Config) -> dict[str, Any]:
    faces, data = config.faces, config.data
    dense = "contiguous frames of one face, at the video's own frame rate; no clip crosses a scene cut"
    uniform = "frames spread evenly over the whole video"
    return {
        "frames_are": dense if faces.sampling == "dense" else uniform,
        "stored_frames": faces.clip_length,
        "frames": data.frames,
        "windows": "of n stored frames, max(1, n // frames) windows: window k of count starts at "
        "max(0, floor((n (2 k + 1) - frames count) / (2 count)))",
        "size": data.size,
        "resize": "from the crop to size x size: areas averaged if it shrinks more than "
        f"{augment.PREFILTER_FROM} times, else linear interpolation (OpenCV's INTER_AREA and INTER_LINEAR)",
        "landmarks": "(x + 0.5) size / crop_side - 0.5, likewise y",
    }


def _inputs(config: c.Config) -> dict[str, Any]:
    t, side, points = config.data.frames, config.data.size, runtime.points(config.model)
    mesh = f": the five, then points {list(STORED)} of MediaPipe's face mesh, zeros on frames without one"
    return {
        "frames": {
            "dtype": "uint8",
            "shape": ["batch", t, side, side, 3],
            "is": "RGB, 0 .. 255 as decoded; the program normalises",
        },
        "landmarks": {
            "dtype": "float32",
            "shape": ["batch", t, points, 2],
            "is": "x, y in pixels of these frames" + (mesh if points > 5 else ""),
            "order": list(LANDMARKS),
        },
        "length": {
            "dtype": "int32",
            "shape": ["batch"],
            "is": f"number of valid frames, 1 .. {t}; those after them are padding (e.g. zeros) and change nothing",
        },
        "contiguous": {
            "dtype": "bool",
            "shape": ["batch"],
            "is": "true where the frames are consecutive; where they are not known to be, the branches that read "
            "motion are switched off",
        },
    }


def _outputs() -> dict[str, str]:
    return {
        "logit": "float32 [batch]; P(fake) of the window is 1 / (1 + exp(-logit))",
        "branch_logits.*": "float32 [batch], the logit of one branch alone",
        "branches_on.*": "bool [batch], false where a branch is switched off because frames are not consecutive",
        "others": "attention of the model; shapes are in the program, meanings in fusion_dfd/types.py (Outputs)",
    }


def _video(evaluate: c.Evaluate) -> dict[str, str]:
    return {
        "clips_to_face": evaluate.aggregate,
        "faces_to_video": evaluate.tracks,
        "then": "the calibration map and threshold in calibration.json if present, else the threshold 0.5",
    }
