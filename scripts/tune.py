"""Search for better options on val, and write the best configuration.

python scripts/tune.py --config fusion.py --trials 20 [--space sweep.py] [--sampler tpe|gp|random]
python scripts/tune.py ... --storage postgresql://HOST/DB        several machines on one study
"""

import os

from absl import flags

from fusion_dfd import cli

CONFIG = cli.define_config()
SPACE = flags.DEFINE_string("space", "sweep.py", "file with get_space(): options and what they may be")
TRIALS = flags.DEFINE_integer("trials", 20, "trials of the whole study", lower_bound=1)
STORAGE = flags.DEFINE_string("storage", None, "URL of the study's database; default: study.db in the study's folder")
SAMPLER = flags.DEFINE_string("sampler", "tpe", "tpe or gp (Bayesian optimisation), or random")
PRUNER = flags.DEFINE_string("pruner", "median", "what ends a trial early: median, hyperband or none")


def main(_: list[str]) -> None:
    config = CONFIG.value.validate()  # before the imports that take seconds
    from fusion_dfd.runs import search as tune

    root = config.workdir or os.path.join("runs", f"{config.name}-study")
    storage = STORAGE.value or f"sqlite:///{os.path.join(root, 'study.db')}"
    search = tune.Search(TRIALS.value, storage, SAMPLER.value, PRUNER.value, config.seed)
    page = tune.run(config, cli.load_space(SPACE.value), search, root)
    print(f"page: {page}\nbest: {os.path.join(root, 'best.py')}")


if __name__ == "__main__":
    cli.run(main)
