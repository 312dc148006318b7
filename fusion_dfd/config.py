"""Every option of the system: typed, with meaning, unit and range, checked before anything is built.

``fusion_dfd/configs/*.py`` hold ``get_config(variant)`` functions that return a :class:`Config`; the command line
changes single fields (``--config.optim.lr=3e-4``) and refuses unknown names and wrong types. After
:meth:`Config.validate` the value is only read. docs/OPTIONS.md is generated from the fields.

No ``from __future__ import annotations`` here: ml_collections reads the field types, and needs them as types.
"""

import dataclasses
import json
from collections.abc import Iterator

from fusion_dfd import model_options, options
from fusion_dfd.model_options import Model, transformers
from fusion_dfd.options import ConfigError, Group, option, section

BRANCHES, MOTION_BRANCHES = model_options.BRANCHES, model_options.MOTION_BRANCHES
MICRO_INPUTS, SYSTEMS = model_options.MICRO_INPUTS, model_options.SYSTEMS
Backbone, Micro, Sequence = model_options.Backbone, model_options.Micro, model_options.Sequence
Transformer, TimeSformer, Frame = model_options.Transformer, model_options.TimeSformer, model_options.Frame
FORGERS = {
    "blend": "the face itself, changed and put back",
    "animate": "a still face moved by another clip",
    "regions": "motion of brows, lids, mouth or jaw exchanged",
    "mouth": "the mouth of another moment",
    "rerender": "the face drawn again by an autoencoder",
    "drift": "features a little elsewhere in every frame",
}
"""What ``data.forge`` may hold; :mod:`fusion_dfd.forge` has them."""
RULES = {
    "mean_probability": "the mean of its windows' probabilities",
    "mean_logit": "the sigmoid of the mean of its windows' logits",
    "max": "the largest of its windows' probabilities",
    "top_2": "the mean probability of its 2 most suspicious windows",
    "top_4": "the mean probability of its 4 most suspicious windows",
    "soft_1": "the sigmoid of the soft maximum of its windows' logits, sharpness 1",
    "soft_4": "the sigmoid of the soft maximum of its windows' logits, sharpness 4",
    "attention": "the mean of its windows' probabilities, weighted by the softmax of their logits",
}
"""How windows become a face, and how each rule reads after "A face's probability is"."""
CHOSEN = "val"
AGGREGATES = {**RULES, CHOSEN: "by that of these rules which ranks the videos of val best"}
"""What ``evaluate.aggregate`` may be."""
TRACKS = {"first": "that of its first face track alone", "max": "that of its most suspicious face"}
"""What ``evaluate.tracks`` may be, and how each reads after "a video's probability is"."""
CALIBRATIONS = {"temperature": "temperature", "affine": "temperature and offset", "isotonic": "isotonic regression"}
TARGETS = {
    "eer": "as many misses as false alarms",
    "youden": "the fewest misses and false alarms together",
    "fpr_1": "the most fakes found at 1% false alarms",
    "fpr_5": "the most fakes found at 5% false alarms",
}

SEEDS = 2**31 - 1
"""Largest seed."""
MOST_STEPS = 10**9
"""Most steps; they are counted in 32 bits."""


@dataclasses.dataclass
class Synthetic:
    """The synthetic data set, rendered where no other is given."""

    seed: int = option(0, "Every person, motion and forgery follows from it.", 0, SEEDS)
    pairs: tuple[int, ...] = option(
        (40, 8, 10),
        "Pairs of identities in train, val and test. A pair gives 2 real videos and 2 fakes of each of the 4 methods.",
        1,
        100000,
        count=3,
    )
    frames: int = option(48, "Frames per video, at 25 frames per second.", 1, 100000)
    size: int = option(160, "Width and height of the videos, pixels.", 96, 2048)
    crf: int = option(23, "H.264 constant rate factor; 0 is lossless, 23 is FaceForensics++'s c23.", 0, 51)
    stretch: float = option(
        1.0,
        "Share of the frames of a fake that are forged, in one stretch; the others show the real face. 1 = all.",
        high=1,
        above=0,
    )


@dataclasses.dataclass
class Faces:
    """Finding, following and cropping faces."""

    detector: str = option("mtcnn", "Face detector: mtcnn, or retinaface with the three options below.")
    weights: str = option(
        "",
        "RetinaFace's weights: a file (.pth, .onnx, .safetensors), or published ones by name, mobilenet0.25 (the "
        "same as empty) or resnet50.",
    )
    anchors: tuple[int, ...] = option(
        (),
        "Six sides of the anchors that RetinaFace was trained with, pixels; empty where the file is known or states "
        "them.",
        1,
        10000,
    )
    slope: float = option(
        -1.0, "Slope of RetinaFace's activations below zero; negative where the file is known or states it.", -1, 1
    )
    every: int = option(8, "Detect on every n-th frame and interpolate between.", 1, 1000)
    threshold: float = option(0.9, "Least confidence of a face.", 0, 1)
    min_size: int = option(32, "Least side of a face box, pixels of the video.", 12, 10000)
    scale: float = option(1.3, "Side of the square crop relative to the face box; FaceForensics++ uses 1.3.", 1, 4)
    size: int = option(256, "Side of the stored crop, pixels.", 16, 2048)
    align: bool = option(
        False,
        "Rotate, scale and shift the crop so that eyes, nose and mouth of every clip lie at the same places; one "
        "transform per clip.",
    )
    mesh: bool = option(
        False,
        "Find the face mesh too, 152 points of brows, lids, lips, nose and outline on every frame, for forgers.",
    )
    sampling: str = option(
        "dense",
        "How frames are chosen. dense: clips of contiguous frames. uniform: one clip of frames spread evenly over the "
        "whole video, for baselines that judge single frames; the temporal and micro branches are then switched off, "
        "the detector sees every frame of the clip, and faces.every and faces.clips are unused.",
        words=("dense", "uniform"),
    )
    clip_length: int = option(32, "Frames per stored clip.", 1, 10000)
    clips: int = option(8, "At most this many dense clips per video and face, spread evenly over it.", 1, 100000)
    all_tracks: bool = option(
        False, "Store every face of a video, not only the first. Training and evaluation leave the others out."
    )
    time_limit: float = option(
        300.0, "Seconds that one video may take before it is given up and reported.", above=0, high=86400
    )


@dataclasses.dataclass
class Augment:
    """Clip-consistent augmentation: each draw is made once per clip. A probability of 0 switches a part off."""

    flip: float = option(0.5, "Probability of a horizontal flip.", 0, 1)
    crop: float = option(0.1, "Largest shrink and shift of the crop, as a fraction of its side.", 0, 0.5)
    colour: float = option(0.2, "Largest change of brightness, contrast and saturation, as a fraction.", 0, 1)
    blur: float = option(0.1, "Probability of a Gaussian blur.", 0, 1)
    jpeg: float = option(0.3, "Probability of a JPEG round trip.", 0, 1)
    jpeg_quality: tuple[int, ...] = option(
        (40, 100), "Lowest and highest JPEG quality of that round trip.", 1, 100, count=2
    )
    degrade: float = option(
        0.0,
        "Probability that a pair is degraded as videos are on their way: video encoding (H.264, HEVC, VP9; constant "
        "rate factor 18 to 40; up to twice), scaling, noise, blur, gamma, grey, a lower frame rate.",
        0,
        1,
    )


@dataclasses.dataclass
class Data:
    """From shards to batches."""

    dir: str | None = option(None, "Folder of prepared shards; None makes and prepares the synthetic data set.")
    val_dir: str | None = option(
        None,
        "Folder of prepared shards whose val split (all of it where it has none) chooses the checkpoint in place of "
        "that of data.dir, e.g. real deepfakes. What chooses is no test set any more.",
    )
    frames: int = option(16, "Contiguous frames of a window, which the model sees at once.", 1, 1024)
    size: int = option(224, "Side of the frames given to the model, pixels.", 16, 2048)
    exclude_methods: tuple[str, ...] = option(
        (), "Manipulations left out of train and val, never of test: how well the model finds unseen ones."
    )
    threads: int = option(0, "Reading and decoding threads; 0 = one per core.", 0, 1024)
    forge: tuple[str, ...] = option(
        (),
        "Forgers that make the fakes of train, from its real clips, while they are read; empty where the shards hold "
        "fakes. The shards need faces.mesh.",
        words=FORGERS,
        empty=True,
    )
    val_forge: tuple[str, ...] = option(
        (),
        "Forgers of val, better not those of train: how well the model finds forgeries of another kind then chooses "
        "the checkpoint. Empty = those of train.",
        words=FORGERS,
        empty=True,
    )
    cache: bool = option(
        False,
        "Encode every frame once before training, by the frozen backbone of a sequence or frame system, and not once "
        "per epoch. There is no augmentation then.",
    )
    cache_dir: str | None = option(
        None, "Folder of the encoded frames, which several runs may share; None = in the folder of the run."
    )
    augment: Augment = section(Augment)


@dataclasses.dataclass
class Optim:
    """AdamW, its schedule and its losses."""

    lr: float = option(3e-4, "Peak learning rate of AdamW.", 0, 10)
    end_lr: float = option(0.0, "Learning rate at the end of the cosine; at most optim.lr.", 0, 10)
    weight_decay: float = option(0.05, "Applied to kernels only, not to biases and norm scales.", 0, 10)
    warmup: int = option(500, "Steps of linear warm-up, fewer than train.steps; a cosine follows.", 0, MOST_STEPS)
    clip: float = option(1.0, "Largest global norm of the gradient.", above=0, high=1000000)
    label_smoothing: float = option(0.05, "Share of the label that is spread evenly over both classes.", 0, 0.99)
    auxiliary: float = option(1.0, "Weight of each branch's own loss beside the fused one.", 0, 100)
    map: float = option(
        0.0,
        "Weight of a loss that compares the spatial attention with what was forged; only with data.forge and the "
        "branch spatial.",
        0,
        100,
    )
    uniformity: float = option(
        0.0,
        "Weight of a loss that spreads the features of frames over the sphere (Wang & Isola 2020); only with "
        "model.system=frame. With optim.accumulate it sees one micro-batch at a time.",
        0,
        100,
    )
    alignment: float = option(
        0.0, "Weight of a loss that draws the features of frames of one label together; as optim.uniformity.", 0, 100
    )
    ema: float = option(
        0.999, "Decay per step of the averaged parameters that are evaluated; 0 switches averaging off.", 0, 0.999999
    )
    groups: tuple[str, ...] = option(
        (),
        "Parts of the model that learn otherwise: PREFIX=FACTOR of the learning rate, where 0 freezes; "
        "PREFIX=FACTOR@STEP from that step on; PREFIX:norm=FACTOR for the norm layers below the prefix only. E.g. "
        '("backbone=0",), ("backbone=0.1@1000", "backbone/conv1=0") or ("backbone=0", "backbone:norm=1").',
        form=(options.GROUP, options.GROUPS),
    )
    accumulate: int = option(
        1, "Number of micro-batches per step; their gradients are averaged: less memory, same batch.", 1, 10000
    )
    sam: float = option(
        0.0,
        "Radius of sharpness-aware minimisation: every step takes its gradient at the worst weights within that "
        "distance, which costs a second pass; 0 = off, 0.05 is the paper's.",
        0,
        10,
    )
    alternate: int = option(
        0,
        "Alternate freezing of the fusion: for that many steps its spatial parts (backbone, spatial) are frozen, for "
        "as many its temporal parts (temporal, micro), and so on; 0 = off.",
        0,
        1000000,
    )

    @property
    def parsed_groups(self) -> tuple[Group, ...]:
        """The entries of ``groups``, parsed. Raises ConfigError for one of another form."""
        return tuple(map(Group.parse, self.groups))


@dataclasses.dataclass
class Train:
    """Length of the training, and how often it is evaluated and logged."""

    steps: int = option(20000, "Optimiser steps.", 1, MOST_STEPS)
    batch_size: int = option(
        32, "Windows per batch over all devices; even, because a batch is made of real-fake pairs.", 2, 100000
    )
    eval_every: int = option(1000, "Steps between evaluations on val, each followed by a checkpoint.", 1, MOST_STEPS)
    patience: int = option(0, "Stop after this many evaluations without a better val AUC; 0 = never.", 0, MOST_STEPS)
    log_every: int = option(20, "Steps between lines of the log.", 1, MOST_STEPS)


@dataclasses.dataclass
class Evaluate:
    """How videos are scored, and what is computed from the scores."""

    batch_size: int = option(32, "Windows scored at once.", 1, 100000)
    windows: int = option(0, "Windows scored per face, spread evenly; 0 = all.", 0, 1000000)
    bootstrap: int = option(1000, "Bootstrap resamples over groups behind every interval.", 0, 1000000)
    aggregate: str = option("mean_probability", "What a face's probability is.", words=AGGREGATES)
    tracks: str = option("first", "What a video's probability is, of the faces stored.", words=TRACKS)
    calibration: str = option(
        "temperature",
        "Map from a video's probability to a calibrated one, fitted on val: a temperature; affine: with an offset; "
        "isotonic: isotonic regression, which wants some hundred val videos.",
        words=tuple(CALIBRATIONS),
    )
    target: str = option("eer", "What the threshold is chosen for on val.", words=TARGETS)
    abstain: float = option(
        0.05,
        "Largest share of the decided val videos that may be wrong: those nearest to the threshold stay undecided "
        "until it holds; 1 decides all.",
        0,
        1,
    )


@dataclasses.dataclass
class Config:
    """A run."""

    name: str = option("fusion", "Name of the run.")
    seed: int = option(0, "Initial weights, order of the data, augmentation and dropout follow from it.", 0, SEEDS)
    workdir: str | None = option(None, "Folder of the run; None = runs/NAME.")
    synthetic: Synthetic = section(Synthetic)
    faces: Faces = section(Faces)
    data: Data = section(Data)
    model: Model = section(Model)
    optim: Optim = section(Optim)
    train: Train = section(Train)
    evaluate: Evaluate = section(Evaluate)

    def validate(self) -> "Config":
        """Check every range; list all that is wrong in one :class:`ConfigError`. Returns self."""
        wrong = [*options.problems(self), *(message for holds, message in _together(self) if not holds)]
        if wrong:
            raise ConfigError("; ".join(wrong))
        return self


def _together(config: Config) -> Iterator[tuple[bool, str]]:
    """Pairs (holds, sentence if not) of rules over several options."""
    model, data, faces, train = config.model, config.data, config.faces, config.train
    yield (
        model.system != "flow" or data.frames >= 2,
        f"data.frames={data.frames}: want 2 or more, flow needs two frames",
    )
    warmup = config.optim.warmup
    yield warmup < train.steps, f"optim.warmup={warmup}: want fewer than train.steps, {train.steps}"
    end = config.optim.end_lr
    yield end <= config.optim.lr, f"optim.end_lr={end}: want at most optim.lr, {config.optim.lr}"
    for name in ("uniformity", "alignment"):
        weight = getattr(config.optim, name)
        yield model.system == "frame" or not weight, f"optim.{name}={weight}: want model.system=frame, or 0"
    own = faces.detector == "retinaface" or not (faces.weights or faces.anchors or faces.slope >= 0)
    only = "faces.weights, faces.anchors and faces.slope apply only to faces.detector=retinaface; remove them"
    yield own, f"faces.detector={faces.detector}: {only}"
    quality = data.augment.jpeg_quality
    yield list(quality) == sorted(quality), f"data.augment.jpeg_quality={quality}: want the lower number first"
    odd = train.batch_size % 2 == 1
    yield not odd, f"train.batch_size={train.batch_size}: want an even number, a batch is made of real-fake pairs"
    fits = data.dir is not None or faces.clip_length >= data.frames
    yield fits, f"data.frames={data.frames} is longer than the stored clips, faces.clip_length={faces.clip_length}"
    halves = model.system == "fusion" and len({"temporal", "micro"} & set(model.branches)) > 0
    yield (
        halves or not config.optim.alternate,
        f"optim.alternate={config.optim.alternate}: want model.system=fusion with the branch temporal or micro, or 0",
    )
    forges = bool(data.forge)
    yield forges or not data.val_forge, f"data.val_forge={data.val_forge}: only with data.forge, name forgers there too"
    yield (
        not (forges and data.cache),
        "data.cache: only without data.forge, whose clips are new each time",
    )
    mapped = forges and model.system == "fusion" and "spatial" in model.branches
    yield mapped or not config.optim.map, f"optim.map={config.optim.map}: want data.forge and the branch spatial, or 0"
    kept = data.cache or data.cache_dir is None
    yield kept, f"data.cache_dir={data.cache_dir}: only with data.cache, set that too or remove it"
    yield from _cache(config) if data.cache else ()
    yield from transformers(model, data.frames, data.size)


def _cache(config: Config) -> Iterator[tuple[bool, str]]:
    """What must hold so that a frame's features are the same whenever it is read."""
    model, augment = config.model, config.data.augment
    below = [one for one in config.optim.parsed_groups if one.prefix.split("/")[0] == "backbone"]
    constant = "backbone=0" in config.optim.groups and all(one.frozen for one in below) and model.backbone.frozen_norm
    plain = not any((augment.flip, augment.crop, augment.colour, augment.blur, augment.jpeg, augment.degrade))
    encodes = model.system in ("sequence", "frame")
    yield encodes, f"data.cache: want model.system=sequence or frame, this is {model.system}"
    yield (
        constant,
        "data.cache: want optim.groups=('backbone=0',), nothing of it learning, and model.backbone.frozen_norm=True",
    )
    yield plain, "data.cache: features are stored without augmentation, set every part of data.augment to 0"


def to_json(config: Config) -> str:
    """The resolved configuration as JSON text, as it lies in every run folder and checkpoint."""
    return json.dumps(dataclasses.asdict(config), indent=2)


def from_json(text: str) -> Config:
    """Inverse of :func:`to_json`, also for configurations of earlier versions.

    Missing options take their defaults, so a default must reproduce the behaviour before the option existed. Options
    that this version does not know raise :class:`ConfigError` and are all named.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"a configuration that is no JSON ({error})") from error
    if isinstance(values, dict) and "sample" in values:  # until 0.1 the name of this section
        values["synthetic"] = values.pop("sample")
    evaluate = values.get("evaluate") if isinstance(values, dict) else None
    if isinstance(evaluate, dict) and "clips" in evaluate:  # also until 0.1
        evaluate["windows"] = evaluate.pop("clips")
    if unknown := options.unknown(Config(), values, "config"):
        raise ConfigError(f"options that this version does not have: {', '.join(unknown)}")
    return options.build(Config, values)
