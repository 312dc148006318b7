"""The process in which HDF5 files are read: the library behind h5py crashes on some damaged files and spins on others.

One process reads one file. It imports numpy and h5py alone, so that it starts quickly. Layouts:
keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py.
"""

from __future__ import annotations

import collections
import io
import json
import os
import re
import zipfile

import numpy as np

from fusion_dfd import process_limits

REMEDY = "take the file from its source again"
MEMORY = 1 << 30
"""Bytes that the process may take beside the file and its arrays."""
EXPANSION = 20
"""Most bytes of all arrays, as a multiple of the file's."""
HARMLESS = 1 << 28
"""Bytes of arrays that may be read whatever the multiple is."""
_AUTOMATIC = re.compile(r"(conv(?:olution)?2d|batch_?normalization)(?:_(\d+))?")


def send(path: str, seconds: float, channel: int) -> None:
    """Read a Keras model and write it to the open file of number ``channel``.

    A line of JSON comes first. It is ``{"refused": REASON}``, or ``{"models": {WRAPPER: {NAME: [DTYPE, SHAPE]}}}`` with
    the names that :func:`fusion_dfd.weights.keras_file.read_nested` gives. The bytes of each array follow. The process
    is ended after ``seconds`` of processor time.
    """
    process_limits.harmless()
    process_limits.bound_time(seconds)
    models = {}
    try:
        models = _models(path)
        said = {
            "models": {
                wrapper: {name: [one.dtype.str, one.shape] for name, one in arrays.items()}
                for wrapper, arrays in models.items()
            }
        }
        if not any(models.values()):
            said = {"refused": "names no layers; save the model as .keras, or by model.save as .h5"}
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "no HDF5 file"  # h5py puts a paragraph into strerror
        said = {"refused": f"cannot be read ({reason}), check the path or {REMEDY}"}
    except Exception as error:  # whatever a file does to h5py, it is the file that is at fault
        said = {"refused": f"no complete Keras model ({type(error).__name__}), {REMEDY}"}
    with open(channel, "wb") as answer:
        answer.write(json.dumps(said).encode() + b"\n")
        for arrays in models.values():
            for array in arrays.values():
                answer.write(array.tobytes())


def _models(path: str) -> dict[str, dict[str, np.ndarray]]:
    import h5py

    size = os.path.getsize(path)
    process_limits.bound_memory(process_limits.address_space(), MEMORY + 2 * max(HARMLESS, EXPANSION * size))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            content = archive.read("model.weights.h5")
            with h5py.File(io.BytesIO(content)) as file:
                _check(file, len(content))
                found = _archived(file["layers"], layers)
    else:
        with h5py.File(path) as file:
            _check(file, size)
            found = _legacy(file.get("model_weights", file))
    named = {wrapper: _by_name(layers) for wrapper, layers in found.items()}
    if any(array.dtype.kind not in "biufc" for arrays in named.values() for array in arrays.values()):
        raise TypeError("values that are no numbers")
    return named


def _check(file, size: int) -> None:
    """Raises ValueError where a file of ``size`` bytes names other files, or its arrays would be far larger than it."""
    import h5py

    total, groups, seen = 0, [file], set()
    while groups:
        group = groups.pop()
        if hash(group.id) in seen:
            continue
        seen.add(hash(group.id))
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError("a link")  # a soft one may lead to an external one
            item = group[name]
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise ValueError("values in other files")
                total += item.nbytes
            if total > max(HARMLESS, EXPANSION * size):
                raise ValueError(total)


Layers = dict[str, dict[str, list[np.ndarray]]]
"""Arrays in order, by name of the layer, by name of the layer that wraps their model (``""`` for none)."""


def _legacy(root) -> Layers:
    found: Layers = {"": {}}
    for layer in _strings(root, "layer_names"):
        arrays = [(name.split("/"), root[layer][name][()]) for name in _strings(root[layer], "weight_names")]
        inner = {path[-2] for path, _ in arrays if len(path) > 1}
        if len(inner) < 2 or any(name.endswith("_cell") for name in inner):
            found[""][layer] = [array for _, array in arrays]
            continue
        found[layer] = {}
        for path, array in arrays:
            found[layer].setdefault(path[-2], []).append(array)
    return found


def _strings(group, name: str) -> list[str]:
    """An attribute that is a list of strings; Keras splits a long one into numbered attributes."""
    parts = [name] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(f"{name}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _archived(groups, layers: list[dict]) -> Layers:
    """``layers`` of the model's configuration say the names of the numbered groups."""
    found: Layers = {"": {}}
    seen: collections.Counter[str] = collections.Counter()
    for layer in layers:
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", layer["class_name"])).lower()
        group, name = f"{kind}_{seen[kind]}" if seen[kind] else kind, layer["config"]["name"]
        seen[kind] += 1
        if group not in groups:
            found[""][name] = []
            continue
        within, options = groups[group], layer["config"]
        if "layer" in within and isinstance(options.get("layer"), dict):  # a wrapper, such as TimeDistributed
            within, options = within["layer"], options["layer"]["config"]
        if "layers" in within and "layers" in options:
            found[name] = _archived(within["layers"], options["layers"])[""]
        else:
            found[""][name] = _stored(within.get("cell", within))
    return found


def _stored(group) -> list[np.ndarray]:
    stored = group.get("vars", {})
    return [stored[str(index)][()] for index in range(len(stored))]


def _by_name(found: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by ``layer/position``; layers that Keras named automatically are numbered in order."""
    numbered = collections.defaultdict(list)
    for layer, arrays in found.items():
        if arrays and (match := _AUTOMATIC.fullmatch(layer)):
            kind = "conv2d" if match[1].startswith("conv") else "batch_normalization"
            numbered[kind].append((int(match[2] or 0), layer))
    renamed = {
        layer: f"{kind}#{index}" for kind, layers in numbered.items() for index, (_, layer) in enumerate(sorted(layers))
    }
    return {
        f"{renamed.get(layer, layer)}/{index}": array
        for layer, arrays in found.items()
        for index, array in enumerate(arrays)
    }
