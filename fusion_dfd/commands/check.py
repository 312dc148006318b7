"""Look into every file of a data set before hours are spent. Exit code 1 when any is bad.

fusion-dfd check --dataset folder --root DIR --out CHECK

Prints a table; writes a page with pictures, and bad_files.txt.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    source.define_dataset(values)
    flags.DEFINE_string("out", None, "folder of the page; made if missing", required=True, flag_values=values)
    source.define_workers(values, 1)


def main(_: list[str], given: flags.FlagValues) -> int:
    from fusion_dfd.quality.check import check

    return int(bool(check(source.open_dataset(given), given.out, given.workers)))
