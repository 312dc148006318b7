"""Arrays out of Keras models: the older ``.h5`` (with names of layers) and ``.keras``; read with h5py alone.

Layouts: keras/src/legacy/saving/legacy_h5_format.py and keras/src/saving/saving_lib.py. A ``.weights.h5`` alone names
layers by kind and number; which is which only the configuration in a ``.keras`` tells, so that it is not read.
"""

from __future__ import annotations

import collections
import io
import json
import re
import zipfile

import numpy as np

from fusion_dfd.types import DataError

_AUTOMATIC = re.compile(r"(conv(?:olution)?2d|batch_?normalization)(?:_(\d+))?")
_REMEDY = "take the file from its source again"


def read(path: str) -> dict[str, np.ndarray]:
    """The arrays by layer and place, as in ``block1_conv1/0``: kernel, bias; or scale, bias, mean, variance.

    What an array is called within its layer differs between versions of Keras, the order does not. Layers named by
    kind and number (``conv2d``, ``conv2d_7``) become ``conv2d#0``, ``conv2d#1`` .. in the order of their numbers, which
    is the order they were made in; where the numbers start depends on what else was made before.

    Raises :class:`DataError` for a missing or damaged file, one without names of layers, and where h5py is missing.
    """
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: Keras's files need h5py: pip install 'fusion-dfd[h5]'") from error
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = _layers(json.loads(archive.read("config.json")))
                with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                    found = _archived(file["layers"], names)
        else:
            with h5py.File(path) as file:
                found = _legacy(file.get("model_weights", file))
    except OSError as error:
        reason = error.strerror or "no HDF5 file"
        raise DataError(f"{path}: cannot be read ({reason}), check the path or {_REMEDY}") from error
    except (KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{path}: no whole model of Keras ({type(error).__name__}), {_REMEDY}") from error
    if not found:
        raise DataError(f"{path}: names no layers; save the model as .keras, or by model.save as .h5")
    return _counted(found)


def _legacy(root) -> dict[str, list[np.ndarray]]:
    return {
        layer: [root[layer][name][()] for name in _strings(root[layer], "weight_names")]
        for layer in _strings(root, "layer_names")
    }


def _strings(group, name: str) -> list[str]:
    """An attribute that is a list of strings, which Keras cuts into numbered parts where it is long."""
    parts = [name] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(f"{name}{len(parts)}")
    values = [value for part in parts for value in group.attrs[part]]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _layers(config: dict) -> dict[str, str]:
    """Name of each layer by the name of its group: its class in snake case, numbered within the class."""
    seen: collections.Counter[str] = collections.Counter()
    names = {}
    for layer in config["config"]["layers"]:
        kind = re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", layer["class_name"])).lower()
        names[f"{kind}_{seen[kind]}" if seen[kind] else kind] = layer["config"]["name"]
        seen[kind] += 1
    return names


def _archived(groups, names: dict[str, str]) -> dict[str, list[np.ndarray]]:
    found = {}
    for group, layer in names.items():
        stored = groups[group]["vars"] if group in groups and "vars" in groups[group] else {}
        found[layer] = [stored[str(place)][()] for place in range(len(stored))]
    return found


def _counted(found: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """One array a name, layers that were named automatically by their order."""
    numbered = collections.defaultdict(list)
    for layer, arrays in found.items():
        if arrays and (match := _AUTOMATIC.fullmatch(layer)):
            kind = "conv2d" if match[1].startswith("conv") else "batch_normalization"
            numbered[kind].append((int(match[2] or 0), layer))
    renamed = {
        layer: f"{kind}#{place}" for kind, layers in numbered.items() for place, (_, layer) in enumerate(sorted(layers))
    }
    return {
        f"{renamed.get(layer, layer)}/{place}": array
        for layer, arrays in found.items()
        for place, array in enumerate(arrays)
    }
