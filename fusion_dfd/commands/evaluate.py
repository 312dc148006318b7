"""Score prepared shards with a trained run; write statistics and report.

fusion-dfd evaluate --checkpoint runs/fusion --data SHARDS [--split test] [--out DIR]

The run's calibration is used where it has one; nothing is chosen here.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("checkpoint", None, source.RUN, required=True, flag_values=values)
    flags.DEFINE_string("data", None, source.SHARDS, required=True, flag_values=values)
    flags.DEFINE_enum("split", "test", ["train", "val", "test"], "split to score", flag_values=values)
    flags.DEFINE_string("out", None, "folder of the report; default: report-DATA-SPLIT in the run", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.runs.evaluation import evaluate_run
    from fusion_dfd.runs.run import Run

    print(f"report: {evaluate_run(Run(given.checkpoint), given.data, given.split, given.out).report}")
