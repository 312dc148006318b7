"""Train a detector, score the test split, write the report.

python scripts/train.py --config fusion.py [--config.optim.lr=3e-4 ...]
python scripts/train.py --config fusion.py --process I/N@HOST:PORT       as process I of N, see docs/CLUSTERS.md
"""

from absl import flags

from fusion_dfd import cli

CONFIG = cli.define_config()
PROCESS = flags.DEFINE_string("process", None, "one of several: auto (Slurm, MPI, Kubernetes), or I/N@HOST:PORT")


def main(_: list[str]) -> None:
    config = CONFIG.value.validate()  # before the imports that take seconds
    from fusion_dfd.training import distributed, experiment

    if PROCESS.value:
        distributed.join(PROCESS.value)
    result = experiment.run(config)
    if result.report:
        print(f"run:    {result.workdir}\nreport: {result.report}")


if __name__ == "__main__":
    cli.run(main)
