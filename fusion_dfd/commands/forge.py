"""Forge the faces of real videos: a training set from real footage alone.

fusion-dfd forge --root REAL --out DIR [--forgers blend,animate] [--per_video 2] [--crf 30]
fusion-dfd prepare --dataset faceforensics --root DIR --out SHARDS     then as with any data set
fusion-dfd forge ... --train_autoencoders    once, for the forger rerender; they are kept in the cache
fusion-dfd forge ... --pictures PICTURES     also a contact sheet and a looping picture of each forger

REAL is a folder of videos, a .zip of one, or a .csv with the columns path, label and, where several videos show one
person, group. Videos in folders named fake are left out. DIR is laid out as FaceForensics++, with masks; segments.csv
says which frames are forged, skipped.csv what could not be. Run again, it continues.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source
from fusion_dfd.config import SEEDS


def define(values: flags.FlagValues) -> None:
    text, number = flags.DEFINE_string, flags.DEFINE_integer
    text("root", None, "folder of real videos, or a .zip or .csv", required=True, flag_values=values)
    text("out", None, "folder to write; made, or continued", required=True, flag_values=values)
    flags.DEFINE_list("forgers", [], "by name, with commas; default: all", flag_values=values)
    number(
        "per_video", 1, "passages of each video, spread over it", lower_bound=1, upper_bound=10000, flag_values=values
    )
    number("frames", 240, "maximum length of a passage", lower_bound=16, upper_bound=10000, flag_values=values)
    number(
        "crf", 23, "rate factor of H.264 for real and forged videos", lower_bound=0, upper_bound=51, flag_values=values
    )
    number("seed", 0, "every forgery follows from it", lower_bound=0, upper_bound=SEEDS, flag_values=values)
    source.define_workers(values, 0)
    flags.DEFINE_bool(
        "train_autoencoders", False, "first train what rerender draws faces with; minutes", flag_values=values
    )
    text("pictures", "", "folder for a contact sheet and a looping picture of each forger", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> None:
    from fusion_dfd.datasets import faceforensics
    from fusion_dfd.forge import pictures, registry, videos

    names = tuple(dict.fromkeys(given.forgers)) or tuple(registry.FORGERS)
    options = videos.Options(names, given.per_video, given.frames, given.crf, given.seed)
    print(videos.forge(given.root, given.out, options, given.workers, given.train_autoencoders))
    print(f"videos, {faceforensics.SEGMENTS} and {videos.SKIPPED}: {given.out}")
    if given.pictures:
        print(f"pictures: {pictures.write(given.out, given.pictures)}")
