"""Search for better options on val, and write the best configuration. Wants the extra tune.

fusion-dfd tune --config fusion.py --trials 20 [--space sweep.py] [--sampler gp]
fusion-dfd tune ... --storage postgresql://HOST/DB        several machines on one study
"""

from __future__ import annotations

import os

from absl import flags

from fusion_dfd.commands import configurations


def define(values: flags.FlagValues) -> None:
    configurations.define_config(values)
    text = flags.DEFINE_string
    text("space", "sweep.py", "file with get_space(): options and what they may be", flag_values=values)
    flags.DEFINE_integer(
        "trials", 20, "trials of the whole study", lower_bound=1, upper_bound=100_000, flag_values=values
    )
    text("storage", None, "URL of the study's database; default: study.db in the study's folder", flag_values=values)
    text("sampler", "tpe", "tpe or gp (Bayesian optimisation), or random", flag_values=values)
    text("pruner", "median", "what ends a trial early: median, hyperband or none", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    config = given.config.validate()  # before the imports that take seconds
    from fusion_dfd.runs import search

    root = config.workdir or os.path.join("runs", f"{config.name}-study")
    storage = given.storage or f"sqlite:///{os.path.join(root, 'study.db')}"
    wanted = search.Search(given.trials, storage, given.sampler, given.pruner, config.seed)
    page = search.run(config, configurations.space(given.space), wanted, root)
    print(f"page: {page}\nbest: {os.path.join(root, 'best.py')}")
