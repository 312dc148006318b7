"""Render the synthetic data set: talking faces and forgeries of four families.

fusion-dfd sample --root data/sample [--pairs 8,3,3] [--frames 48]

They are laid out as FaceForensics++. A training without --config.data.dir renders it by itself.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd import options
from fusion_dfd.commands import source
from fusion_dfd.config import Config, Synthetic


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("root", None, "folder to write; made if missing", required=True, flag_values=values)
    for one in options.walk(Synthetic()):
        define_one = {int: flags.DEFINE_integer, float: flags.DEFINE_float}.get(type(one.value), flags.DEFINE_list)
        default = one.value if isinstance(one.value, int | float) else [str(count) for count in one.value]
        define_one(one.name, default, one.described, flag_values=values)
    source.define_workers(values, 1)


def main(_: list[str], given: flags.FlagValues) -> None:
    pairs = source.numbers("pairs", given.pairs)
    wanted = Synthetic(given.seed, pairs, given.frames, given.size, given.crf, given.stretch)
    Config(synthetic=wanted).validate()
    from fusion_dfd.synthetic.generate import generate

    print(generate(given.root, wanted, given.workers))
