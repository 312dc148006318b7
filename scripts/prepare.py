"""Find the faces in the videos of a data set and store their clips as shards. Run again, it continues.

python scripts/prepare.py --dataset faceforensics --root DIR --out DIR [--compression c23] [--workers N] [--every 4 ...]
With --detector retinaface [--weights FILE [--anchors 16,32,64,128,256,512 --slope 0.1]] for another detector.
"""

import dataclasses

from absl import flags

from fusion_dfd import cli
from fusion_dfd.config import Config, Data, Faces

DATASET = flags.DEFINE_string("dataset", "faceforensics", "adapter that lists the videos")
ROOT = flags.DEFINE_string("root", None, "folder of the data set", required=True)
OUT = flags.DEFINE_string("out", None, "folder of the shards; made, or continued", required=True)
COMPRESSION = flags.DEFINE_string("compression", None, "raw, c23 or c40; default: the adapter's own")
WORKERS = flags.DEFINE_integer("workers", None, "processes; default: one per core", lower_bound=0)
DEFINE = {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float, tuple: flags.DEFINE_list}
FACES = {
    field.name: DEFINE[type(field.default)](
        field.name, field.default, f"option faces.{field.name} of the configuration"
    )
    for field in dataclasses.fields(Faces)
}
flags.register_validator("anchors", lambda sides: all(map(str.isdecimal, sides)), "want whole numbers, comma-separated")


def main(_: list[str]) -> None:
    values = {name: flag.value for name, flag in FACES.items()}
    faces = Faces(**values | {"anchors": tuple(map(int, values["anchors"]))})
    Config(faces=faces, data=Data(dir=OUT.value)).validate()  # before the imports that take seconds
    from fusion_dfd.datasets.registry import open_dataset
    from fusion_dfd.shards.prepare import prepare

    options = {"compression": COMPRESSION.value} if COMPRESSION.value else {}
    videos = open_dataset(DATASET.value, ROOT.value, **options)
    made = prepare(videos, OUT.value, faces, DATASET.value, WORKERS.value)
    print(f"{made.summary()}\nshards and manifest: {OUT.value}")


if __name__ == "__main__":
    cli.run(main)
