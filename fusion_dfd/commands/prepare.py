"""Find the faces in the videos of a data set and store their clips. Run again, it continues.

fusion-dfd prepare --dataset faceforensics --root DIR --out DIR [--compression c23] [--workers N] [--every 4 ...]
fusion-dfd prepare ... --shard 0/8        as job 0 of 8; after all of them, once without --shard
fusion-dfd prepare ... --runner FlinkRunner --beam=--flink_master=HOST:8081
fusion-dfd prepare ... --detector retinaface [--weights FILE [--anchors 16,32,64,128,256,512 --slope 0.1]]
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source


def define(values: flags.FlagValues) -> None:
    source.define_dataset(values)
    source.define_faces(values)
    text = flags.DEFINE_string
    text("out", None, "folder of the shards; made, or continued", required=True, flag_values=values)
    text("anonymise", "", "secret salt; hashes with it name the source files in the shards", flag_values=values)
    source.define_workers(values, 0)
    text("shard", None, "I/N: make only the share of array job I (from 0) of N", flag_values=values)
    text("runner", None, "Apache Beam runner instead of processes, e.g. DirectRunner", flag_values=values)
    option = "option of that runner, e.g. --beam=--temp_location=DIR; may be repeated"
    flags.DEFINE_multi_string("beam", [], option, flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> int:
    faces = source.read_faces(given)
    from fusion_dfd.shards import prepare

    runner = prepare.choose_runner(given.runner, given.beam, given.workers)
    videos = source.open_dataset(given)
    preparation = prepare.Preparation(videos, given.out, faces, given.dataset, runner=runner, salt=given.anonymise)
    if given.shard:
        finished, total = prepare.prepare_part(preparation, prepare.parse_part(given.shard))
        print(f"{finished} of {total} shards are in {given.out}; when all are, run once without --shard")
        return 0
    print(f"{prepare.prepare(preparation).summary()}\nshards and manifest: {given.out}")
    return 0
