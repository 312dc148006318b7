"""Train a detector, score the test split, write the report.

python scripts/train.py --config fusion.py [--config.optim.lr=3e-4 ...]
python scripts/train.py --config fusion.py --process I/N@HOST:PORT       as process I of N, see docs/SCALE.md
"""

from absl import flags

from fusion_dfd import cli

CONFIG = cli.define_config()
PROCESS = flags.DEFINE_string("process", None, "one of several: auto (Slurm, MPI, Kubernetes), or I/N@HOST:PORT")


STOPPED = 75
"""Exit code of one of several processes that were stopped (sysexits' EX_TEMPFAIL): a cluster shall start all again."""


def main(_: list[str]) -> int:
    config = CONFIG.value.validate()  # before the imports that take seconds
    from fusion_dfd.runs import experiment
    from fusion_dfd.training import distributed

    with distributed.joined(PROCESS.value):
        result = experiment.run(config)
    if result.report:
        print(f"run:    {result.workdir}\nreport: {result.report}")
    return STOPPED if PROCESS.value and not result.finished else 0


if __name__ == "__main__":
    cli.run(main)
