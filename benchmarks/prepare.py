"""Frames per second from video to face clips, against the plain recipe. Prints one JSON line.

    JAX_PLATFORMS=cpu python benchmarks/prepare.py [VIDEO ...]

Without videos, six rendered ones of 96 frames at 480 px; 40 such for scaling. The plain recipe is the field's usual
one: OpenCV decodes, the ``mtcnn`` package (wants TensorFlow: ``pip install -e '.[tfds]'``; left out where that is
missing) looks at every frame for faces of the same least size, in the same process, after ours. The boxes are compared
frame by frame with those of our detector on every frame and with the plain recipe's. Scaling is ``prepare`` with one
and with two worker processes on the rendered videos. A folder of 1000 files of which 50 are bad must report just those.
Memory is the peak of one process that cuts a clip of 48 frames out of a 3840 x 2160 video. At last, what each video
costs under the default options, its records included: processor time, seconds of video per second of the clock, and
shares of the stages: ``decode`` (container and codec), ``detect`` (finding faces), ``crop``, ``encode`` (JPEG,
records), and the ``rest``.
"""

import argparse
import json
import multiprocessing
import os
import struct
import tempfile
import time
from collections.abc import Callable

import av
import cv2
import numpy as np
import stages
from memory import resident

from fusion_dfd import config, process_pool
from fusion_dfd.datasets import faceforensics
from fusion_dfd.datasets import folder as folder_set
from fusion_dfd.faces import detector, extract
from fusion_dfd.shards import prepare, records, runners
from fusion_dfd.synthetic import generate
from fusion_dfd.types import ORIGINAL, Video

PAIRS, MANY, FRAMES, SIDE = (1, 1, 1), (2, 1, 1), 96, 480
LEAST = 20
"""Pixels of the smallest face that both recipes look for: the ``mtcnn`` package's, which larger ones break on some
sizes of pictures (its pyramid then ends below what its network reads)."""


def options(path: str, every: int) -> config.Faces:
    """One clip of the whole video."""
    return config.Faces(every=every, clips=1, clip_length=count(path), min_size=LEAST)


def count(path: str) -> int:
    with av.open(path) as container:
        return sum(packet.size > 0 for packet in container.demux(video=0))


def ours(path: str, found: detector.Detector, every: int) -> dict[int, np.ndarray]:
    """Box of each frame's main face."""
    clips = extract.extract(path, options(path, every), found).clips
    return {int(i): box for clip in clips for i, box in zip(clip.indices, clip.boxes, strict=True)}


def plain(path: str, found) -> dict[int, np.ndarray]:
    """The same by the usual recipe: the most confident face of every frame."""
    capture, boxes = cv2.VideoCapture(path), {}
    while (read := capture.read())[0]:
        faces = found.detect_faces(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
        if faces:
            x, y, w, h = max(faces, key=lambda face: face["confidence"])["box"]
            boxes[len(boxes)] = np.array([x, y, x + w, y + h])
    return boxes


def timed(way, paths: list[str]) -> tuple[float, list[dict]]:
    way(paths[0])  # what is compiled once a process is not counted
    start = time.perf_counter()
    boxes = [way(path) for path in paths]
    return sum(map(count, paths)) / (time.perf_counter() - start), boxes


def iou(one: list[dict], other: list[dict]) -> float:
    """Mean over the frames on which both see a face."""
    pairs = [(a[i], b[i]) for a, b in zip(one, other, strict=True) for i in a.keys() & b.keys()]
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    sides = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0)
    inter = sides.prod(1)
    return float((inter / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter)).mean())


def speed(paths: list[str]) -> dict:
    found = detector.build(config.Faces(min_size=LEAST))
    fps, boxes = timed(lambda path: ours(path, found, config.Faces().every), paths)
    dense_fps, dense = timed(lambda path: ours(path, found, 1), paths)
    result = {"fps": fps, "fps_every_frame": dense_fps, "iou_every_frame": iou(boxes, dense)}
    try:
        import mtcnn

        theirs = mtcnn.MTCNN(device="CPU:0")
    except ImportError:
        return result
    plain_fps, usual = timed(lambda path: plain(path, theirs), paths)
    return result | {"fps_plain": plain_fps, "times_plain": fps / plain_fps, "iou_plain": iou(boxes, usual)}


def costs(paths: list[str]) -> list[dict]:
    """What each video takes in one process: docs/SCALE.md multiplies ``cpu_s``."""
    found, clock = detector.build(config.Faces()), stages.Clock()
    clock.watch_decoding()
    found.detect = clock.wrap("detect", found.detect)
    extract.track.crop_clips = clock.wrap("crop", extract.track.crop_clips)
    encode = clock.wrap("encode", records.encode)
    return [cost(path, found, clock, encode) for path in paths]


def cost(path: str, found: detector.Detector, clock: stages.Clock, encode: Callable[..., bytes]) -> dict:
    video = Video("", path, 0, "bench", ORIGINAL, "", "train", "", "")
    extract.extract(path, config.Faces(), found)  # what is compiled for frames of this size is not counted
    clock.seconds.clear()
    begun, cores = time.perf_counter(), time.process_time()
    made = extract.extract(path, config.Faces(), found)
    size = sum(len(encode(video, i, face, "")) for i, face in enumerate(made.clips))
    wall, cores = time.perf_counter() - begun, time.process_time() - cores
    return {
        "size": f"{made.info.width}x{made.info.height}",
        "frames": made.info.frames,
        "crops": sum(map(len, made.clips)),
        "mb": round(size / 1e6, 1),
        "cpu_s": round(cores, 2),
        "video_s_per_s": round(made.info.frames / made.info.fps / wall, 2) if made.info.fps else None,
        **clock.shares(wall),
    }


def scaling(root: str, out: str) -> dict:
    """Seconds of ``prepare`` with one and two processes, each after a run that compiles."""
    listed = faceforensics.videos(root)
    seconds = {}
    for number, processes in enumerate((2, 1, 2)):
        start = time.perf_counter()
        folder = os.path.join(out, str(number))
        runner = runners.local(processes)
        preparation = prepare.Preparation(listed, folder, config.Faces(), "bench", runner, videos_per_shard=4)
        prepare.prepare(preparation)
        seconds[processes] = time.perf_counter() - start
    return {"seconds_1": seconds[1], "seconds_2": seconds[2], "times_2_of_1": seconds[1] / seconds[2]}


def crowd(folder: str) -> dict:
    """Seconds for a folder of 950 good and 50 bad files, and how many bad ones are reported, each by its name."""
    made = faceforensics.videos(generate.generate(os.path.join(folder, "small"), config.Synthetic(1, PAIRS, 16, 128)))
    root, bad = os.path.join(folder, "crowd"), set()
    for number in range(1000):
        video = made[number % len(made)]
        path = os.path.join(root, ("real", "fake")[video.label], f"{number:04d}.mp4")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(video.path, "rb") as file:
            content = file.read()
        if number % 20 == 7:
            bad.add(os.path.relpath(path, root))
            content = (b"", b"no video\n" * 99, content[: len(content) // 3], os.urandom(5000))[number // 20 % 4]
        else:  # an empty box with the number in it, so that no two files are equal
            content += struct.pack(">I4sI", 12, b"free", number)
        with open(path, "wb") as file:
            file.write(content)
    start = time.perf_counter()
    faces = config.Faces(size=64, clip_length=16, clips=1)
    preparation = prepare.Preparation(folder_set.videos(root), os.path.join(folder, "crowd_shards"), faces, "crowd")
    result = prepare.prepare(preparation)
    named = {entry["path"] for entry in result.failed}
    assert named == bad, named ^ bad
    return {"files_1000_s": time.perf_counter() - start, "bad_reported": len(named)}


def peak(path: str) -> dict:
    """Most memory of a fresh process, MiB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return {"peak_4k_mib": pool.apply(_cut_peak, (path,))}


def _cut_peak(path: str) -> float:
    found = detector.build(config.Faces())
    assert extract.extract(path, config.Faces(clips=1, clip_length=48), found).clips
    # Not of getrusage, whose peak a process inherits from the one that started it.
    return resident("VmHWM") / 2**20


def enlarge(path: str, out: str) -> str:
    """The first 64 frames at 3840 x 2160."""
    with av.open(path) as source, av.open(out, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 3840, 2160, "yuv420p"
        for _, frame in zip(range(64), source.decode(video=0), strict=False):
            picture = cv2.resize(frame.to_ndarray(format="rgb24"), (3840, 2160), interpolation=cv2.INTER_LINEAR)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("videos", nargs="*")
    given = parser.parse_args().videos
    with tempfile.TemporaryDirectory() as folder:
        root = generate.generate(os.path.join(folder, "videos"), config.Synthetic(0, PAIRS, FRAMES, SIDE))
        rendered = [video.path for video in faceforensics.videos(root) if not video.label]
        paths = given or rendered
        result = {"videos": len(paths), "frames": sum(map(count, paths)), "cores": process_pool.cores()}
        result |= speed(paths)
        many = generate.generate(os.path.join(folder, "many"), config.Synthetic(0, MANY, FRAMES, SIDE))
        result |= scaling(many, folder) | crowd(folder) | peak(enlarge(rendered[0], os.path.join(folder, "4k.mp4")))
        rounded = {name: round(value, 3) for name, value in result.items()}
        print(json.dumps(rounded | {"default_options": costs(paths)}))


if __name__ == "__main__":
    main()
