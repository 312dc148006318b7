"""Every option of the system: typed, with unit and range, checked before anything is built.

``configs/*.py`` hold ``get_config(variant)`` functions that return a :class:`Config`; the command line changes single
fields (``--config.optim.lr=3e-4``) and refuses unknown names and wrong types. After :meth:`Config.validate` the value
is only read.

No ``from __future__ import annotations`` here: ml_collections reads the field types, and needs them as types.
"""

import dataclasses
import json
from typing import Any

from fusion_dfd import limits
from fusion_dfd.limits import BRANCHES, MICRO_INPUTS


class ConfigError(ValueError):
    """An option out of range. The message names the option, the value and what is allowed."""


@dataclasses.dataclass
class Sample:
    """The embedded, procedurally generated data set."""

    seed: int = 0
    pairs: tuple[int, ...] = (40, 8, 10)
    """Pairs of identities in train, val, test. A pair gives 2 real videos and 2 fakes of each of the 4 methods."""
    frames: int = 48
    """Frames per video, at 25 frames per second."""
    size: int = 160
    """Width and height of the videos, pixels."""
    crf: int = 23
    """H.264 constant rate factor, 0 (lossless) .. 51; 23 is FaceForensics++'s c23."""


@dataclasses.dataclass
class Faces:
    """Finding, following and cropping faces."""

    detector: str = "mtcnn"
    """``mtcnn``, or ``retinaface`` with the three options below."""
    weights: str = ""
    """File of RetinaFace's weights (.pth, .onnx, .safetensors), or ``mobilenet0.25`` (the same as empty), ``resnet50``:
    published ones."""
    anchors: tuple[int, ...] = ()
    """Six sides of the anchors RetinaFace was trained with, pixels; empty where the file is known or states them."""
    slope: float = -1.0
    """Slope of that network's activations below zero, 0 .. 1; negative where the file is known or states it."""
    every: int = 8
    """Detect on every n-th frame, interpolate between."""
    threshold: float = 0.9
    """Least confidence of a face, 0..1."""
    min_size: int = 32
    """Least side of a face box, pixels of the video."""
    scale: float = 1.3
    """Side of the square crop relative to the face box (FaceForensics++ uses 1.3)."""
    size: int = 256
    """Side of the stored crop, pixels."""
    align: bool = False
    """Turn, scale and shift the crop so that the eyes, nose and mouth of every clip lie at the same places; one
    transform per clip."""
    sampling: str = "dense"
    """``dense``: clips of contiguous frames. ``uniform``: one clip of frames spread evenly over the whole video, for
    baselines that judge single frames: what happens from frame to frame is lost, so the temporal and micro branches
    have nothing to learn from it. The detector sees every frame of the clip; ``every`` and ``clips`` are unused."""
    clip_length: int = 32
    """Frames per stored clip."""
    clips: int = 8
    """At most this many dense clips per video and face, spread evenly over it."""
    all_tracks: bool = False
    """Store every face of a video, not only the one that counts. Training and evaluation leave the others out."""
    time_limit: float = 300.0
    """Seconds one video may take before it is given up and reported."""


@dataclasses.dataclass
class Augment:
    """Clip-consistent augmentation: each draw is made once per clip. A probability of 0 switches a part off."""

    flip: float = 0.5
    """Probability of a horizontal flip."""
    crop: float = 0.1
    """Largest shrink and shift of the crop, as a fraction of its side, 0 .. 0.5."""
    colour: float = 0.2
    """Largest change of brightness, contrast and saturation, as a fraction, 0 .. 1."""
    blur: float = 0.1
    """Probability of a Gaussian blur."""
    jpeg: float = 0.3
    """Probability of a JPEG round trip."""
    jpeg_quality: tuple[int, ...] = (40, 100)


@dataclasses.dataclass
class Data:
    """From shards to batches."""

    dir: str | None = None
    """Folder of prepared shards; None makes and prepares the embedded data set."""
    frames: int = 16
    """Frames per clip given to the model; contiguous."""
    size: int = 224
    """Side of the frames given to the model, pixels."""
    exclude_methods: tuple[str, ...] = ()
    """Manipulations left out of train and val, never of test: what they teach is then measured, not learnt."""
    threads: int = 0
    """Reading and decoding threads; 0 = one per core."""
    cache: bool = False
    """Encode every frame once, before training, by the frozen backbone of a sequence system, and not once an epoch.
    There is no augmentation then."""
    augment: Augment = dataclasses.field(default_factory=Augment)


@dataclasses.dataclass
class Backbone:
    name: str = "resnet50"
    """A name of ``fusion_dfd.backbones.registry``; docs/BACKBONES.md has the table."""
    width: int = 0
    """Channels of the first convolution, all others in proportion (ViT: channels of a token); 0 = as published."""
    stages: int = 0
    """Stages kept, 0 = all. Fewer for small frames: no map may be smaller than the kernel that reads it."""
    weights: str = ""
    """Where training starts: ``""`` from random weights, ``imagenet`` from the published ones (docs/BACKBONES.md names
    them; of a CLIP or DINO ViT those), else from a file: .safetensors, .pth, .npz, .h5 or .keras."""
    frozen_norm: bool = False
    """BatchNorm normalises by its stored statistics while training too, and leaves them alone: for weights that were
    trained elsewhere."""


@dataclasses.dataclass
class Micro:
    """The micro-expression branch."""

    inputs: tuple[str, ...] = MICRO_INPUTS
    """Any of rgb, difference (to the previous frame), flow (u, v, strain); concatenated."""
    size: int = 64
    """Side of the stabilised face, pixels."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels of the convolution blocks; each halves the map."""


@dataclasses.dataclass
class Transformer:
    """The encoder over time that ``model.temporal = transformer`` puts in the place of the BiLSTMs."""

    width: int = 128
    """Numbers a frame is described by; a multiple of ``heads``, and even."""
    depth: int = 2
    """Blocks of attention and feed-forward layer."""
    heads: int = 4


@dataclasses.dataclass
class Sequence:
    """The recurrent layers of the systems ``sequence`` and ``flow``; their units are ``model.recurrent``."""

    cell: str = "lstm"
    """``lstm`` or ``gru``."""
    bidirectional: bool = False
    batch_norm: bool = False
    """BatchNorm behind every recurrent layer."""


@dataclasses.dataclass
class TimeSformer:
    """The system ``timesformer``; the defaults are the paper's base model."""

    size: int = 224
    """Side of the frames, pixels; equal to ``data.size``, a multiple of ``patch``."""
    frames: int = 8
    """Frames that have a place in time; at least ``data.frames``."""
    patch: int = 16
    """Side of a patch, pixels."""
    width: int = 768
    """Numbers a patch is described by; a multiple of ``heads``."""
    depth: int = 12
    heads: int = 12


@dataclasses.dataclass
class Model:
    system: str = "fusion"
    """A name of ``fusion_dfd.models.registry``: ``fusion`` (the branches below), ``sequence`` (a backbone per frame,
    then recurrent layers), ``flow`` (the same on optical flow), ``r2plus1d`` (3-D convolutions), ``timesformer``."""
    branches: tuple[str, ...] = BRANCHES
    """Any non-empty subset of spatial, temporal, micro; of the fusion."""
    backbone: Backbone = dataclasses.field(default_factory=Backbone)
    """Of the r2plus1d, width and stages alone count; the timesformer has none."""
    micro: Micro = dataclasses.field(default_factory=Micro)
    temporal: str = "bilstm"
    """What relates the frames in the fusion's temporal branch: ``bilstm`` or ``transformer``."""
    transformer: Transformer = dataclasses.field(default_factory=Transformer)
    sequence: Sequence = dataclasses.field(default_factory=Sequence)
    timesformer: TimeSformer = dataclasses.field(default_factory=TimeSformer)
    recurrent: tuple[int, ...] = (128, 64)
    """Units per direction of the stacked recurrent layers."""
    dense: tuple[int, ...] = (256, 128)
    """Widths of the dense layers of the micro-expression branch."""
    head: tuple[int, ...] = (256, 128, 64)
    """Widths of the layers before the logit; may be empty outside the fusion."""
    token: int = 128
    """Width of the branch tokens that the fusion attends over."""
    dropout: float = 0.5
    branch_dropout: float = 0.0
    """Probability of hiding a branch from the fusion while training (modality dropout), 0 .. 1."""
    bfloat16: bool = False
    """Convolutions in bfloat16; everything else stays float32."""
    remat: bool = False
    """Recompute the backbone's activations in the backward pass: less memory, about a third more time."""


@dataclasses.dataclass
class Optim:
    lr: float = 3e-4
    """Peak learning rate of AdamW."""
    weight_decay: float = 0.05
    """Applied to kernels only, not to biases and norm scales."""
    warmup: int = 500
    """Steps of linear warm-up; a cosine to zero follows."""
    clip: float = 1.0
    """Largest global norm of the gradient."""
    label_smoothing: float = 0.05
    auxiliary: float = 1.0
    """Weight of each branch's own loss beside the fused one."""
    ema: float = 0.999
    """Decay per step of the averaged parameters that are evaluated; 0 switches averaging off."""
    groups: tuple[str, ...] = ()
    """Parts of the model that learn otherwise: ``PREFIX=FACTOR`` of the learning rate, where 0 freezes;
    ``PREFIX=FACTOR@STEP`` from that step on. E.g. ``("backbone=0",)`` or ``("backbone=0.1@1000", "backbone/conv1=0")``.
    """
    accumulate: int = 1
    """Parts a batch is worked off in, one after another, their gradients averaged: less memory, same batch."""


@dataclasses.dataclass
class Train:
    steps: int = 20000
    """Optimiser steps."""
    batch_size: int = 32
    """Clips per batch over all devices; even, because a batch is made of pairs."""
    eval_every: int = 1000
    """Steps between evaluations on val, each followed by a checkpoint."""
    patience: int = 0
    """Stop after this many evaluations without a better val AUC; 0 = never."""
    log_every: int = 20


@dataclasses.dataclass
class Evaluate:
    batch_size: int = 32
    clips: int = 0
    """Clips scored per face, spread evenly; 0 = all."""
    bootstrap: int = 1000
    """Resamplings over groups behind every interval."""
    aggregate: str = "mean_probability"
    """How the clips of a face become one probability: ``mean_probability``, ``mean_logit`` or ``max``."""
    tracks: str = "first"
    """How the faces of a video become one probability: ``first`` is the face that counts alone, ``max`` the most
    suspicious one of those stored (``faces.all_tracks``)."""
    calibration: str = "temperature"
    """Map from a video's probability to a calibrated one, fitted on val: ``temperature`` (one number), ``affine`` (a
    second one, which takes up val's share of fakes) or ``isotonic`` (a staircase, for some hundred val videos)."""
    target: str = "eer"
    """What the threshold is chosen for on val: ``eer`` (as many misses as false alarms), ``youden`` (most of their
    complement together), ``fpr_1`` or ``fpr_5`` (most fakes found at 1 % or 5 % false alarms)."""
    abstain: float = 0.05
    """Most of the decided val videos that may be called wrong, 0 .. 1: those nearest to the threshold are left
    undecided until it holds. 1 decides all."""


@dataclasses.dataclass
class Config:
    name: str = "fusion"
    seed: int = 0
    workdir: str | None = None
    """Folder of the run; None = runs/<name>."""
    sample: Sample = dataclasses.field(default_factory=Sample)
    faces: Faces = dataclasses.field(default_factory=Faces)
    data: Data = dataclasses.field(default_factory=Data)
    model: Model = dataclasses.field(default_factory=Model)
    optim: Optim = dataclasses.field(default_factory=Optim)
    train: Train = dataclasses.field(default_factory=Train)
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)

    def validate(self) -> "Config":
        """Check every range; list all that is wrong in one :class:`ConfigError`. Returns self."""
        wrong = [message for ok, message in limits.checks(self) if not ok]
        if wrong:
            raise ConfigError("; ".join(wrong))
        return self


def to_json(config: Config) -> str:
    """The resolved configuration as JSON text, as it lies in every run folder and checkpoint."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str) -> Config:
    """Inverse of :func:`to_json`.

    An option that the text does not know has its default, which therefore always means what was done before there was
    the option. Options that this version does not know raise :class:`ConfigError` and are all named.
    """
    return _build(Config, json.loads(text), "config")


def _build(cls: type, values: dict[str, Any], where: str):
    template = cls()
    names = {field.name for field in dataclasses.fields(cls)}
    odd = [f"{where}.{name}" for name in sorted(set(values) - names)]
    if odd:
        raise ConfigError(f"options that this version does not have: {', '.join(odd)}")
    out = {}
    for name, value in values.items():
        default = getattr(template, name)
        if dataclasses.is_dataclass(default):
            value = _build(type(default), value, f"{where}.{name}")
        elif isinstance(default, tuple):
            value = tuple(value)
        out[name] = value
    return cls(**out)
