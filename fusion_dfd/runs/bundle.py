"""An exported folder: a trained model without Orbax, as ``fusion-dfd export`` writes it; and how it is read again.

    model.safetensors      weights and BatchNorm statistics, averaged; names are the paths of the model's tree
    config.json            the configuration
    VERIFIED.json          SHA-256 of every file that counts, and what was compared when they were written
    ...                    programs, preprocessing.json, what the run knows beside its weights: docs/EXPORT.md

A file whose SHA-256 is another than stated is refused, so that scores always are those of what was exported.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any

import jax
from jax.sharding import Sharding

from fusion_dfd import config as c
from fusion_dfd.models import old_paths
from fusion_dfd.training import state as s
from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
VERIFIED = "VERIFIED.json"


def is_folder(path: str) -> bool:
    """Whether ``path`` is an exported folder rather than a run."""
    return os.path.isfile(os.path.join(path, VERIFIED))


def checked(folder: str) -> dict[str, Any]:
    """What ``VERIFIED.json`` says, once every file it names was found to be the one that was exported.

    Raises DataError for a missing, damaged or changed file.
    """
    path = os.path.join(folder, VERIFIED)
    try:
        facts = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        stated = dict(facts["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error!r}); export again") from error
    for name, digest in stated.items():
        if sha256(os.path.join(folder, name)) != digest:
            raise DataError(
                f"{os.path.join(folder, name)} is not what was exported: its SHA-256 is not the one in {VERIFIED}; "
                "export again, or fetch the folder again"
            )
    return facts


def sha256(path: str) -> str:
    """In hexadecimal. Raises DataError for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); export again") from error


def load(folder: str, sharding: Sharding) -> tuple[c.Config, dict, dict[str, Any]]:
    """Configuration, weights ``{"params", "stats"}`` on the devices, and what ``VERIFIED.json`` says.

    Raises DataError for a folder that is not whole, was changed, or was written by another version.
    """
    facts = checked(folder)
    try:
        config = c.from_json(pathlib.Path(folder, CONFIG).read_text(encoding="utf-8"))
        wanted = s.abstract_variables(config.model)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} was written by another version of fusion_dfd: {error}") from error
    return config, read_weights(folder, wanted, config.model.system, sharding), facts


def read_weights(folder: str, wanted: dict, system: str, sharding: Sharding) -> dict:
    """The weights of a ``system`` in the form of ``wanted``, also where an earlier version wrote them.

    Raises DataError where they are another model's.
    """
    path = os.path.join(folder, WEIGHTS)
    saved, _ = array_files.read_safetensors(path)
    arrays = {old_paths.current_name(name, system): array for name, array in saved.items()}
    shapes = {name: leaf.shape for name, leaf in flatten(wanted).items()}
    found = {name: array.shape for name, array in arrays.items()}
    if shapes != found:
        odd = sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name))
        raise DataError(f"{path}: not the weights of {CONFIG}'s model, {len(odd)} arrays differ, e.g. {odd[0]}")
    tree = jax.tree.unflatten(jax.tree.structure(wanted), [arrays[name] for name in flatten(wanted)])
    return jax.device_put(tree, sharding)


def flatten(tree: dict) -> dict[str, Any]:
    """Leaves by name, the keys of the path between slashes: ``params/backbone/stages/0/1/conv1/kernel``."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {"/".join(str(step.key) for step in path): leaf for path, leaf in leaves}
