"""The motion in a system's input, at the moment with the most attention."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from fusion_dfd import config as c
from fusion_dfd.evaluation import face_regions
from fusion_dfd.models import mesh_motion
from fusion_dfd.models.flow_lstm import flow_pictures
from fusion_dfd.models.geometry import stabilise
from fusion_dfd.models.micro import motion
from fusion_dfd.predict.verdict import Window


@dataclasses.dataclass(frozen=True)
class Motion:
    """One moment of a window; ``u``, ``v`` and ``strain`` are float32 [s, s] in -1..1, as the model has them."""

    index: int
    """Number of the frame in the video."""
    picture: np.ndarray
    """uint8 [s, s, 3], the frame as it is held still (micro-expression branch), or as it is (flow system)."""
    u: np.ndarray
    """To the right."""
    v: np.ndarray
    """Downwards."""
    strain: np.ndarray
    attention: np.ndarray
    """float32 [h', w'] in 0..1."""
    part: tuple[str, float] | None
    """The part of the face with the most attention over the whole window, and that attention relative to the average;
    see ``face_regions.strongest``."""


def of(window: Window, model: c.Model) -> Motion | None:
    """The motion in a window that has its frames and outputs; None for systems that do not look at motion."""
    outputs = window.outputs
    if outputs.motion_attention is None or len(window.frames) < 2:
        return None
    frames, landmarks = window.frames[None], window.landmarks[None].astype(np.float32)
    count = len(window.frames)
    if outputs.micro_frame_attention is not None:
        size = model.micro.size
        five = mesh_motion.five(landmarks, np.ones((1, count), bool)) if model.micro.mesh else landmarks[:, :, :5]
        faces = stabilise(frames, five, np.array([count], np.int32), size)
        flow = np.asarray(jax.device_get(motion(faces, ("flow",))))[0]
        pictures = np.asarray(jax.device_get(faces))[0].round().astype(np.uint8)
        weight = np.asarray(outputs.micro_frame_attention)[:count].copy()
        parts = {name: mask[None] for name, mask in face_regions.template_masks(size).items()}
    else:
        flow = np.asarray(jax.device_get(flow_pictures(frames)))[0]
        flow = np.concatenate([np.zeros_like(flow[:1]), flow])
        pictures, size = window.frames, window.frames.shape[1]
        weight = np.asarray(outputs.motion_anomaly)[:count].copy()
        parts = face_regions.masks(window.landmarks[:, :5], size)
    attention = np.asarray(outputs.motion_attention, np.float32)[:count]
    weight[0] = 0  # nothing leads to the first frame
    at = int(np.argmax(weight)) or 1
    looked = np.tensordot(weight / max(weight.sum(), 1e-9), attention, 1)
    middle = {name: mask[min(at, len(mask) - 1)] for name, mask in parts.items()}
    return Motion(
        index=int(window.indices[at]),
        picture=pictures[at],
        u=flow[at, ..., 0],
        v=flow[at, ..., 1],
        strain=flow[at, ..., 2],
        attention=attention[at],
        part=face_regions.strongest(_enlarged(looked, size), middle),
    )


def _enlarged(heat: np.ndarray, size: int) -> np.ndarray:
    """float32 [size, size], each cell as large as it is in the picture."""
    rows, columns = (np.arange(size) * side // size for side in heat.shape)
    return heat[np.ix_(rows, columns)]
