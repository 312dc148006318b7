"""Score a split of prepared shards with a trained run, and write scores, metrics and report.

python scripts/evaluate.py --checkpoint runs/fusion --data SHARDS [--split test] [--out DIR]
"""

import os

from absl import flags

from fusion_dfd import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "run folder, as train.py printed it", required=True)
DATA = flags.DEFINE_string("data", None, "folder of shards, as prepare.py or train.py wrote it", required=True)
SPLIT = flags.DEFINE_enum("split", "test", ["train", "val", "test"], "split to score")
OUT = flags.DEFINE_string("out", None, "folder of the report; default <checkpoint>/report-<data>-<split>")


def main(_: list[str]) -> None:
    from fusion_dfd.training import experiment

    name = os.path.basename(os.path.normpath(DATA.value))
    out = OUT.value or os.path.join(CHECKPOINT.value, f"report-{name}-{SPLIT.value}")
    result = experiment.evaluate_run(CHECKPOINT.value, DATA.value, SPLIT.value, out)
    print(f"report: {result.report}")


if __name__ == "__main__":
    cli.run(main)
