"""What the scripts share: where a configuration is found, and how errors reach a person."""

from __future__ import annotations

import dataclasses
import importlib
import os
import runpy
import sys
import typing
from collections.abc import Callable
from logging import Formatter
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from fusion_dfd.config import Config, ConfigError, Data, Faces
from fusion_dfd.datasets import faceforensics, registry
from fusion_dfd.types import DataError, Video

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

COMMANDS = {"predict": "PATH", "serve": None}
"""The commands of ``fusion-dfd`` and what their words are; None for those without."""

_WARNING = Formatter("warning: %(message)s")
"""How a warning reaches a person: without time, process and line."""


def define_config() -> config_flags.ConfigFlag:
    """The ``--config FILE[:VARIANT]`` flag, with ``--config.section.name=value`` for single options."""
    holder = config_flags.DEFINE_config_file("config", None, "configuration, e.g. fusion.py or fusion.py:ffpp")
    flags.mark_flag_as_required("config")
    return holder


@dataclasses.dataclass(frozen=True)
class DatasetFlags:
    """The flags that name a data set on disk: ``--dataset --root --splits`` and the options of the adapters."""

    name: flags.FlagHolder[str]
    root: flags.FlagHolder[str]
    splits: flags.FlagHolder[str]
    options: dict[str, flags.FlagHolder]

    def open(self) -> list[Video]:
        """The videos, see :func:`fusion_dfd.datasets.registry.open_dataset`. Raises ConfigError and DataError."""
        given = {name: flag.value for name, flag in self.options.items() if flag.value is not None}
        options = {name: _converted(name, value) for name, value in given.items()}
        return registry.open_dataset(self.name.value, self.root.value, self.splits.value, **options)


def define_dataset() -> DatasetFlags:
    """Define the flags of :class:`DatasetFlags`."""
    define = {str: flags.DEFINE_string, int: flags.DEFINE_integer}
    names = ", ".join(registry.ADAPTERS)
    return DatasetFlags(
        flags.DEFINE_string("dataset", faceforensics.NAME, f"which data set: {names}"),
        flags.DEFINE_string("root", None, "folder of the data set (folder: also a .zip or .csv)", required=True),
        flags.DEFINE_string("splits", None, "file of the splits to keep to; written if it is not there"),
        {
            name: define.get(kind, flags.DEFINE_list)(name, None, meaning)
            for name, (kind, meaning) in registry.OPTIONS.items()
        },
    )


@dataclasses.dataclass(frozen=True)
class FaceFlags:
    """A flag for every option of ``config.Faces``."""

    holders: dict[str, flags.FlagHolder]

    def read(self) -> Faces:
        """The options, checked. Raises ConfigError."""
        values = {name: holder.value for name, holder in self.holders.items()}
        faces = Faces(**values | {"anchors": tuple(map(int, values["anchors"]))})
        Config(faces=faces, data=Data(dir="")).validate()
        return faces


def define_faces() -> FaceFlags:
    """Define the flags of :class:`FaceFlags`."""
    define = {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float, tuple: flags.DEFINE_list}
    define[bool] = flags.DEFINE_bool
    holders = {
        field.name: define[type(field.default)](
            field.name, field.default, f"option faces.{field.name} of the configuration"
        )
        for field in dataclasses.fields(Faces)
    }
    whole = "want whole numbers, comma-separated"
    flags.register_validator(holders["anchors"], lambda sides: all(map(str.isdecimal, sides)), whole)
    return FaceFlags(holders)


def _converted(name: str, value):
    """A flag's value as the adapters take it."""
    if not isinstance(value, list):
        return value
    kind = typing.get_args(registry.OPTIONS[name][0])[0]
    try:
        return tuple(map(kind, value))
    except ValueError as error:
        raise ConfigError(f"{name}={','.join(value)}: want numbers, by commas") from error


def check_evaluation(
    runs: list[str], folders: list[str], tables: list[str], protocol: str | None, calibrate: bool
) -> None:
    """Whether the flags of ``evaluate.py`` go together. Raises ConfigError."""
    if bool(runs) == bool(tables):
        raise ConfigError("give either --checkpoint RUN with --data SHARDS, or --scores FILE")
    if bool(runs) != bool(folders):
        raise ConfigError("--checkpoint RUN wants --data SHARDS, and --scores FILE does without")
    if max(len(runs), len(folders)) > 1 and not protocol:
        raise ConfigError("several --checkpoint or --data make the rows of a table: say which with --protocol")
    if calibrate and (tables or protocol):
        raise ConfigError("--calibrate wants one --checkpoint and its --data, and no --protocol")


def config_rows(config: Config) -> dict[str, Config]:
    """The rows that the file behind ``--config`` lays out from ``config`` for an ablation; empty where it has none.

    Such a file defines ``get_rows(variant, config)`` beside ``get_config(variant)``.
    """
    path, _, variant = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    get_rows = runpy.run_path(path).get("get_rows")
    return get_rows(variant, config) if get_rows else {}


def load_space(name: str) -> dict:
    """The search space of ``get_space()`` in a file that is found as configurations are. Raises ConfigError."""
    path = find_config(name)
    get_space = runpy.run_path(path).get("get_space")
    if get_space is None:
        raise ConfigError(f"{path} has no get_space(); configs/sweep.py shows one")
    return get_space()


def find_config(name: str) -> str:
    """Resolve ``fusion.py[:variant]``: as given, then in ``configs/`` here, then in this checkout's ``configs/``.

    Raises:
      ConfigError: nowhere; the message lists the configurations there are.
    """
    path, colon, variant = name.partition(":")
    folders = ["", "configs", os.path.join(ROOT, "configs")]
    for folder in folders:
        found = os.path.join(folder, path)
        if os.path.isfile(found):
            return found + colon + variant
    there = sorted(one for one in os.listdir(folders[-1]) if one.endswith(".py")) if os.path.isdir(folders[-1]) else []
    raise ConfigError(f"no configuration {path!r}; there are: {', '.join(there)}")


def run(main: Callable[[list[str]], int | None], arguments: str | None = None) -> None:
    """Parse the command line, call ``main`` with the words that are no flags, exit.

    A user's mistake is one sentence on stderr and exit code 2 (flags, configuration) or 1 (data); Ctrl-C is 130.

    Args:
      main: its result is the exit code; None is 0.
      arguments: what the words are, e.g. ``VIDEO``, of which one at least must be given; None allows no words.
    """
    try:
        argv = _with_config_path(sys.argv)
    except ConfigError as error:
        _fail(error, 2)
    app.run(lambda argv: _guarded(main, argv[1:]), argv=argv, flags_parser=lambda argv: _parse(argv, arguments))


def main() -> None:
    """The program ``fusion-dfd``: its first word names a command of :mod:`fusion_dfd.commands`."""
    words = sys.argv[1:]
    if not words or words[0] not in COMMANDS:
        asked = "" if not words or words[0] in ("-h", "--help", "help") else f"no command {words[0]!r}; "
        _fail(f"{asked}usage: fusion-dfd COMMAND ..., where COMMAND is one of {', '.join(COMMANDS)}", 2)
    sys.argv = [f"fusion-dfd {words[0]}", *words[1:]]
    command(words[0])


def command(name: str) -> None:
    """Run a command of :mod:`fusion_dfd.commands` on the command line, as :func:`run` does."""
    module = importlib.import_module(f"fusion_dfd.commands.{name}")
    sys.modules["__main__"].__doc__ = module.__doc__  # what --help prints
    given = module.define()
    for holder in given.values():  # else --help, which shows those of the main module, would not
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[holder.name])
    run(lambda words: module.main(words, given), COMMANDS[name])


def _guarded(main: Callable[[list[str]], int | None], words: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)  # Orbax tells its whole life at INFO
    logging.get_absl_handler().setFormatter(_WARNING)
    try:
        return main(words) or 0
    except (ConfigError, DataError) as error:
        _fail(error, 2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        _fail("interrupted; what was finished is kept", 130)


def _with_config_path(argv: list[str]) -> list[str]:
    out, after_flag = [], False
    for word in argv:
        if after_flag:
            word = find_config(word)
        elif word.startswith(("--config=", "-config=")):
            flag, _, value = word.partition("=")
            word = f"{flag}={find_config(value)}"
        after_flag = word in ("--config", "-config")
        out.append(word)
    return out


def _parse(argv: list[str], arguments: str | None) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except (flags.Error, KeyError, TypeError, ValueError, AttributeError) as error:
        # ml_collections reports an error inside a configuration file as a whole traceback: its last line says it.
        last = str(error.args[0] if error.args else error).strip().splitlines()[-1]
        _fail(last.removeprefix("fusion_dfd.config.ConfigError: "), 2)
    if len(rest) > 1 and arguments is None:
        _fail(f"unexpected argument {rest[1]!r}; see --help", 2)
    if len(rest) == 1 and arguments is not None:
        _fail(f"give at least one {arguments}; see --help", 2)
    return rest


def _fail(error: object, code: int) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)
