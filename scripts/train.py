"""Train a detector, score the test split, write the report.

python scripts/train.py --config fusion.py [--config.optim.lr=3e-4 ...]
"""

from fusion_dfd import cli

CONFIG = cli.define_config()


def main(_: list[str]) -> None:
    config = CONFIG.value.validate()  # before the imports that take seconds
    from fusion_dfd.training import experiment

    result = experiment.run(config)
    if result.report:
        print(f"run:    {result.workdir}\nreport: {result.report}")


if __name__ == "__main__":
    cli.run(main)
