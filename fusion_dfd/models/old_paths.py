"""What parameters are called now that earlier versions saved under other paths.

The paths of a model's tree are the names in its checkpoints and in ``model.safetensors``. Whoever renames an attribute
that holds parameters adds a line to :data:`RENAMED`, so that what was saved before can still be read. Paths below
``backbone`` have never changed; :mod:`fusion_dfd.backbones.convert` handles the names of published weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import flax
import jax

VERSION = 2
"""Of the paths, written beside every checkpoint. Checkpoints without a version have the paths of version 1."""

_HEAD = {"readout/dense": "head", "readout": "head"}
_RECURRENT = {"summary/layers/#/recurrent": "recurrent/layers/#/recurrent_kernel", "summary": "recurrent"}

RENAMED: dict[str, dict[str, str]] = {
    "fusion": {
        "fusion/project": "fusion/projections",
        "fusion/norm": "fusion/norms",
        "temporal/level": "temporal/level_norm",
        "temporal/change": "temporal/change_norm",
        "temporal/over_time/layers/#/recurrent": "temporal/encoder/layers/#/recurrent_kernel",
        "temporal/over_time/project": "temporal/encoder/projection",
        "temporal/over_time/blocks/#/feed": "temporal/encoder/blocks/#/feed_forward",
        "temporal/over_time": "temporal/encoder",
        "micro/looking": "micro/spatial_attention",
        "micro/per_frame": "micro/input_dense",
        "micro/recurrent/layers/#/recurrent": "micro/recurrent/layers/#/recurrent_kernel",
        "micro/relate": "micro/self_attention",
        "micro/dense": "micro/output_dense",
        "micro/attention": "micro/temporal_attention",
    },
    "sequence": {**_HEAD, **_RECURRENT},
    "flow": {"looking": "attention", **_HEAD, **_RECURRENT},
    "r2plus1d": _HEAD,
    "timesformer": {
        "embed": "patch_embedding",
        "token": "class_token",
        "place": "positions",
        "time": "time_positions",
        "blocks/#/time": "blocks/#/time_attention",
        "blocks/#/space": "blocks/#/space_attention",
        "blocks/#/norm": "blocks/#/feed_forward_norm",
        "blocks/#/feed": "blocks/#/feed_forward",
        **_HEAD,
    },
}
"""By system: the beginning of a path in version 1, and what it is in version 2. ``#`` stands for a number. Of the
entries that fit a path, the first counts."""


def current(tree: Any, system: str) -> Any:
    """Parameters, weights or a whole training state of ``system``, from the paths of version 1 to those of today."""
    return _translated(tree, RENAMED[system])


def former(tree: Any, system: str) -> Any:
    """The inverse of :func:`current`."""
    return _translated(tree, {new: old for old, new in RENAMED[system].items()})


def current_name(path: str, system: str) -> str:
    """:func:`current` for one path, ``params/...`` or ``stats/...``."""
    return "/".join(map(str, _replaced(tuple(path.split("/")), _rules(RENAMED[system]))))


def _rules(table: Mapping[str, str]) -> list[tuple[re.Pattern, str]]:
    number = r"(\d+)"
    return [(re.compile(old.replace("#", number) + "(?=/|$)"), new.replace("#", r"\1")) for old, new in table.items()]


def _translated(tree: Any, table: Mapping[str, str]) -> Any:
    """Every nested dict in the tree with its paths replaced; the containers around it stay as they are."""
    rules = _rules(table)

    def inner(node: Any) -> Any:
        if not isinstance(node, dict):
            return jax.tree.map(lambda part: inner(part) if isinstance(part, dict) else part, node, is_leaf=_is_dict)
        flat = flax.traverse_util.flatten_dict(node, keep_empty_nodes=True)
        empty = flax.traverse_util.empty_node
        return flax.traverse_util.unflatten_dict(
            {_replaced(path, rules): leaf if leaf is empty else inner(leaf) for path, leaf in flat.items()}
        )

    return inner(tree)


def _is_dict(node: Any) -> bool:
    return isinstance(node, dict)


def _replaced(path: tuple, rules: list[tuple[re.Pattern, str]]) -> tuple:
    """The path by the first rule that fits; what the tree calls ``params`` or ``stats`` is not part of it."""
    root, names = (path[:1], path[1:]) if path[0] in ("params", "stats") else ((), path)
    text = "/".join(map(str, names))
    for old, new in rules:
        if match := old.match(text):
            text = match.expand(new) + text[match.end() :]
            return *root, *(int(name) if name.isdigit() else name for name in text.split("/"))
    return path
