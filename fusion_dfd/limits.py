"""What the options of a configuration may be, alone and together; ``config.py`` says what they mean."""

from __future__ import annotations

import math
import operator
import re

BRANCHES = ("spatial", "temporal", "micro")
MICRO_INPUTS = ("rgb", "difference", "flow")
SAMPLINGS = ("dense", "uniform")
GROUP = r"(?P<prefix>[\w/]+)=(?P<factor>\d+(\.\d+)?)(@(?P<start>\d+))?"
"""Form of an entry of ``optim.groups``."""
RULES = ("mean_probability", "mean_logit", "max")
TRACKS = ("first", "max")
CALIBRATIONS = ("temperature", "affine", "isotonic")
TARGETS = ("eer", "youden", "fpr_1", "fpr_5")
SYSTEMS = ("fusion", "sequence", "flow", "r2plus1d", "timesformer")
TEMPORALS = ("bilstm", "transformer")
CELLS = ("lstm", "gru")
ENGINES = ("auto", "jax", "onnx")
"""What may run a model that scores videos."""
PROTOCOLS = ("in_dataset", "cross_dataset", "leave_one_out", "cross_compression")


def checks(config):
    """Pairs (holds, sentence if not) over the whole of a :class:`fusion_dfd.config.Config`."""
    model, data, faces, optim, train = config.model, config.data, config.faces, config.optim, config.train
    known = set(model.branches) <= set(BRANCHES) and len(set(model.branches)) == len(model.branches)
    yield bool(model.branches) and known, f"model.branches={model.branches}: want a non-empty subset of {BRANCHES}"
    yield from _transformers(model, data)
    units = bool(model.recurrent) and min(model.recurrent) >= 1
    yield units, f"model.recurrent={model.recurrent}: want at least one layer of at least one unit"
    inputs = model.micro.inputs
    yield (
        bool(inputs) and set(inputs) <= set(MICRO_INPUTS),
        f"model.micro.inputs={inputs}: want a subset of {MICRO_INPUTS}",
    )
    for name, value, low, high in [
        ("model.dropout", model.dropout, 0, 0.99),
        ("model.branch_dropout", model.branch_dropout, 0, 0.99),
        ("model.backbone.stages", model.backbone.stages, 0, 16),
        ("model.backbone.width", model.backbone.width, 0, 1024),
        ("data.frames", data.frames, 2 if model.system == "flow" else 1, 1024),
        ("data.size", data.size, 16, 2048),
        ("data.threads", data.threads, 0, 1024),
        ("data.augment.flip", data.augment.flip, 0, 1),
        ("data.augment.crop", data.augment.crop, 0, 0.5),
        ("data.augment.colour", data.augment.colour, 0, 1),
        ("data.augment.blur", data.augment.blur, 0, 1),
        ("data.augment.jpeg", data.augment.jpeg, 0, 1),
        ("faces.slope", faces.slope, -1, 1),
        ("faces.every", faces.every, 1, 1000),
        ("faces.threshold", faces.threshold, 0, 1),
        ("faces.min_size", faces.min_size, 12, 10000),
        ("faces.scale", faces.scale, 1, 4),
        ("faces.size", faces.size, 16, 2048),
        ("faces.clip_length", faces.clip_length, 1, 10000),
        ("faces.clips", faces.clips, 1, 100000),
        ("seed", config.seed, 0, 2**31 - 1),
        ("sample.seed", config.sample.seed, 0, 2**31 - 1),
        ("sample.frames", config.sample.frames, 1, 100000),
        ("sample.size", config.sample.size, 96, 2048),
        ("sample.crf", config.sample.crf, 0, 51),
        ("optim.lr", optim.lr, 0, 10),
        ("optim.weight_decay", optim.weight_decay, 0, 10),
        ("optim.warmup", optim.warmup, 0, train.steps - 1),
        ("optim.label_smoothing", optim.label_smoothing, 0, 0.99),
        ("optim.ema", optim.ema, 0, 0.999999),
        ("optim.accumulate", optim.accumulate, 1, 10000),
        ("optim.auxiliary", optim.auxiliary, 0, 100),
        ("train.steps", train.steps, 1, math.inf),
        ("train.eval_every", train.eval_every, 1, math.inf),
        ("train.log_every", train.log_every, 1, math.inf),
        ("train.patience", train.patience, 0, math.inf),
        ("evaluate.batch_size", config.evaluate.batch_size, 1, 100000),
        ("evaluate.clips", config.evaluate.clips, 0, 1000000),
        ("evaluate.bootstrap", config.evaluate.bootstrap, 0, 1000000),
        ("evaluate.abstain", config.evaluate.abstain, 0, 1),
    ]:
        yield low <= value <= high, f"{name}={value}: want {low} .. {high}"
    yield from _choices(config)
    yield from _cache(config)
    own = faces.detector == "retinaface" or not (faces.weights or faces.anchors or faces.slope >= 0)
    yield own, f"faces.detector={faces.detector}: faces.weights, anchors and slope are retinaface's, leave them out"
    quality = data.augment.jpeg_quality
    ordered = len(quality) == 2 and 1 <= quality[0] <= quality[1] <= 100
    yield ordered, f"data.augment.jpeg_quality={quality}: want two numbers in order, within 1 .. 100"
    odd = [group for group in optim.groups if not re.fullmatch(GROUP, group)]
    yield not odd, f"optim.groups={odd}: want PREFIX=FACTOR or PREFIX=FACTOR@STEP, e.g. backbone=0.1@500"
    yield optim.clip > 0, f"optim.clip={optim.clip}: want a positive norm"
    even = train.batch_size >= 2 and train.batch_size % 2 == 0
    yield even, f"train.batch_size={train.batch_size}: want an even number, a batch is made of real-fake pairs"
    fits = data.dir is not None or faces.clip_length >= data.frames
    yield fits, f"data.frames={data.frames} is longer than the stored clips, faces.clip_length={faces.clip_length}"
    three = len(config.sample.pairs) == 3 and min(config.sample.pairs) >= 1
    yield three, f"sample.pairs={config.sample.pairs}: want three positive numbers, for train, val and test"


def _choices(config):
    """The same for options that are one of a few words."""
    for name, words in [
        ("faces.sampling", SAMPLINGS),
        ("model.system", SYSTEMS),
        ("model.temporal", TEMPORALS),
        ("model.sequence.cell", CELLS),
        ("evaluate.aggregate", RULES),
        ("evaluate.tracks", TRACKS),
        ("evaluate.calibration", CALIBRATIONS),
        ("evaluate.target", TARGETS),
    ]:
        value = operator.attrgetter(name)(config)
        yield value in words, f"{name}={value}: want one of {', '.join(words)}"


def _cache(config):
    """What must hold so that a frame's features are the same whenever it is read."""
    if config.data.cache:
        model, augment = config.model, config.data.augment
        constant = "backbone=0" in config.optim.groups and model.backbone.frozen_norm
        plain = not any((augment.flip, augment.crop, augment.colour, augment.blur, augment.jpeg))
        yield model.system == "sequence", f"data.cache: want model.system=sequence, this is {model.system}"
        yield constant, "data.cache: want optim.groups=('backbone=0',) and model.backbone.frozen_norm=True"
        yield plain, "data.cache: features are stored without augmentation, set every part of data.augment to 0"


def _transformers(model, data):
    """The same for the two transformers, each only where it is used."""
    if model.system == "fusion" and model.temporal == "transformer":
        one = model.transformer
        split = min(one.width, one.heads, one.depth) >= 1 and one.width % one.heads == 0 and one.width % 2 == 0
        yield split, f"model.transformer={one}: want an even width that heads divide, and positive numbers"
    if model.system == "timesformer":
        one = model.timesformer
        whole = min(one.width, one.heads, one.depth, one.patch) >= 1 and one.width % one.heads == 0
        yield whole, f"model.timesformer={one}: want a width that heads divide, and positive numbers"
        fits = one.patch >= 1 and one.size == data.size and one.size % one.patch == 0
        wanted = f"want data.size, {data.size}, and a multiple of model.timesformer.patch, {one.patch}"
        yield fits, f"model.timesformer.size={one.size}: {wanted}"
        placed = one.frames >= data.frames
        yield placed, f"model.timesformer.frames={one.frames}: want at least data.frames, {data.frames}"
