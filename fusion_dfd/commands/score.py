"""Score prepared shards with somebody else's detector, a Python callable or an ONNX file. Run again, it continues.

fusion-dfd score --detector mypeer:make --data SHARDS --out DIR [--protocol NAME]
fusion-dfd score --detector onnx:FILE --data SHARDS [--data SHARDS2 ...] [--state size=299 ...] --out DIR

The detector runs in a process of its own. What it must be, and what it may state: docs/EVALUATION.md.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd import config
from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    from fusion_dfd.runs.protocols import PROTOCOLS

    text = flags.DEFINE_string
    text("detector", None, "module:factory, or onnx:FILE", required=True, flag_values=values)
    flags.DEFINE_multi_string("data", None, f"{source.SHARDS}; may be repeated", required=True, flag_values=values)
    text("out", None, "folder of the report; made, or continued", required=True, flag_values=values)
    flags.DEFINE_enum("split", "test", ["train", "val", "test"], "split to score", flag_values=values)
    flags.DEFINE_enum("protocol", None, list(PROTOCOLS), "also fill this table", flag_values=values)
    stated = "NAME=VALUE in place of what the detector states, e.g. size=299; may be repeated"
    flags.DEFINE_multi_string("state", [], stated, flag_values=values)
    most = "at most that many windows of a face, spread evenly; 0 = all"
    flags.DEFINE_integer("windows", 0, most, lower_bound=0, upper_bound=1_000_000, flag_values=values)
    rule = "how the scores of windows become a face's"
    flags.DEFINE_enum("aggregate", "mean_probability", list(config.RULES), rule, flag_values=values)
    flags.DEFINE_enum("tracks", "first", list(config.TRACKS), "how faces become a video's score", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    changes = [word.partition("=") for word in given.state]
    if odd := [f"{name}{sign}{value}" for name, sign, value in changes if not (name and value)]:
        raise config.ConfigError(f"--state {odd[0]}: want NAME=VALUE")
    from fusion_dfd.peers import score
    from fusion_dfd.peers.worker import Setup

    stated = tuple((name, value) for name, _, value in changes)
    every = given.tracks == "max"
    setup = Setup(given.detector, stated, tuple(given.data), given.split, given.windows, every)
    options = config.Evaluate(aggregate=given.aggregate, tracks=given.tracks)
    done = score.score(setup, given.out, options, given.protocol)
    print(f"{done.videos} videos scored, {len(done.failed)} failed")
    print("\n".join(f"report: {path}" for path in done.reports))
