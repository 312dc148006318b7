"""Score prepared shards with a trained run, or take anyone's scores; write statistics and report.

python scripts/evaluate.py --checkpoint runs/fusion --data SHARDS [--split test] [--out DIR]
python scripts/evaluate.py --checkpoint runs/fusion --data SHARDS --calibrate       from val: temperature, threshold
python scripts/evaluate.py --checkpoint RUN [...] --protocol cross_dataset --data DIR [--data DIR2 ...]
python scripts/evaluate.py --scores FILE [--scores FILE2 ...] [--seeds] [--protocol NAME]       CSV or Parquet
"""

from absl import flags

from fusion_dfd import cli, config
from fusion_dfd.runs import protocols

CHECKPOINT = flags.DEFINE_multi_string("checkpoint", [], "run folder, as train.py printed it")
DATA = flags.DEFINE_multi_string("data", [], "folder of shards, as prepare.py or train.py wrote it")
SCORES = flags.DEFINE_multi_string("scores", [], "table of scores: video,label,score ..., see docs/EVALUATION.md")
SPLIT = flags.DEFINE_enum("split", "test", ["train", "val", "test"], "split to score")
CALIBRATE = flags.DEFINE_bool("calibrate", False, "fit the run's calibration and threshold to val again")
PROTOCOL = flags.DEFINE_enum("protocol", None, list(protocols.PROTOCOLS), "fill this table instead")
SEEDS = flags.DEFINE_bool("seeds", False, "the tables of scores are seeds of one system: mean and spread")
AGGREGATE = flags.DEFINE_enum("aggregate", "mean_probability", list(config.RULES), "of --scores: clips to faces")
TRACKS = flags.DEFINE_enum("tracks", "first", list(config.TRACKS), "of --scores: faces to videos")
OUT = flags.DEFINE_string("out", None, "folder of the report; default report-... in the run, or report-scores")


def main(_: list[str]) -> None:
    cli.check_evaluation(CHECKPOINT.value, DATA.value, SCORES.value, PROTOCOL.value, CALIBRATE.value)
    out = OUT.value or "report-scores"
    if SCORES.value:
        from fusion_dfd.runs import external_scores

        options = config.Evaluate(aggregate=AGGREGATE.value, tracks=TRACKS.value)
        made = external_scores.publish(SCORES.value, out, options, PROTOCOL.value, SEEDS.value)
    else:
        from fusion_dfd.runs import experiment

        made = experiment.publish(CHECKPOINT.value, DATA.value, SPLIT.value, OUT.value, PROTOCOL.value, CALIBRATE.value)
    print("\n".join(f"report: {path}" for path in made))


if __name__ == "__main__":
    cli.run(main)
