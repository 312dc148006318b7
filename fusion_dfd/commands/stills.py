"""Turn photographs of faces into short clips, by a camera that moves: real videos where only pictures are at hand.

fusion-dfd stills --photographs FACES --root DIR [--frames 16] [--crf 18]

They are laid out for ``prepare --dataset folder``. There is no motion of the face in them.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.config import SEEDS


def define(values: flags.FlagValues) -> None:
    flags.DEFINE_string("photographs", None, "folder of pictures, searched in depth", required=True, flag_values=values)
    flags.DEFINE_string("root", None, "folder to write; made if missing", required=True, flag_values=values)
    numbers = [
        ("frames", 16, 1, 10000, "of each clip, at 25 frames per second"),
        ("crf", 18, 0, 51, "H.264 constant rate factor"),
        ("seed", 0, 0, SEEDS, "of the camera's ways"),
    ]
    for name, default, low, high, text in numbers:
        flags.DEFINE_integer(name, default, text, lower_bound=low, upper_bound=high, flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.synthetic import stills

    made = stills.write(given.photographs, given.root, given.frames, given.crf, given.seed)
    print(f"{len(made)} clips in {given.root}")
