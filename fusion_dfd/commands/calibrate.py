"""Fit a run's calibration and threshold again, to the val split of prepared shards.

fusion-dfd calibrate --checkpoint runs/fusion --data SHARDS

Training does this by itself; the run's options evaluate.calibration, target and abstain say how.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("checkpoint", None, source.RUN, required=True, flag_values=values)
    flags.DEFINE_string("data", None, source.SHARDS, required=True, flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.runs.references import calibrate_run
    from fusion_dfd.runs.run import Run

    print(calibrate_run(Run(given.checkpoint), given.data).sentence())
