"""Score the test split under perturbations and compression as of social media.

fusion-dfd robustness --checkpoint runs/fusion --data SHARDS [--root VIDEOS] [--only blur,noise] [--out DIR]
fusion-dfd robustness --checkpoint runs/fusion --data SHARDS --frames crops      without the source videos

Seven perturbations at five levels each, and chains of them as social media apply.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source
from fusion_dfd.config import SEEDS


def define(values: flags.FlagValues) -> None:
    text = flags.DEFINE_string
    text("checkpoint", None, source.RUN, required=True, flag_values=values)
    text("data", None, source.SHARDS, required=True, flag_values=values)
    what = "perturb whole frames of the videos, or stored crops"
    flags.DEFINE_enum("frames", "video", ["video", "crops"], what, flag_values=values)
    text("root", None, "folder of the videos; default: where they were when they were prepared", flag_values=values)
    flags.DEFINE_list("only", [], "perturbations, by commas; default: all", flag_values=values)
    flags.DEFINE_integer("seed", 0, "seed of blocks and noise", lower_bound=0, upper_bound=SEEDS, flag_values=values)
    text("out", None, "folder of the page; default: robustness-DATA-FRAMES in the run", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.evaluation import perturb
    from fusion_dfd.runs.robustness import stress_run
    from fusion_dfd.runs.run import Run

    only, run = tuple(given.only) or tuple(perturb.ALL), Run(given.checkpoint)
    page = stress_run(run, given.data, given.out, only, given.frames, given.root, given.seed)
    print(f"page: {page}")
