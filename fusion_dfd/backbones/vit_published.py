"""The published vision transformers: which options of :class:`ViT` they have, and how libraries name their arrays.

Weights, as timm's safetensors: ``vit_small``, ``vit_base`` Steiner et al. 2021 (Apache-2.0); ``*_dino``
facebookresearch/dino, ``*_dinov2`` and ``*_dinov2_reg4`` facebookresearch/dinov2 (Apache-2.0); ``*_dinov3``
facebookresearch/dinov3 (DINOv3 License: read it before use); ``*_clip`` openai/CLIP (MIT).

The files of Hugging Face's transformers are read too: openai/clip-vit-base-patch16 and -large-patch14,
facebook/dinov2-base and -large, facebook/dinov2-with-registers-base and -large,
facebook/dinov3-vitb16-pretrain-lvd1689m and -vitl16-.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

from fusion_dfd.backbones.convert import Arrays, NameTable
from fusion_dfd.backbones.spec import HALF, IMAGENET_MEAN, IMAGENET_STD, Spec, timm
from fusion_dfd.backbones.vit import STAGES, Block, ViT, quick_gelu


def _blocks(net: ViT) -> Iterator[tuple[str, int, Block]]:
    """Path, number and module of every block."""
    for stage, blocks in enumerate(net.stages):
        for place, block in enumerate(blocks):
            yield f"stages/{stage}/{place}", len(blocks) * stage + place, block


def _timm(net: ViT) -> Iterator[tuple[str, str]]:
    yield "class_token", "cls_token"
    if not net.rotary:
        yield "positions", "pos_embed"
    if net.registers:
        yield "register_tokens", "reg_token"
    yield "patches", "patch_embed.proj"
    if net.pre_norm:
        yield "norm_pre", "norm_pre"
    # What turns its tokens is another class of timm's (eva), with names of its own.
    gains = ("gamma_1", "gamma_2") if net.rotary else ("ls1.gamma", "ls2.gamma")
    for ours, number, block in _blocks(net):
        theirs = f"blocks.{number}"
        yield f"{ours}/norm1", f"{theirs}.norm1"
        yield f"{ours}/qkv", f"{theirs}.attn.qkv"
        yield f"{ours}/proj", f"{theirs}.attn.proj"
        yield f"{ours}/norm2", f"{theirs}.norm2"
        yield f"{ours}/fc1", f"{theirs}.mlp.fc1"
        yield f"{ours}/fc2", f"{theirs}.mlp.fc2"
        if block.scaled:
            yield f"{ours}/gain1", f"{theirs}.{gains[0]}"
            yield f"{ours}/gain2", f"{theirs}.{gains[1]}"
    yield "norm", "norm"


def _clip(net: ViT) -> Iterator[tuple[str, str]]:
    """transformers' CLIPModel, which has a text tower beside it."""
    yield "class_token", "vision_model.embeddings.class_embedding"
    yield "positions", "vision_model.embeddings.position_embedding.weight"
    yield "patches", "vision_model.embeddings.patch_embedding"
    yield "norm_pre", "vision_model.pre_layrnorm"
    for ours, number, _ in _blocks(net):
        theirs = f"vision_model.encoder.layers.{number}"
        yield f"{ours}/norm1", f"{theirs}.layer_norm1"
        yield f"{ours}/qkv", f"{theirs}.self_attn.{{q,k,v}}_proj"
        yield f"{ours}/proj", f"{theirs}.self_attn.out_proj"
        yield f"{ours}/norm2", f"{theirs}.layer_norm2"
        yield f"{ours}/fc1", f"{theirs}.mlp.fc1"
        yield f"{ours}/fc2", f"{theirs}.mlp.fc2"
    yield "norm", "vision_model.post_layernorm"


def _dinov2(net: ViT) -> Iterator[tuple[str, str]]:
    """transformers' Dinov2Model."""
    yield "class_token", "embeddings.cls_token"
    yield "positions", "embeddings.position_embeddings"
    yield "patches", "embeddings.patch_embeddings.projection"
    for ours, number, _ in _blocks(net):
        theirs = f"encoder.layer.{number}"
        yield f"{ours}/qkv", f"{theirs}.attention.attention.{{query,key,value}}"
        yield f"{ours}/proj", f"{theirs}.attention.output.dense"
        yield f"{ours}/fc1", f"{theirs}.mlp.fc1"
        yield f"{ours}/fc2", f"{theirs}.mlp.fc2"
        yield from _dino(ours, theirs)
    yield "norm", "layernorm"


def _dinov2_registers(net: ViT) -> Iterator[tuple[str, str]]:
    """transformers' Dinov2WithRegistersModel."""
    yield "register_tokens", "embeddings.register_tokens"
    yield from _dinov2(net)


def _token_placed(arrays: Arrays) -> Arrays:
    """The class token with its position added, as timm's files and ours have it, and the positions without it."""
    names = "embeddings.cls_token", "embeddings.position_embeddings"
    token, places = map(arrays.get, names)
    if token is None or places is None or token.shape != places[:, :1].shape:
        return arrays
    return {**arrays, names[0]: token + places[:, :1], names[1]: places[:, 1:]}


def _dinov3(net: ViT) -> Iterator[tuple[str, str]]:
    """transformers' DINOv3ViTModel."""
    yield "class_token", "embeddings.cls_token"
    yield "register_tokens", "embeddings.register_tokens"
    yield "patches", "embeddings.patch_embeddings"
    for ours, number, _ in _blocks(net):
        theirs = f"layer.{number}"
        yield f"{ours}/qkv", f"{theirs}.attention.{{q,k,v}}_proj"
        yield f"{ours}/proj", f"{theirs}.attention.o_proj"
        yield f"{ours}/fc1", f"{theirs}.mlp.up_proj"
        yield f"{ours}/fc2", f"{theirs}.mlp.down_proj"
        yield from _dino(ours, theirs)
    yield "norm", "norm"


def _dino(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    """What a block is called in both of transformers' DINOs."""
    yield f"{ours}/norm1", f"{theirs}.norm1"
    yield f"{ours}/norm2", f"{theirs}.norm2"
    yield f"{ours}/gain1", f"{theirs}.layer_scale1.lambda1"
    yield f"{ours}/gain2", f"{theirs}.layer_scale2.lambda1"


TIMM = NameTable("torch", _timm, ignored=(r"head\..*", "mask_token"))
CLIP = NameTable("torch", _clip, ignored=(r"text_.*", r"visual_projection\.weight", "logit_scale", r".*position_ids"))
DINOV2 = NameTable("torch", _dinov2, ignored=(r"embeddings\.mask_token",))
DINOV2_REGISTERS = dataclasses.replace(DINOV2, names=_dinov2_registers, prepared=_token_placed)
DINOV3 = NameTable("torch", _dinov3, ignored=(r"embeddings\.mask_token",), zero=(r".*\.attention\.[qv]_proj\.bias",))

_SMALL = Spec(
    name="vit_small",
    build=ViT,
    input_size=224,
    channels=384,
    width=384,
    stages=STAGES,
    mean=HALF,
    std=HALF,
    source="timm vit_small_patch16_224, ImageNet-21k then 1k (Steiner et al. 2021, arXiv:2106.10270)",
    licence="Apache-2.0",
    published=timm("vit_small_patch16_224.augreg_in21k_ft_in1k"),
    name_tables=(TIMM,),
    token=True,
)
_BASE = dataclasses.replace(
    _SMALL,
    name="vit_base",
    channels=768,
    width=768,
    source="timm vit_base_patch16_224, ImageNet-21k then 1k (Steiner et al. 2021, arXiv:2106.10270)",
    published=timm("vit_base_patch16_224.augreg2_in21k_ft_in1k"),
)
_DINO = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "source": "DINO, ImageNet-1k without labels (arXiv:2104.14294)"}
_CLIP = dataclasses.replace(
    _BASE,
    name="vit_base_clip",
    build=functools.partial(ViT, pre_norm=True, activation=quick_gelu, epsilon=1e-5),
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    source="CLIP's image tower, 400 million image-text pairs (Radford et al. 2021, arXiv:2103.00020)",
    licence="MIT (openai/CLIP)",
    published=timm("vit_base_patch16_clip_224.openai"),
    name_tables=(TIMM, CLIP),
)
_V2 = functools.partial(ViT, patch=14, grid=37, gain=1e-5)
_DINOV2 = dataclasses.replace(
    _BASE,
    name="vit_base_dinov2",
    build=_V2,
    input_size=518,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    source="DINOv2, LVD-142M without labels, distilled from ViT-g (Oquab et al. 2023, arXiv:2304.07193)",
    published=timm("vit_base_patch14_dinov2.lvd142m"),
    name_tables=(TIMM, DINOV2),
)
_REGISTERS = dataclasses.replace(
    _DINOV2,
    name="vit_base_dinov2_reg4",
    build=functools.partial(_V2, registers=4, positions="patches"),
    source="DINOv2 with registers, LVD-142M without labels (Darcet et al. 2024, arXiv:2309.16588)",
    published=timm("vit_base_patch14_reg4_dinov2.lvd142m"),
    name_tables=(TIMM, DINOV2_REGISTERS),
)
_V3 = functools.partial(ViT, registers=4, positions="rotary", biased=False, gain=1e-5, epsilon=1e-5)
_DINOV3 = dataclasses.replace(
    _DINOV2,
    name="vit_base_dinov3",
    build=_V3,
    input_size=256,
    source="DINOv3, LVD-1689M without labels, distilled from ViT-7B (Simeoni et al. 2025, arXiv:2508.10104)",
    licence="DINOv3 License (Meta; its own terms)",
    published=timm("vit_base_patch16_dinov3.lvd1689m"),
    name_tables=(TIMM, DINOV3),
)


def _large(base: Spec, name: str, file: str, **changes) -> Spec:
    """The large sibling: 24 blocks of 1024 channels."""
    build = functools.partial(base.build, blocks=6, **changes)
    return dataclasses.replace(base, name=name, build=build, published=timm(file), channels=1024, width=1024)


SPECS = (
    _SMALL,
    _BASE,
    dataclasses.replace(_SMALL, name="vit_small_dino", published=timm("vit_small_patch16_224.dino"), **_DINO),
    dataclasses.replace(_BASE, name="vit_base_dino", published=timm("vit_base_patch16_224.dino"), **_DINO),
    _CLIP,
    _large(_CLIP, "vit_large_clip", "vit_large_patch14_clip_224.openai", patch=14, grid=16),
    _DINOV2,
    _large(_DINOV2, "vit_large_dinov2", "vit_large_patch14_dinov2.lvd142m"),
    _REGISTERS,
    _large(_REGISTERS, "vit_large_dinov2_reg4", "vit_large_patch14_reg4_dinov2.lvd142m"),
    _DINOV3,
    _large(_DINOV3, "vit_large_dinov3", "vit_large_patch16_dinov3.lvd1689m"),
)
