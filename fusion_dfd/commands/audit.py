"""Count what a data set holds and search its splits for leaks. Exit code 1 when there are any.

fusion-dfd audit --dataset faceforensics --root DIR [--compression c23] [--splits FILE]
"""

from __future__ import annotations

from absl import flags
from rich import console

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    source.define_dataset(values)


def main(_: list[str], given: flags.FlagValues) -> int:
    from fusion_dfd.datasets.splits import findings, overview

    videos = source.open_dataset(given)
    console.Console().print(overview(videos))
    found = findings(videos)
    print("\n".join(found) or "no leak: no group, source clip or file lies in two splits")
    return int(bool(found))
