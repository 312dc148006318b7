"""Find the faces in the videos of a data set and store their clips as shards. Run again, it continues.

python scripts/prepare.py --dataset faceforensics --root DIR --out DIR [--compression c23] [--workers N] [--every 4 ...]
python scripts/prepare.py --check --dataset folder --root DIR --out DIR
python scripts/prepare.py ... --shard 0/8        as job 0 of 8; after all of them, once without --shard
python scripts/prepare.py ... --runner FlinkRunner --beam=--flink_master=HOST:8081
python scripts/prepare.py ... --detector retinaface [--weights FILE [--anchors 16,32,64,128,256,512 --slope 0.1]]
"""

from absl import flags

from fusion_dfd import cli

DATASET = cli.define_dataset()
FACES = cli.define_faces()
OUT = flags.DEFINE_string("out", None, "folder of the shards; made, or continued", required=True)
CHECK = flags.DEFINE_bool("check", False, "look into every file and write a page; exit code 1 if any is bad")
SALT = flags.DEFINE_string("anonymise", "", "secret salt; hashes with it name the source files in the shards")
WORKERS = flags.DEFINE_integer("workers", None, "processes; default: one per core", lower_bound=0)
SHARD = flags.DEFINE_string("shard", None, "I/N: make only the share of array job I (from 0) of N")
RUNNER = flags.DEFINE_string("runner", None, "Apache Beam runner instead of processes, e.g. DirectRunner")
BEAM = flags.DEFINE_multi_string("beam", [], "option of that runner, e.g. --beam=--temp_location=DIR")


def main(_: list[str]) -> int:
    faces = FACES.read()
    if CHECK.value:
        from fusion_dfd.quality.check import check

        return int(bool(check(DATASET.open(), OUT.value, WORKERS.value)))
    from fusion_dfd.shards import prepare

    runner = prepare.choose_runner(RUNNER.value, BEAM.value, WORKERS.value)
    preparation = prepare.Preparation(
        DATASET.open(), OUT.value, faces, DATASET.name.value, runner=runner, salt=SALT.value
    )
    if SHARD.value:
        finished, total = prepare.prepare_part(preparation, prepare.parse_part(SHARD.value))
        print(f"{finished} of {total} shards are in {OUT.value}; when all are, run once without --shard")
        return 0
    print(f"{prepare.prepare(preparation).summary()}\nshards and manifest: {OUT.value}")
    return 0


if __name__ == "__main__":
    cli.run(main)
