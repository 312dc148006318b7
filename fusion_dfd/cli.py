"""What the scripts share: where a configuration is found, and how errors reach a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from fusion_dfd.config import ConfigError
from fusion_dfd.types import DataError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def define_config() -> config_flags.ConfigFlag:
    """The ``--config FILE[:VARIANT]`` flag, with ``--config.section.name=value`` for single options."""
    holder = config_flags.DEFINE_config_file("config", None, "configuration, e.g. fusion.py or fusion.py:ffpp")
    flags.mark_flag_as_required("config")
    return holder


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


def _guarded(main: Callable[[list[str]], int | None], words: list[str]) -> int:
    logging.set_verbosity(logging.WARNING)  # Orbax tells its whole life at INFO
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
