"""Score the test split under seven perturbations at five levels, and as social media would pass it on.

python scripts/robustness.py --checkpoint runs/fusion --data SHARDS [--root VIDEOS] [--only blur,noise] [--out DIR]
python scripts/robustness.py --checkpoint runs/fusion --data SHARDS --frames crops      without the source videos
"""

import os

from absl import flags

from fusion_dfd import cli

CHECKPOINT = flags.DEFINE_string("checkpoint", None, "run folder, as train.py printed it", required=True)
DATA = flags.DEFINE_string("data", None, "folder of shards, as prepare.py or train.py wrote it", required=True)
FRAMES = flags.DEFINE_enum("frames", "video", ["video", "crops"], "perturb whole frames of the videos, or stored crops")
ROOT = flags.DEFINE_string("root", None, "folder of the videos; default: where they were when they were prepared")
ONLY = flags.DEFINE_list("only", [], "perturbations; default: all")
SEED = flags.DEFINE_integer("seed", 0, "of blocks and noise", lower_bound=0)
OUT = flags.DEFINE_string("out", None, "folder of the page; default <checkpoint>/robustness-<data>-<frames>")


def main(_: list[str]) -> None:
    from fusion_dfd.evaluation import perturb
    from fusion_dfd.runs import experiment

    name = os.path.basename(os.path.normpath(DATA.value))
    out = OUT.value or os.path.join(CHECKPOINT.value, f"robustness-{name}-{FRAMES.value}")
    only = tuple(ONLY.value) or tuple(perturb.ALL)
    page = experiment.stress_run(CHECKPOINT.value, DATA.value, out, only, FRAMES.value, ROOT.value, SEED.value)
    print(f"page: {page}")


if __name__ == "__main__":
    cli.run(main)
