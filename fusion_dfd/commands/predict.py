"""Score videos with a trained run.

fusion-dfd predict PATH [PATH ...] --checkpoint runs/fusion [--report DIR] [--engine onnx] [--json | --csv] [--sign KEY]
fusion-dfd predict FOLDER --checkpoint runs/fusion --out results.csv [--workers N]

PATH is a video, a folder, a pattern in quotes, or - for a list of paths on standard input.
With --out, the exit code is that of all verdicts in the file.
Exit code: 0 all real, 10 at least one fake, 11 no fake but some without a verdict, 1 and 2 errors.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from typing import TYPE_CHECKING

from absl import flags, logging

from fusion_dfd import config
from fusion_dfd.commands import source
from fusion_dfd.predict import video_paths

if TYPE_CHECKING:
    from fusion_dfd.predict.detector import DeepfakeDetector
    from fusion_dfd.predict.terminal import PredictMany

WORDS = "PATH"
MOST = 1_000_000
"""Clips that may be asked for."""
ENGINES = ("auto", "jax", "onnx")


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("checkpoint", None, source.RUN, required=True, flag_values=values)
    most = "most clips taken from a video, spread evenly over it; 0 = all"
    flags.DEFINE_integer("clips", 16, most, lower_bound=0, upper_bound=MOST, flag_values=values)
    flags.DEFINE_enum("engine", "auto", ENGINES, "what runs the model; onnx: of an exported folder", flag_values=values)
    people = "who speaks for a video of several people: max, the most suspicious; first, the main one"
    flags.DEFINE_enum("tracks", "max", config.TRACKS, people, flag_values=values)
    flags.DEFINE_bool("json", False, "print one JSON object per line", flag_values=values)
    flags.DEFINE_bool("csv", False, "print a table of comma-separated values", flag_values=values)
    flags.DEFINE_string("report", None, "folder for a page per video that explains its verdict", flag_values=values)
    out = "results.jsonl, .csv or .parquet: keeps verdicts as they come; the same command continues (docs/PREDICT.md)"
    flags.DEFINE_string("out", None, out, flag_values=values)
    several = "processes that score videos side by side on the CPU; 0 scores in this one"
    flags.DEFINE_integer("workers", 0, several, lower_bound=0, upper_bound=source.MOST_PROCESSES, flag_values=values)
    key = "file of an Ed25519 key that signs every verdict (extra sign)"
    flags.DEFINE_string("sign", None, key, flag_values=values)


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Opens the detector of a command line, in this process or in a worker."""

    checkpoint: str
    clips: int
    engine: str
    tracks: str
    sign: str | None
    report: str | None

    def load(self) -> DeepfakeDetector:
        from fusion_dfd.predict import detector, signing

        sign = signing.signer(self.sign) if self.sign else None
        loaded = detector.load(self.checkpoint, self.clips, self.engine, self.tracks)
        loaded.sign = sign
        return loaded

    def scoring(self, loaded: DeepfakeDetector) -> PredictMany:
        """What scores videos, and writes their pages where they are asked for."""
        from fusion_dfd.explain import page

        return functools.partial(page.write_many, loaded, self.report) if self.report else loaded.predict_many

    def __call__(self) -> PredictMany:
        return self.scoring(self.load())


def main(words: list[str], given: flags.FlagValues) -> int:
    paths = video_paths.expand(words, sys.stdin)  # before the imports that take seconds
    from fusion_dfd.explain import listing, page
    from fusion_dfd.predict import bulk, terminal

    names = (field.name for field in dataclasses.fields(Scorer))
    scorer = Scorer(**{name: getattr(given, name) for name in names})
    loaded = scorer.load()
    for sentence in loaded.rules.warnings:
        logging.warning(sentence)
    form = "json" if given.json else "csv" if given.csv else "none" if given.out else "table"
    many = scorer.scoring(loaded)
    if given.workers:
        many = functools.partial(bulk.predict_many, scorer, loaded, given.workers)
    page_of = functools.partial(page.place, given.report) if given.report else None
    said = {"page_of": page_of, "detector": f"{loaded.facts.name}, step {loaded.facts.step}, {loaded.facts.digest}"}
    entrance = None
    if given.out:
        kept = bulk.Results(given.out, loaded.facts, loaded.options, functools.partial(listing.write, **said))
        left = kept.remaining(paths)
        if len(left) < len(paths):
            print(f"{len(paths) - len(left)} of {len(paths)} videos are in {kept.lines} already", file=sys.stderr)
        terminal.report(lambda videos, told: kept.keep(many(videos, told)), left, form)
        code, entrance = terminal.code({verdict["verdict"] for verdict in kept}), kept.page
    elif given.report and len(paths) > 1:
        entrance = os.path.join(given.report, listing.INDEX)
        code = terminal.report(lambda videos, told: listing.keep(many(videos, told), entrance, **said), paths, form)
    else:
        code, entrance = terminal.report(many, paths, form), page_of and page_of(paths[0])
    # Programs that read verdicts from standard output find nothing else there.
    if entrance:
        print(entrance, file=sys.stderr if given.json or given.csv else sys.stdout)
    return code
