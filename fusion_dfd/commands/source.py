"""The flags that several commands share: a data set on disk, the faces in it, and runs."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from fusion_dfd import options
from fusion_dfd.config import SEEDS, Config, ConfigError, Data, Faces
from fusion_dfd.datasets import faceforensics, registry
from fusion_dfd.types import Video

RUN = "run folder, as train printed it, or exported folder"
MOST_PROCESSES = 1024
"""Upper bound of every flag ``--workers``."""
SHARDS = "folder of shards, as prepare or train wrote it"

_DEFINE = {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float, bool: flags.DEFINE_bool}


def define_dataset(values: flags.FlagValues, several: bool = False) -> None:
    """``--dataset --root --splits`` and the options of the adapters; with ``several``, ``--root`` may be repeated."""
    names = ", ".join(registry.ADAPTERS)
    flags.DEFINE_string("dataset", faceforensics.NAME, f"which data set: {names}", flag_values=values)
    define = flags.DEFINE_multi_string if several else flags.DEFINE_string
    define("root", None, "folder of the data set (folder: also a .zip or .csv)", required=True, flag_values=values)
    flags.DEFINE_string("splits", None, "file of the splits to keep to; written if it is not there", flag_values=values)
    for name, (kind, meaning) in registry.OPTIONS.items():
        bounds = {"lower_bound": 0, "upper_bound": SEEDS} if kind is int else {}  # the only number is a seed
        _DEFINE.get(kind, flags.DEFINE_list)(name, None, meaning, flag_values=values, **bounds)


def open_dataset(values: flags.FlagValues) -> list[Video]:
    """The videos, see :func:`fusion_dfd.datasets.registry.open_dataset`. Raises ConfigError and DataError."""
    *others, root = values.root if isinstance(values.root, list) else [values.root]
    if others:
        raise ConfigError(f"--root {others[0]} and --root {root}: give one, or --protocol with the name of a table")
    return registry.open_dataset(values.dataset, root, values.splits, **adapter_options(values))


def adapter_options(values: flags.FlagValues) -> dict[str, Any]:
    """The options of adapters that were given. Raises ConfigError."""
    given = {name: values[name].value for name in registry.OPTIONS if values[name].value is not None}
    return {name: _converted(name, value) for name, value in given.items()}


def define_faces(values: flags.FlagValues) -> None:
    """A flag for every option of the section ``faces`` of a configuration."""
    for one in options.walk(Faces()):
        define = _DEFINE.get(type(one.value), flags.DEFINE_list)
        define(one.name, one.value, one.described, flag_values=values)
    whole = "want whole numbers, comma-separated"
    flags.register_validator("anchors", lambda sides: all(map(str.isdecimal, sides)), whole, flag_values=values)


def read_faces(values: flags.FlagValues) -> Faces:
    """The options, checked. Raises ConfigError."""
    given = {field.name: values[field.name].value for field in dataclasses.fields(Faces)}
    faces = Faces(**given | {"anchors": tuple(map(int, given["anchors"]))})
    Config(faces=faces, data=Data(dir="")).validate()
    return faces


def define_workers(values: flags.FlagValues, least: int) -> None:
    """``--workers``, at least 0 where the command can work without other processes."""
    text = "processes; default: one per core"
    flags.DEFINE_integer("workers", None, text, least, MOST_PROCESSES, flag_values=values)


def numbers(name: str, words: Sequence[str], kind: type = int) -> tuple:
    """The numbers of a flag that takes several by commas. Raises ConfigError."""
    try:
        return tuple(map(kind, words))
    except ValueError as error:
        raise ConfigError(f"{name}={','.join(words):.100}: want numbers, by commas") from error


def _converted(name: str, value):
    """A flag's value as the adapters take it."""
    if not isinstance(value, list):
        return value
    return numbers(name, value, typing.get_args(registry.OPTIONS[name][0])[0])
