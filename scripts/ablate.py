"""Train every non-empty subset of the branches under one budget and print the table.

python scripts/ablate.py --config fusion.py [--seeds 0,1,2]
"""

from absl import flags

from fusion_dfd import cli

CONFIG = cli.define_config()
SEEDS = flags.DEFINE_list("seeds", ["0"], "seeds of each subset, e.g. 0,1,2")


def main(_: list[str]) -> None:
    config = CONFIG.value.validate()  # before the imports that take seconds
    from fusion_dfd.training import ablation

    path = ablation.run(config, tuple(int(seed) for seed in SEEDS.value))
    print(f"table: {path}")


if __name__ == "__main__":
    cli.run(main)
