"""Print every option of a configuration as Markdown: default, range and meaning.

fusion-dfd options [--config baselines.py:xception_lstm]

docs/OPTIONS.md is what it prints without --config.
"""

from __future__ import annotations

import itertools

from absl import flags

from fusion_dfd.commands import configurations
from fusion_dfd.config import Config
from fusion_dfd.options import Option, walk

_HEAD = """# The options of a configuration

Written by `fusion-dfd options`; the meanings, ranges and defaults stand beside the fields in `fusion_dfd/config.py`
and `fusion_dfd/model_options.py`.
Change one with `--config.section.name=value`, a tuple as `'--config.model.recurrent=(64, 32)'`. Named configurations
(`fusion.py`, `baselines.py`) have defaults of their own: `fusion-dfd options --config fusion.py` prints those.
"""


def define(values: flags.FlagValues) -> None:
    configurations.define_config(values, required=False)


def main(_: list[str], given: flags.FlagValues) -> None:
    print(markdown(given.config or Config()), end="")


def markdown(config: Config) -> str:
    """All options in one table per section."""
    parts = [_HEAD]
    for section, members in itertools.groupby(walk(config), lambda one: one.name.rpartition(".")[0]):
        title = f"## {section}" if section else "## The run"
        parts.append("\n".join([title, "", "| option | default | range | meaning |", "|---|---|---|---|"]))
        parts[-1] += "".join(f"\n{_row(one)}" for one in members) + "\n"
    return "\n".join(parts)


def _row(one: Option) -> str:
    default = repr(one.value) if one.value == "" else str(one.value)
    return f"| `{one.name}` | `{default}` | {one.about.range} | {one.text} |"
