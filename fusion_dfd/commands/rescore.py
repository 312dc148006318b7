"""Write statistics and reports of anyone's tables of scores, CSV or Parquet.

fusion-dfd rescore FILE [FILE2 ...] [--seeds] [--protocol NAME] [--out DIR]

Several tables are compared with the first. FILE may be the folder of a report.
A table has the columns video, label, score and more: docs/EVALUATION.md.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd import config

WORDS = "FILE"


def define(values: flags.FlagValues) -> None:
    from fusion_dfd.runs.protocols import PROTOCOLS

    seeds = "the tables are seeds of one system: mean and spread instead of comparisons"
    flags.DEFINE_bool("seeds", False, seeds, flag_values=values)
    flags.DEFINE_enum("protocol", None, list(PROTOCOLS), "fill this table instead", flag_values=values)
    also = "also write the videos of each table as a score file of dfwb (NAME.scores.csv)"
    flags.DEFINE_bool("dfwb", False, also, flag_values=values)
    rule = "how the scores of windows become a face's"
    flags.DEFINE_enum("aggregate", "mean_probability", list(config.RULES), rule, flag_values=values)
    flags.DEFINE_enum("tracks", "first", list(config.TRACKS), "how faces become a video's score", flag_values=values)
    flags.DEFINE_string("out", "report-scores", "folder of the reports; made if missing", flag_values=values)


def main(words: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.runs import external_scores

    options = config.Evaluate(aggregate=given.aggregate, tracks=given.tracks)
    paths = external_scores.rescore(words, given.out, options, given.protocol, given.seeds, given.dfwb)
    print("\n".join(f"report: {path}" for path in paths))
