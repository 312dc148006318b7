"""Find the faces in the videos of a data set and store their clips as shards. Run again, it continues.

python scripts/prepare.py --dataset faceforensics --root DIR --out DIR [--compression c23] [--workers N] [--every 4 ...]
python scripts/prepare.py --check --dataset folder --root DIR --out DIR
"""

import dataclasses

from absl import flags

from fusion_dfd import cli
from fusion_dfd.config import Config, Data, Faces

DATASET = cli.define_dataset()
OUT = flags.DEFINE_string("out", None, "folder of the shards; made, or continued", required=True)
CHECK = flags.DEFINE_bool("check", False, "look into every file and write a page; exit code 1 if any is bad")
SALT = flags.DEFINE_string("anonymise", "", "secret salt; hashes with it name the source files in the shards")
WORKERS = flags.DEFINE_integer("workers", None, "processes; default: one per core", lower_bound=0)
DEFINE = {str: flags.DEFINE_string, int: flags.DEFINE_integer, float: flags.DEFINE_float}
FACES = {
    field.name: DEFINE[type(field.default)](
        field.name, field.default, f"option faces.{field.name} of the configuration"
    )
    for field in dataclasses.fields(Faces)
}


def main(_: list[str]) -> int:
    faces = Faces(**{name: flag.value for name, flag in FACES.items()})
    Config(faces=faces, data=Data(dir=OUT.value)).validate()  # before the imports that take seconds
    if CHECK.value:
        from fusion_dfd.quality.check import check

        return int(bool(check(DATASET.open(), OUT.value, WORKERS.value)))
    from fusion_dfd.shards.prepare import prepare

    made = prepare(DATASET.open(), OUT.value, faces, DATASET.name.value, WORKERS.value, salt=SALT.value)
    print(f"{made.summary()}\nshards and manifest: {OUT.value}")
    return 0


if __name__ == "__main__":
    cli.run(main)
