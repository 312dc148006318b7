"""Perturbed shards: the clean crop's place, whole frames where there are any, and the same record beside the pixels."""

import dataclasses
import json
import os
from concurrent import futures

import av
import cv2
import numpy as np
import pytest

from fusion_dfd import config
from fusion_dfd.evaluation import perturb
from fusion_dfd.faces import align, track
from fusion_dfd.runs import perturbed_split
from fusion_dfd.shards import clip_index, tfrecord
from fusion_dfd.shards import records as example
from fusion_dfd.types import DataError, FaceTrack, Video

SIZE = 32


def _write_video(path, rng) -> np.ndarray:
    """Twelve frames of 100 x 120 with a face-sized gradient that moves, nearly lossless; as decoded."""
    y, x = np.mgrid[:100, :120]
    os.makedirs(path.parent, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "2"})
        stream.width, stream.height, stream.pix_fmt = 120, 100, "yuv444p"
        for t in range(12):
            image = np.stack([2 * x, 2 * y + t, 255 - x - y], -1).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.fixture(params=[False, True], ids=["plain", "aligned"])
def shards(request, tmp_path, rng):
    """One video with a clip of frames 3..8, as prepare would store it."""
    frames = _write_video(tmp_path / "videos" / "real" / "a.mp4", rng)
    indices = list(range(3, 9))
    boxes = [np.float32([30 + k, 20, 70 + k, 66]) for k in range(6)]
    points = np.float32([[0.3, 0.4], [0.7, 0.42], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    marks = [box[:2] + points * (box[2:] - box[:2]) for box in boxes]
    found = track.Track(indices, boxes, marks, [1.0] * 6)
    options = config.Faces(size=SIZE, align=request.param)
    (face,) = track.crop_clips([found], lambda number: frames[number], frames[0].shape[:2], options)
    one = Video("a", "real/a.mp4", 0, "toy", "original", "", "test", "a", "a")
    records = [example.encode(one, 0, face, "none")]
    path = str(tmp_path / "shards" / clip_index.shard_name("toy", "test", 0, 1))
    clip_index.write_index(path, tfrecord.write(path, records), map(clip_index.describe, records), {})
    manifest = {"root": str(tmp_path / "videos"), "options": {"faces": dataclasses.asdict(options)}}
    (tmp_path / "shards" / clip_index.MANIFEST).write_text(json.dumps(manifest))
    return str(tmp_path / "shards"), frames[3:9], face, request.param


def _frames(record: bytes) -> np.ndarray:
    return example.decode_frames(example.decode(record).frames)


def test_whole_frames_are_perturbed_then_cropped_where_the_clean_ones_were(shards):
    folder, frames, face, aligned = shards
    split = clip_index.open_split(folder, "test")
    root, said = perturbed_split.origin(folder, split)
    assert said == aligned
    record = perturbed_split.perturbed(split, "blur", 5, root, aligned).source[0]
    whole = np.stack([cv2.GaussianBlur(frame, (21, 21), 21 / 6) for frame in frames])
    if aligned:
        want = np.stack([align.warp(frame, face.transform, SIZE) for frame in whole])
    else:
        square = track.crop_square(face.boxes, 1.3, 100, 120)
        want = np.stack([track.crop(frame, square, SIZE) for frame in whole])
    np.testing.assert_allclose(_frames(record), want, atol=6)  # JPEG of quality 95
    before, after = example.decode(split.source[0]), example.decode(record)
    for name in ("landmarks", "boxes", "scores", "indices", "transform"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert (after.video, after.clip, after.track, after.detector) == (before.video, before.clip, 0, "none")


def test_a_perturbation_that_does_nothing_gives_the_clean_crops(shards, monkeypatch):
    folder, _, _, aligned = shards
    split = clip_index.open_split(folder, "test")
    monkeypatch.setitem(perturb.ALL, "nothing", perturb.Perturbation("", (0,), lambda frames, *_: frames))
    record = perturbed_split.perturbed(split, "nothing", 1, perturbed_split.origin(folder, split)[0], aligned).source[0]
    np.testing.assert_array_equal(_frames(record), _frames(split.source[0]))
    assert record == split.source[0]


def test_stored_crops_are_perturbed_where_there_are_no_videos(shards):
    folder, _, _, aligned = shards
    split = clip_index.open_split(folder, "test")
    record = perturbed_split.perturbed(split, "contrast", 5, None, aligned).source[0]
    np.testing.assert_allclose(_frames(record), _frames(split.source[0]) * 0.35, atol=6)


def test_a_record_is_perturbed_once_for_all_threads(shards, monkeypatch):
    folder, _, _, aligned = shards
    made = []
    real = perturb.apply
    monkeypatch.setattr(perturb, "apply", lambda *given: made.append(1) or real(*given))
    source = perturbed_split.perturbed(clip_index.open_split(folder, "test"), "noise", 1, None, aligned).source
    with futures.ThreadPoolExecutor(4) as pool:
        records = list(pool.map(source.__getitem__, [0] * 8))
    assert len(set(records)) == len(made) == 1


def test_videos_that_are_gone_are_named(shards, tmp_path):
    folder, *_ = shards
    split = clip_index.open_split(folder, "test")
    with pytest.raises(DataError, match=r"a\.mp4 is not there: give the folder of the videos as --root"):
        perturbed_split.origin(folder, split, str(tmp_path / "elsewhere"))
    os.remove(os.path.join(folder, clip_index.MANIFEST))
    with pytest.raises(DataError, match="does not say where the videos are"):
        perturbed_split.origin(folder, split)


def test_a_video_that_has_changed_is_named(shards):
    folder, _, face, aligned = shards
    split = clip_index.open_split(folder, "test")
    root, _ = perturbed_split.origin(folder, split)
    clip = example.decode(split.source[0])
    late = FaceTrack(
        _frames(split.source[0]), face.boxes, face.landmarks, face.scores, clip.indices + 6, face.transform
    )
    path = str(os.path.join(folder, clip_index.shard_name("toy", "val", 0, 1)))
    records = [example.encode(clip.video, 0, late, "none")]
    clip_index.write_index(path, tfrecord.write(path, records), map(clip_index.describe, records), {})
    with pytest.raises(DataError, match="has other frames than when it was prepared"):
        perturbed_split.perturbed(clip_index.open_split(folder, "val"), "blur", 1, root, aligned).source[0]
