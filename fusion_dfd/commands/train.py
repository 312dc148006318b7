"""Train a detector, score the test split, write the report. Run again, it continues.

fusion-dfd train --config fusion.py [--config.optim.lr=3e-4 ...]
fusion-dfd train --config fusion.py --process I/N@HOST:PORT       as process I of N, see docs/SCALE.md
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import configurations

STOPPED = 75
"""Exit code of one of several processes that were stopped (sysexits' EX_TEMPFAIL): a cluster shall start all again."""


def define(values: flags.FlagValues) -> None:
    configurations.define_config(values)
    flags.DEFINE_string(
        "process", None, "one of several: auto (Slurm, MPI, Kubernetes), or I/N@HOST:PORT", flag_values=values
    )


def main(_: list[str], given: flags.FlagValues) -> int:
    config = given.config.validate()  # before the imports that take seconds
    from fusion_dfd.runs import experiment
    from fusion_dfd.training import distributed

    with distributed.joined(given.process):
        result = experiment.run(config)
    if result.report:
        print(f"run:    {result.workdir}\nreport: {result.report}")
    return STOPPED if given.process and not result.finished else 0
