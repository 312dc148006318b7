"""Where a configuration is found, and the flag that names it."""

from __future__ import annotations

import difflib
import os
import runpy
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from fusion_dfd import configs, options
from fusion_dfd.config import Config, ConfigError

PACKAGED = os.path.dirname(configs.__file__)
FLAG = "config"


def define_config(values: flags.FlagValues, required: bool = True) -> None:
    """The ``--config FILE[:VARIANT]`` flag, with ``--config.section.name=value`` for single options."""
    config_flags.DEFINE_config_file(
        FLAG, None, "configuration FILE[:VARIANT], e.g. fusion.py or fusion.py:ffpp", flag_values=values
    )
    if required:
        flags.mark_flag_as_required(FLAG, flag_values=values)


def find_config(name: str) -> str:
    """Resolve ``fusion.py[:variant]``: as given, then in ``configs/`` here, then among the package's.

    Raises:
      ConfigError: nowhere; the message lists the configurations there are.
    """
    path, colon, variant = name.partition(":")
    for folder in ("", "configs", PACKAGED):
        found = os.path.join(folder, path)
        if os.path.isfile(found):
            return found + colon + variant
    known = sorted(one for one in os.listdir(PACKAGED) if one.endswith(".py") and not one.startswith("_"))
    raise ConfigError(f"no configuration {path!r}; there are: {', '.join(known)}")


def resolved(words: Sequence[str]) -> list[str]:
    """The words of a command line with the value of ``--config`` as :func:`find_config` finds it."""
    out, after_flag = [], False
    for word in words:
        if after_flag:
            word = find_config(word)
        elif word.startswith((f"--{FLAG}=", f"-{FLAG}=")):
            flag, _, value = word.partition("=")
            word = f"{flag}={find_config(value)}"
        after_flag = word in (f"--{FLAG}", f"-{FLAG}")
        out.append(word)
    return out


def check_options(words: Sequence[str]) -> None:
    """Refuse ``--config.NAME`` where no option has that name. Raises ConfigError."""
    known = [one.name for one in options.walk(Config())]
    for word in words:
        name = word.lstrip("-").partition("=")[0].partition("[")[0].removeprefix(f"{FLAG}.")
        if word.startswith((f"--{FLAG}.", f"-{FLAG}.")) and name not in known:
            raise ConfigError(f"no option {name}; {meant(name, known) or 'docs/OPTIONS.md lists them'}")


def meant(word: str, known: Sequence[str], before: str = "") -> str:
    """The question whether the nearest of the known words was meant; empty where none is near."""
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {before}{near[0]}?" if near else ""


def named(words: Sequence[str]) -> Config | None:
    """The configuration that ``--config`` names on a resolved command line, before changes; None without the flag."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        flag, _, value = word.partition("=")
        if flag in (f"--{FLAG}", f"-{FLAG}"):
            path, _, variant = (value or after).partition(":")
            return runpy.run_path(path)["get_config"](variant)
    return None


def rows(values: flags.FlagValues, config: Config) -> dict[str, Config]:
    """The rows that the file behind ``--config`` lays out from ``config`` for an ablation; empty where it has none.

    Such a file defines ``get_rows(variant, config)`` beside ``get_config(variant)``.
    """
    path, _, variant = values[FLAG].config_filename.partition(":")
    get_rows = runpy.run_path(path).get("get_rows")
    return get_rows(variant, config) if get_rows else {}


def space(name: str) -> dict:
    """The search space of ``get_space()`` in a file that is found as configurations are. Raises ConfigError."""
    path = find_config(name)
    get_space = runpy.run_path(path).get("get_space")
    if get_space is None:
        raise ConfigError(f"{path} has no get_space(); fusion_dfd/configs/sweep.py shows one")
    return get_space()
