"""Score videos with a trained run.

fusion-dfd predict PATH [PATH ...] --checkpoint runs/fusion [--report DIR] [--engine onnx] [--json | --csv] [--sign KEY]

PATH is a video, a folder, a pattern in quotes, or - for a list of paths on standard input.
Exit code: 0 all real, 10 at least one fake, 11 no fake but some without a verdict, 1 and 2 errors.
"""

from __future__ import annotations

import sys

from absl import flags, logging

from fusion_dfd import config
from fusion_dfd.commands import source
from fusion_dfd.predict import video_paths

WORDS = "PATH"
ENGINES = ("auto", "jax", "onnx")


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("checkpoint", None, source.RUN, required=True, flag_values=values)
    most = "most clips taken from a video, spread evenly over it; 0 = all"
    flags.DEFINE_integer("clips", 16, most, lower_bound=0, flag_values=values)
    flags.DEFINE_enum("engine", "auto", ENGINES, "what runs the model; onnx: of an exported folder", flag_values=values)
    people = "who speaks for a video of several people: max, the most suspicious; first, the main one"
    flags.DEFINE_enum("tracks", "max", config.TRACKS, people, flag_values=values)
    flags.DEFINE_bool("json", False, "print one JSON object per line", flag_values=values)
    flags.DEFINE_bool("csv", False, "print a table of comma-separated values", flag_values=values)
    flags.DEFINE_string("report", None, "folder for a page per video that explains its verdict", flag_values=values)
    key = "file of an Ed25519 key that signs every verdict (extra sign)"
    flags.DEFINE_string("sign", None, key, flag_values=values)


def main(words: list[str], given: flags.FlagValues) -> int:
    paths = video_paths.expand(words, sys.stdin)  # before the imports that take seconds
    from fusion_dfd.explain.page import Pages
    from fusion_dfd.predict import detector, signing, terminal

    sign = signing.signer(given.sign) if given.sign else None
    form = "json" if given.json else "csv" if given.csv else "table"
    loaded = detector.load(given.checkpoint, given.clips, given.engine, given.tracks)
    loaded.sign = sign
    for sentence in loaded.rules.warnings:
        logging.warning(sentence)
    pages = Pages(loaded, given.report) if given.report else None
    code = terminal.report((pages or loaded).predict_many, paths, form)
    # Programs that read verdicts from standard output find nothing else there.
    if pages:
        print(pages.entrance, file=sys.stdout if form == "table" else sys.stderr)
    return code
