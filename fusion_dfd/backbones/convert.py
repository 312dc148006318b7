"""Published weights as our arrays, by a table of names per family and library; each name is matched exactly once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from flax import nnx

from fusion_dfd.backbones.conv import Conv, Depthwise
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.types import DataError

Arrays = Mapping[str, np.ndarray]

_COUNTERS = (r".*\.num_batches_tracked",)
"""Arrays of PyTorch's BatchNorm that we do not use."""


class Source(NamedTuple):
    """Where one of our arrays comes from."""

    name: str
    """Of the published array; with ``{a,b}`` in it, of several that are joined along their first axis."""
    axes: tuple[int, ...] | None = None
    """Order of the published array's axes in ours; None if it is the same but for leading axes of one."""

    @property
    def names(self) -> tuple[str, ...]:
        before, _, rest = self.name.partition("{")
        inside, _, after = rest.partition("}")
        return tuple(f"{before}{one}{after}" for one in inside.split(","))


@dataclasses.dataclass(frozen=True)
class NameTable:
    """How a library names and stores the weights of one family."""

    library: str
    """``torch`` (also for timm and torchvision) or ``keras``."""
    names: Callable[[nnx.Module], Iterable[tuple[str, str]]]
    """``names(net)`` yields, for each of our layers with weights, its path (``stages/0/1/conv2``) and the library's
    name. For Keras, ``layer/1`` means that ours begins with the second array of that layer."""
    ignored: tuple[str, ...] = ()
    """Regular expressions for names that are not part of a backbone, such as the classifier."""
    zero: tuple[str, ...] = ()
    """Regular expressions for names of arrays that we do not have because they are all zeros."""
    scaled: bool = True
    """False if the library's BatchNorm has no scale; then ours is 1."""
    flipped: str = ""
    """Path of our kernel whose inputs are R, G, B where the library's are B, G, R; ``""`` if there is none."""
    prepared: Callable[[Arrays], Arrays] = dict
    """A file's arrays by the same names, where ours are cut otherwise."""

    def sources(self, net: nnx.Module) -> dict[str, Source | None]:
        """For every array of ``net``, by path, where it comes from; None if it is all ones."""
        rules, found = _RULES[self.library], {}
        for path, name in self.names(net):
            layer = _at(net, path)
            for array, source in rules(layer, name, self.scaled):
                key = f"{path}/{array}".rstrip("/")
                if key in found:
                    raise ValueError(f"{key} is in the table twice")
                found[key] = source
        return found


def convert(
    arrays: Arrays, net: nnx.Module, whole: nnx.Module, name_tables: Iterable[NameTable], where: str
) -> dict[str, np.ndarray]:
    """Our arrays, float32 by path (``stages/0/0/conv1/kernel``), from a file's.

    Args:
      arrays: by the names of one of ``name_tables``, or by our own paths.
      net: the network that they are for, abstract or not.
      whole: the same network with all its stages; the file may contain those too.
      where: the file, for messages.

    Raises :class:`DataError`, which lists every array that is missing, unexpected, of another shape or not finite.
    """
    tables = [(table, table.sources(whole)) for table in (*name_tables, _OURS)]
    best, sources = max(tables, key=lambda table: len(_names(table[1]) & arrays.keys()))
    arrays = best.prepared(arrays)
    taken = {path: _take(arrays, sources[path], leaf.shape) for path, leaf in leaves(net).items()}
    wrong = [problem for _, problem in taken.values() if problem]
    known = _names(sources)
    odd = {one: array for one, array in arrays.items() if one not in known and not _any(one, best.ignored + _COUNTERS)}
    empty = {one for one, array in odd.items() if _any(one, best.zero) and not np.any(array)}
    wrong += [f"{one} is {'not zero' if _any(one, best.zero) else 'unexpected'}" for one in sorted(odd.keys() - empty)]
    if wrong:
        raise DataError(f"{where}: not this backbone's weights, {len(wrong)} arrays differ: {'; '.join(wrong)}")
    found = {path: array for path, (array, _) in taken.items()}
    if best.flipped:
        found[best.flipped] = np.ascontiguousarray(found[best.flipped][:, :, ::-1])
    return found


def leaves(net: nnx.Module) -> dict[str, nnx.Variable]:
    """Parameters and statistics of a module by path."""
    return {name(path): leaf for path, leaf in nnx.to_flat_state(nnx.state(net))}


def name(path: tuple[str | int, ...]) -> str:
    """A path within a state as text."""
    return "/".join(map(str, path))


def _names(sources: dict[str, Source | None]) -> set[str]:
    return {name for source in sources.values() if source for name in source.names}


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _take(arrays: Arrays, source: Source | None, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """One of our arrays, and what is wrong with it or ``""``."""
    if source is None:
        return np.ones(shape, np.float32), ""
    if missing := [one for one in source.names if one not in arrays]:
        return None, f"{' and '.join(missing)} is missing"
    parts = [np.asarray(arrays[one]) for one in source.names]
    if len({part.shape for part in parts}) > 1:
        return None, f"{source.name} have the shapes {', '.join(str(part.shape) for part in parts)}, want one shape"
    array = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if source.axes is None and array.ndim < len(shape):
        array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
    axes = source.axes or tuple(range(array.ndim))
    if array.ndim != len(axes) or tuple(array.shape[axis] for axis in axes) != shape:
        want = list(shape)
        for place, axis in enumerate(axes[: len(shape)]):
            want[axis] = shape[place]
        return None, f"{source.name} has the shape {array.shape}, want {tuple(want)}"
    if not np.isfinite(array).all():
        return None, f"{source.name} holds values that are not finite"
    return np.ascontiguousarray(array.transpose(axes), np.float32), ""


def _at(net: nnx.Module, path: str):
    """The submodule or variable at a path."""
    for step in path.split("/"):
        net = net[int(step)] if step.isdigit() else net[step] if isinstance(net, nnx.Dict) else getattr(net, step)
    return net


def _torch(layer, name: str, scaled: bool) -> Iterator[tuple[str, Source]]:
    if isinstance(layer, BatchNorm):
        kinds = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
        yield from ((ours, Source(f"{name}.{theirs}")) for ours, theirs in kinds.items())
    elif isinstance(layer, nnx.LayerNorm):
        yield "scale", Source(f"{name}.weight")
        yield "bias", Source(f"{name}.bias")
    elif isinstance(layer, nnx.Variable):
        yield "", Source(name)
    else:
        yield "kernel", Source(f"{name}.weight", (1, 0) if layer.kernel.ndim == 2 else (2, 3, 1, 0))
        if isinstance(getattr(layer, "bias", None), nnx.Variable):
            yield "bias", Source(f"{name}.bias")


def _keras(layer: Conv | Depthwise | BatchNorm, name: str, scaled: bool) -> Iterator[tuple[str, Source | None]]:
    name, _, start = name.partition("/")
    start = int(start or 0)
    if isinstance(layer, BatchNorm):
        kinds = ["scale", "bias", "mean", "var"] if scaled else ["bias", "mean", "var"]
        if not scaled:
            yield "scale", None
    else:
        kinds = ["kernel", "bias"] if getattr(layer, "has_bias", False) else ["kernel"]
    axes = (0, 1, 3, 2) if isinstance(layer, Depthwise) else None
    for place, kind in enumerate(kinds, start):
        yield kind, Source(f"{name}/{place}", axes)


_RULES = {"torch": _torch, "keras": _keras}
_OURS = NameTable("torch", lambda net: ((path, path) for path in leaves(net)))
"""Our own paths, array by array."""
