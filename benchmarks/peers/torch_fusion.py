"""The fusion detector in PyTorch: same layers, same names, so that our weights fit; channels last.

What its users would leave out is left out: clips are whole, so there are no masks. Optical flow is not here: the
micro-expression branch takes ``rgb`` and ``difference`` only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from peers import torch_lstm
from torch import Tensor, nn

from fusion_dfd import config as c

DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DAMPING = 0.1
SIGMA = 4.0
TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Of the landmarks in a face of 112 pixels."""


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3), nn.BatchNorm2d(width)
        self.projects = stride != 1 or inputs != width
        if self.projects:
            self.shortcut_conv, self.shortcut_bn = conv(inputs, width, 1, stride), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu((self.shortcut_bn(self.shortcut_conv(x)) if self.projects else x) + y)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.projects = stride != 1 or inputs != 4 * width
        if self.projects:
            self.shortcut_conv, self.shortcut_bn = conv(inputs, 4 * width, 1, stride), nn.BatchNorm2d(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu((self.shortcut_bn(self.shortcut_conv(x)) if self.projects else x) + y)


class ResNet(nn.Module):
    def __init__(self, options: c.Backbone):
        super().__init__()
        block = Bottleneck if options.name == "resnet50" else BasicBlock
        width = inputs = options.width or 64
        self.conv1, self.bn1 = conv(3, width, 7, 2), nn.BatchNorm2d(width)
        self.stages = nn.ModuleList()
        for stage, depth in enumerate(DEPTHS[options.name][: options.stages or 4]):
            blocks = nn.ModuleList()
            for place in range(depth):
                blocks.append(block(inputs, width * 2**stage, 2 if stage and not place else 1))
                inputs = width * 2**stage * block.expansion
            self.stages.append(blocks)
        self.channels = inputs

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        for blocks in self.stages:
            for block in blocks:
                x = block(x)
        return x


class SpatialAttention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.score = nn.Linear(channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Context [b, t, c] of maps [b, t, h, w, c]."""
        attention = torch.sigmoid(self.score(maps))
        return (attention * maps).sum((2, 3)) / attention.sum((2, 3)).clamp_min(1e-6)


class TemporalAttention(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.hidden, self.score = nn.Linear(features, features), nn.Linear(features, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.softmax(self.score(torch.tanh(self.hidden(x))), 1) * x).sum(1)


class SelfAttention(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.query, self.value = nn.Linear(features, features), nn.Linear(features, features)
        self.key = nn.Linear(features, features, bias=False)
        self.norm = nn.LayerNorm(features, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part(x)[:, None] for part in (self.query, self.key, self.value))
        return self.norm(x + F.scaled_dot_product_attention(query, key, value)[:, 0])


class Stack(nn.Module):
    def __init__(self, inputs: int, units: tuple[int, ...]):
        super().__init__()
        self.layers = nn.ModuleList()
        for width in units:
            self.layers.append(torch_lstm.layer(inputs, width))
            inputs = 2 * width
        self.features = inputs

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return x


class Dense(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...]):
        super().__init__()
        self.layers = nn.ModuleList()
        for width in widths:
            self.layers.append(nn.Linear(inputs, width))
            inputs = width
        self.features = inputs

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class SpatialBranch(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.attention, self.logit = SpatialAttention(channels), nn.Linear(channels, 1)
        self.features = channels

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        context = self.attention(maps)
        return context.mean(1), self.logit(context)[..., 0].mean(1)


class TemporalBranch(nn.Module):
    def __init__(self, channels: int, recurrent: tuple[int, ...]):
        super().__init__()
        self.level_norm, self.change_norm = nn.LayerNorm(channels, eps=1e-6), nn.BatchNorm1d(channels)
        self.encoder = Stack(2 * channels, recurrent)
        self.features = self.encoder.features
        self.attention, self.logit = TemporalAttention(self.features), nn.Linear(self.features, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        pooled = maps.mean((2, 3))
        pooled = DAMPING * pooled + (1 - DAMPING) * pooled.detach()
        change = torch.diff(pooled, dim=1, prepend=pooled[:, :1])
        change = self.change_norm(change.flatten(0, 1)).view_as(change)
        token = self.attention(self.encoder(torch.cat([self.level_norm(pooled), change], -1)))
        return token, self.logit(token)[:, 0]


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv, self.bn = conv(inputs, outputs, 3), nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.bn(self.conv(x))), 2)


class MicroBranch(nn.Module):
    def __init__(self, model: c.Model):
        super().__init__()
        options = model.micro
        self.inputs, self.size = options.inputs, options.size
        self.blocks = nn.ModuleList()
        channels, side = 3 * len(options.inputs), options.size
        for width in options.widths:
            self.blocks.append(Block(channels, width))
            channels, side = width, side // 2
        self.spatial_attention = SpatialAttention(channels)
        self.input_dense = Dense(side * side * channels, model.dense)
        self.recurrent = Stack(self.input_dense.features, model.recurrent)
        self.self_attention = SelfAttention(self.recurrent.features)
        self.output_dense = Dense(self.recurrent.features, model.dense)
        self.temporal_attention = TemporalAttention(self.output_dense.features)
        self.features = channels + self.output_dense.features
        self.logit = nn.Linear(self.features, 1)

    def forward(self, frames: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            x = motion(stabilise(frames, landmarks, self.size), self.inputs).flatten(0, 1)
        for block in self.blocks:
            x = block(x)
        maps = as_maps(x, frames.shape[1])
        place = self.spatial_attention(maps).mean(1)
        hidden = self.recurrent(self.input_dense(maps.flatten(2)))
        token = torch.cat([place, self.temporal_attention(self.output_dense(self.self_attention(hidden)))], -1)
        return token, self.logit(token)[:, 0]


class Fusion(nn.Module):
    def __init__(self, features: list[int], width: int):
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(inputs, width) for inputs in features)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in features)
        if len(features) > 1:
            self.hidden, self.score = nn.Linear(width, width), nn.Linear(width, 1, bias=False)

    def forward(self, tokens: list[Tensor]) -> Tensor:
        layers = zip(tokens, self.projections, self.norms, strict=True)
        stacked = torch.stack([norm(project(token)) for token, project, norm in layers], 1)
        if len(tokens) == 1:
            return stacked[:, 0]
        return (stacked * torch.softmax(self.score(torch.tanh(self.hidden(stacked))), 1)).flatten(1)


class Head(nn.Module):
    def __init__(self, inputs: int, widths: tuple[int, ...], dropout: float):
        super().__init__()
        self.layers = nn.ModuleList()
        for width in widths:
            self.layers.append(nn.Linear(inputs, width))
            inputs = width
        self.dropout, self.logit = nn.Dropout(dropout), nn.Linear(inputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(F.relu(layer(x)))
        return self.logit(x)[:, 0]


class FusionDetector(nn.Module):
    """Frames uint8 [b, t, h, w, 3] and landmarks [b, t, 5, 2] -> the logit [b] and those of the branches."""

    def __init__(self, model: c.Model):
        super().__init__()
        self.branches = tuple(model.branches)
        features = {}
        if {"spatial", "temporal"} & set(self.branches):
            self.backbone = ResNet(model.backbone)
        if "spatial" in self.branches:
            self.spatial = SpatialBranch(self.backbone.channels)
            features["spatial"] = self.spatial.features
        if "temporal" in self.branches:
            self.temporal = TemporalBranch(self.backbone.channels, model.recurrent)
            features["temporal"] = self.temporal.features
        if "micro" in self.branches:
            self.micro = MicroBranch(model)
            features["micro"] = self.micro.features
        self.fusion = Fusion([features[name] for name in self.branches], model.token)
        self.head = Head(len(self.branches) * model.token, model.head, model.dropout)
        self.register_buffer("mean", 255 * torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(STD), persistent=False)

    def forward(self, frames: Tensor, landmarks: Tensor) -> tuple[Tensor, list[Tensor]]:
        found = {}
        if hasattr(self, "backbone"):
            images = (frames.flatten(0, 1) - self.mean) / self.std
            maps = as_maps(self.backbone(images.permute(0, 3, 1, 2)), frames.shape[1])
        if "spatial" in self.branches:
            found["spatial"] = self.spatial(maps)
        if "temporal" in self.branches:
            found["temporal"] = self.temporal(maps)
        if "micro" in self.branches:
            found["micro"] = self.micro(frames, landmarks)
        tokens, logits = zip(*(found[name] for name in self.branches), strict=True)
        return self.head(self.fusion(list(tokens))), list(logits)


def as_maps(x: Tensor, times: int) -> Tensor:
    """[b * t, c, h, w] -> [b, t, h, w, c], which costs nothing where channels lie last."""
    return x.permute(0, 2, 3, 1).unflatten(0, (-1, times))


def motion(faces: Tensor, inputs: tuple[str, ...]) -> Tensor:
    """[b, t, c, s, s] of faces [b, t, 3, s, s] in 0..255."""
    parts = []
    if "rgb" in inputs:
        parts.append((faces - 127.5) / 64)
    if "difference" in inputs:
        parts.append(torch.tanh(torch.diff(faces, dim=1, prepend=faces[:, :1]) / 16))
    return torch.cat(parts, 2)


def stabilise(frames: Tensor, landmarks: Tensor, size: int) -> Tensor:
    """Faces [b, t, 3, size, size], held still by smoothed landmarks; see ``fusion_dfd/models/geometry.py``."""
    b, t, h, w, _ = frames.shape
    factor = max(1, int(min(h, w) / (1.25 * size)))
    images = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
    if factor > 1:
        images = F.avg_pool2d(images, factor)
    across = torch.arange(size, device=frames.device, dtype=torch.float32)
    y, x = torch.meshgrid(across, across, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1)
    where = torch.einsum("nij,yxj->nyxi", similarity(smooth(landmarks), size).flatten(0, 1), points)
    where = (where - (factor - 1) / 2) / factor
    limit = torch.tensor([images.shape[3] - 1, images.shape[2] - 1], device=frames.device)
    faces = F.grid_sample(images, 2 * where / limit - 1, padding_mode="border", align_corners=True)
    return faces.unflatten(0, (b, t))


def smooth(landmarks: Tensor) -> Tensor:
    """Local linear regression over time with Gaussian weights."""
    time = torch.arange(landmarks.shape[1], device=landmarks.device, dtype=torch.float32)
    away = time[None, :] - time[:, None]
    weight = torch.exp(-0.5 * (away / SIGMA) ** 2)
    s0, s1 = weight.sum(1, keepdim=True), (weight * away).sum(1, keepdim=True)
    s2 = (weight * away**2).sum(1, keepdim=True) + 1e-3
    weight = weight * (s2 - away * s1) / (s0 * s2 - s1 * s1).clamp_min(1e-12)
    return torch.einsum("ts,bspx->btpx", weight, landmarks)


def similarity(target: Tensor, size: int) -> Tensor:
    """[b, t, 2, 3] that take the template to landmarks [b, t, 5, 2]."""
    source = torch.tensor(TEMPLATE, device=target.device) / 112 * size
    middle, goal = source.mean(0), target.mean(-2)
    s, t = source - middle, target - goal[..., None, :]
    spread = (s * s).sum()
    a = (s * t).sum((-2, -1)) / spread
    b = (s[:, 0] * t[..., 1] - s[:, 1] * t[..., 0]).sum(-1) / spread
    shift_x = goal[..., 0] - a * middle[0] + b * middle[1]
    shift_y = goal[..., 1] - b * middle[0] - a * middle[1]
    return torch.stack([torch.stack([a, -b, shift_x], -1), torch.stack([b, a, shift_y], -1)], -2)
