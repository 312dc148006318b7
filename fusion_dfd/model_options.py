"""The options of the architecture: the section ``model`` of :class:`fusion_dfd.config.Config`.

No ``from __future__ import annotations`` here, as in :mod:`fusion_dfd.config`.
"""

import dataclasses
from collections.abc import Iterator

from fusion_dfd.options import option, section

BRANCHES = ("spatial", "temporal", "micro")
MOTION_BRANCHES = ("temporal", "micro")
"""Those that compare consecutive frames."""
MICRO_INPUTS = ("rgb", "difference", "flow")
SYSTEMS = {
    "fusion": "three branches, fused",
    "sequence": "a backbone per frame, then recurrent layers",
    "frame": "a backbone per frame, judged alone",
    "flow": "the same on optical flow",
    "r2plus1d": "3-D convolutions",
    "timesformer": "divided space-time attention",
}
"""What ``model.system`` may be; :mod:`fusion_dfd.models.registry` builds them."""
WIDEST, DEEPEST = 65536, 1024
"""Most units of a layer, and most layers or heads: far beyond what is published, far below what breaks a machine."""


@dataclasses.dataclass
class Backbone:
    """The network that encodes single frames. For r2plus1d only width and stages count; timesformer has none."""

    name: str = option("resnet50", "Name of the architecture; docs/BACKBONES.md has the table.")
    width: int = option(
        0,
        "Channels of the first convolution, all others in proportion (ViT: channels of a token); 0 = as published.",
        0,
        1024,
    )
    stages: int = option(
        0,
        "Stages kept; 0 = all. Take fewer for small frames: no map may be smaller than the kernel that reads it.",
        0,
        16,
    )
    weights: str = option(
        "",
        "Where training starts: empty for random weights, imagenet for published ones (of a CLIP or DINO ViT those), "
        "or a file (.safetensors, .pth, .npz, .h5, .keras).",
    )
    frozen_norm: bool = option(
        False,
        "BatchNorm normalises by its stored statistics in training too and does not change them: for weights that "
        "were trained elsewhere.",
    )


@dataclasses.dataclass
class Micro:
    """The micro-expression branch."""

    inputs: tuple[str, ...] = option(
        MICRO_INPUTS,
        "Inputs, concatenated: rgb, difference (to the previous frame), flow (u, v, strain).",
        words=MICRO_INPUTS,
        empty=False,
    )
    size: int = option(64, "Side of the stabilised face, pixels.", 1, 2048)
    widths: tuple[int, ...] = option(
        (32, 64, 128), "Channels of the convolution blocks; each block halves the map.", 1, WIDEST
    )
    mesh: bool = option(
        False,
        "Also read the face mesh of the shards (faces.mesh): it stabilises the face, and shows the motion of brows, "
        "lids, lips and jaw. Windows without it are read by the five landmarks.",
    )


@dataclasses.dataclass
class Transformer:
    """The encoder over time that takes the place of the BiLSTMs with ``model.temporal=transformer``."""

    width: int = option(128, "Width of a frame's token; even, and a multiple of heads.", 1, WIDEST)
    depth: int = option(2, "Blocks, each of attention and a feed-forward layer.", 1, DEEPEST)
    heads: int = option(4, "Attention heads per block.", 1, DEEPEST)


@dataclasses.dataclass
class Sequence:
    """The recurrent layers of the systems sequence and flow; their units are ``model.recurrent``."""

    cell: str = option("lstm", "Kind of the recurrent layers.", words=("lstm", "gru"))
    bidirectional: bool = option(False, "Read the frames forward and backward.")
    batch_norm: bool = option(False, "Add BatchNorm after every recurrent layer.")


@dataclasses.dataclass
class Frame:
    """The system frame."""

    normalise: bool = option(False, "Divide the feature of a frame by its length before the head (L2).")


@dataclasses.dataclass
class TimeSformer:
    """The system timesformer; the defaults are the paper's base model."""

    size: int = option(224, "Side of the frames, pixels; equal to data.size, a multiple of patch.", 1, 2048)
    frames: int = option(8, "Frames with a learnt position in time; at least data.frames.", 1, 10000)
    patch: int = option(16, "Side of a patch, pixels.", 1, 2048)
    width: int = option(768, "Width of a patch's token; a multiple of heads.", 1, WIDEST)
    depth: int = option(12, "Blocks of divided space-time attention.", 1, DEEPEST)
    heads: int = option(12, "Attention heads per block.", 1, DEEPEST)


@dataclasses.dataclass
class Model:
    """What is trained."""

    system: str = option("fusion", "The architecture.", words=SYSTEMS)
    branches: tuple[str, ...] = option(BRANCHES, "Branches of the fusion.", words=BRANCHES, empty=False)
    backbone: Backbone = section(Backbone)
    micro: Micro = section(Micro)
    temporal: str = option(
        "bilstm", "What relates the frames in the fusion's temporal branch.", words=("bilstm", "transformer")
    )
    transformer: Transformer = section(Transformer)
    sequence: Sequence = section(Sequence)
    frame: Frame = section(Frame)
    timesformer: TimeSformer = section(TimeSformer)
    recurrent: tuple[int, ...] = option(
        (128, 64), "Units per direction of the stacked recurrent layers.", 1, WIDEST, empty=False
    )
    dense: tuple[int, ...] = option((256, 128), "Widths of the dense layers of the micro-expression branch.", 1, WIDEST)
    head: tuple[int, ...] = option(
        (256, 128, 64), "Widths of the layers before the logit; may be empty outside the fusion.", 1, WIDEST
    )
    token: int = option(128, "Width of the branch tokens that the fusion attends over.", 1, WIDEST)
    dropout: float = option(0.5, "Probability of dropping a unit in training.", 0, 0.99)
    branch_dropout: float = option(
        0.0, "Probability of hiding a branch from the fusion in training (modality dropout).", 0, 0.99
    )
    bfloat16: bool = option(
        False, "Convolutions, and the products of a ViT, in bfloat16; everything else stays float32."
    )
    remat: bool = option(
        False, "Recompute the backbone's activations in the backward pass: less memory, about a third more time."
    )


def transformers(model: Model, frames: int, size: int) -> Iterator[tuple[bool, str]]:
    """Pairs (holds, sentence if not) of rules on the shapes of the two transformers, each only where it is used.

    Args:
      frames: ``data.frames``.
      size: ``data.size``, pixels.
    """
    if model.system == "fusion" and model.temporal == "transformer":
        one = model.transformer
        split = one.heads >= 1 and one.width % one.heads == 0 and one.width % 2 == 0
        yield split, f"model.transformer={one}: want an even width that heads divide"
    if model.system == "timesformer":
        one = model.timesformer
        yield one.heads >= 1 and one.width % one.heads == 0, f"model.timesformer={one}: want a width that heads divide"
        fits = one.patch >= 1 and one.size == size and one.size % one.patch == 0
        wanted = f"want data.size, {size}, and a multiple of model.timesformer.patch, {one.patch}"
        yield fits, f"model.timesformer.size={one.size}: {wanted}"
        placed = one.frames >= frames
        yield placed, f"model.timesformer.frames={one.frames}: want at least data.frames, {frames}"
