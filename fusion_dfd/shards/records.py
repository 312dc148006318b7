"""The record of a clip: a ``tf.train.Example`` written and read without TensorFlow.

Keys and types are those that TFDS derives from :mod:`fusion_dfd.shards.tfds_metadata`. The message class is built at
import in a private descriptor pool, so that it cannot clash with TensorFlow's own. Serialisation is deterministic.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import simplejpeg
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from fusion_dfd.types import LABELS, MESH_POINTS, DataError, FaceTrack, Stretches, Video

TEXTS = ("id", "path", "dataset", "method", "compression", "split", "group", "source")
"""The text fields of :class:`fusion_dfd.types.Video`, each a feature of the same name."""


@dataclasses.dataclass(frozen=True, slots=True)
class ClipRecord:
    """A stored clip. ``frames`` are still compressed; :func:`decode_frames` turns any of them into pixels."""

    video: Video
    """``path`` is relative to the folder named in the manifest."""
    clip: int
    """Number of the clip in its video, from 0."""
    track: int
    """Which face of the video; 0 is the main one. In a fake video the label is known to hold for that one only."""
    detector: str
    frames: list[bytes]
    """t JPEG files, all of one size."""
    landmarks: np.ndarray
    """float32 [t, 5, 2], x and y in pixels of the frames."""
    boxes: np.ndarray
    """float32 [t, 4], in pixels of the source video."""
    scores: np.ndarray
    """float32 [t], 0..1."""
    indices: np.ndarray
    """int32 [t], frame numbers in the source video."""
    transform: np.ndarray
    """float32 [2, 3], source pixels to crop pixels."""
    mesh: np.ndarray | None = None
    """float32 [t, 152, 2], stored as float16: x and y in pixels of the frames, NaN on frames without a mesh; None where
    the folder was prepared without ``faces.mesh``."""
    contiguous: bool = True
    """Whether the frames are known to be consecutive. A record says so where they are not; records of versions that did
    not say it are judged by ``indices``."""
    forged: np.ndarray | None = None
    """uint8 [t], 1 for a forged frame, by ``video.stretches``, which are in frames; None where the video has none."""

    def __len__(self) -> int:
        return len(self.frames)


def encode(video: Video, clip: int, face: FaceTrack, detector: str, quality: int = 95) -> bytes:
    """Serialise one clip; equal arguments give equal bytes.

    Args:
      video: the source video; its stretches in frames.
      clip: number of the clip in the video.
      face: the crops (uint8 [t, h, w, 3], RGB), landmarks, boxes and scores.
      detector: which face detector, with what weights.
      quality: JPEG quality, 1 .. 100; colour is never subsampled (4:4:4).

    Raises DataError when the video's label is not one of ``LABELS`` or a frame cannot be compressed.
    """
    if not 0 <= video.label < len(LABELS):
        raise DataError(f"{video.path}: label {video.label} is none of 0 ({LABELS[0]}), 1 ({LABELS[1]})")
    example = _Example()
    feature = example.features.feature
    for name in TEXTS:
        feature[name].bytes_list.value.append(getattr(video, name).encode())
    feature["detector"].bytes_list.value.append(detector.encode())
    for name, number in (("label", video.label), ("clip", clip), ("track", face.track)):
        feature[name].int64_list.value.append(int(number))
    feature["frames"].bytes_list.value.extend(encode_frames(face.frames, quality))
    feature["indices"].int64_list.value.extend(np.asarray(face.indices).tolist())
    for name in ("landmarks", "boxes", "scores", "transform"):
        feature[name].float_list.value.extend(np.asarray(getattr(face, name), np.float32).ravel().tolist())
    if face.mesh is not None:
        feature["mesh"].bytes_list.value.append(np.asarray(face.mesh, _MESH).tobytes())
    if not face.contiguous:
        feature["contiguous"].int64_list.value.append(0)
    if video.stretches:
        feature["stretches"].float_list.value.extend(np.array(video.stretches.spans).ravel().tolist())
        feature["forged"].int64_list.value.extend(video.stretches.marks(face.indices).tolist())
    return example.SerializeToString(deterministic=True)


def decode(record: bytes) -> ClipRecord:
    """Inverse of :func:`encode` with frames left as JPEG. Raises DataError when the record is not of this schema."""
    with _readable():
        feature = _features(record, _KEYS)
        frames = list(feature["frames"].bytes_list.value)
        texts = {name: feature[name].bytes_list.value[0].decode() for name in TEXTS}
        return ClipRecord(
            video=Video(label=feature["label"].int64_list.value[0], stretches=_stretches(feature), **texts),
            clip=feature["clip"].int64_list.value[0],
            track=feature["track"].int64_list.value[0],
            detector=feature["detector"].bytes_list.value[0].decode(),
            frames=frames,
            landmarks=_floats(feature["landmarks"], len(frames), 5, 2),
            boxes=_floats(feature["boxes"], len(frames), 4),
            scores=_floats(feature["scores"], len(frames)),
            indices=np.array(feature["indices"].int64_list.value, np.int32).reshape(len(frames)),
            transform=_floats(feature["transform"], 2, 3),
            mesh=_mesh(feature, len(frames)),
            contiguous=_contiguous(feature),
            forged=_forged(feature, len(frames)),
        )


class Stored(NamedTuple):
    """The parts of a record that training reads."""

    count: int
    """Frames of the whole clip."""
    frames: list[bytes]
    """JPEG files of the frames asked for."""
    landmarks: np.ndarray
    """float32 [t, 5, 2], of those frames."""
    mesh: np.ndarray | None
    """float32 [t, 152, 2], of those frames, as in :class:`ClipRecord`; None where none was asked for or is stored."""
    contiguous: bool
    """As in :class:`ClipRecord`."""
    forged: np.ndarray
    """uint8 [t], 1 for each of those frames that is forged; the label of the video where it does not say which are."""


def decode_part(record: bytes, frames: slice, mesh: bool = False) -> Stored:
    """Some frames of a record with their landmarks, in half the time of :func:`decode`; ``mesh`` asks for that too.

    Raises DataError as :func:`decode` does.
    """
    with _readable():
        feature = _features(record, {"frames", "landmarks", "indices", "label"})
        stored = feature["frames"].bytes_list.value
        landmarks = _floats(feature["landmarks"], len(stored), 5, 2)[frames]
        points = _mesh(feature, len(stored)) if mesh else None
        points = None if points is None else points[frames]
        forged = _forged(feature, len(stored))
        if forged is None:
            forged = np.full(len(stored), feature["label"].int64_list.value[0], np.uint8)
        return Stored(len(stored), stored[frames], landmarks, points, _contiguous(feature), forged[frames])


def _features(record: bytes, keys: set[str]) -> Mapping[str, Any]:
    features = _Example.FromString(record).features.feature
    if missing := sorted(keys - set(features)):
        raise DataError(f"record lacks {', '.join(missing)}; prepare the folder again with this version")
    return features


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (message.DecodeError, ValueError, IndexError) as error:
        raise DataError(f"record is no clip of this version ({error}); prepare the folder again") from error


def encode_frames(frames: np.ndarray, quality: int = 95) -> list[bytes]:
    """JPEG files, 4:4:4, of frames uint8 [t, h, w, 3] in RGB."""
    options = [
        *(cv2.IMWRITE_JPEG_QUALITY, quality),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    out = []
    for image in frames:
        ok, buffer = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
        if not ok:
            raise DataError(f"a frame of shape {image.shape} cannot be written as JPEG; frames are uint8 [h, w, 3]")
        out.append(buffer.tobytes())
    return out


def decode_frames(frames: Sequence[bytes], out: np.ndarray | None = None) -> np.ndarray:
    """uint8 [t, h, w, 3] in RGB from t >= 1 JPEG files of one size; into ``out``, where it is given.

    Raises DataError on a damaged file and on one of another size.
    """
    out = np.empty(frames_shape(frames), np.uint8) if out is None else out
    try:
        for frame, image in zip(frames, out, strict=True):
            if _shape(frame) != image.shape[:2]:
                raise ValueError("of another size than the first")
            simplejpeg.decode_jpeg(frame, buffer=image)
    except (ValueError, IndexError) as error:
        raise _no_frames(frames, error) from error
    return out


def frames_shape(frames: Sequence[bytes]) -> tuple[int, int, int, int]:
    """[t, h, w, 3] by the header of the first of t >= 1 JPEG files. Raises DataError where it has none."""
    try:
        return len(frames), *_shape(frames[0]), 3
    except (ValueError, IndexError) as error:
        raise _no_frames(frames, error) from error


def _no_frames(frames: Sequence[bytes], error: Exception) -> DataError:
    return DataError(f"{len(frames)} stored frames, of which one is no such JPEG: {error}; prepare again")


def _shape(frame: bytes) -> tuple[int, int]:
    """(height, width) from a file's header; ValueError if that many pixels cannot be stored in that few bytes."""
    height, width, *_ = simplejpeg.decode_jpeg_header(frame)
    # Every block of 8 x 8 takes at least two bits. A damaged header must not make us allocate gigabytes.
    if height * width > 64 * 4 * len(frame):
        raise ValueError(f"{height} x {width} pixels in {len(frame)} bytes")
    return height, width


def _floats(feature, *shape: int) -> np.ndarray:
    return np.array(feature.float_list.value, np.float32).reshape(shape)


def _mesh(feature: Mapping[str, Any], count: int) -> np.ndarray | None:
    if "mesh" not in feature:  # indexing a map of protobuf would make it
        return None
    stored = np.frombuffer(feature["mesh"].bytes_list.value[0], _MESH)
    return stored.reshape(count, MESH_POINTS, 2).astype(np.float32)


def _contiguous(feature: Mapping[str, Any]) -> bool:
    if "contiguous" in feature:
        return bool(feature["contiguous"].int64_list.value[0])
    return bool((np.diff(feature["indices"].int64_list.value) == 1).all())


def _stretches(feature: Mapping[str, Any]) -> Stretches | None:
    if "stretches" not in feature:
        return None
    return Stretches.of(np.array(feature["stretches"].float_list.value).reshape(-1, 2).tolist())


def _forged(feature: Mapping[str, Any], count: int) -> np.ndarray | None:
    if "forged" not in feature:
        return None
    return np.array(feature["forged"].int64_list.value, np.uint8).reshape(count)


def _example_class() -> type[message.Message]:
    """``tensorflow.Example`` from its published schema (tensorflow/core/example/{example,feature}.proto)."""
    Field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="fusion_dfd/example.proto", package="fusion_dfd.example", syntax="proto3"
    )

    def define(name: str):
        return file.message_type.add(name=name)

    def add(owner, name: str, number: int, kind: int, label: int = Field.LABEL_OPTIONAL, of: str = ""):
        field = owner.field.add(name=name, number=number, type=kind, label=label)
        if of:
            field.type_name = f".fusion_dfd.example.{of}"
        return field

    for name, kind in (
        ("BytesList", Field.TYPE_BYTES),
        ("FloatList", Field.TYPE_FLOAT),
        ("Int64List", Field.TYPE_INT64),
    ):
        add(define(name), "value", 1, kind, Field.LABEL_REPEATED)
    feature = define("Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("bytes", "float", "int64"), start=1):
        of = f"{name.capitalize()}List"
        add(feature, f"{name}_list", number, Field.TYPE_MESSAGE, of=of).oneof_index = 0
    features = define("Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, Field.TYPE_STRING)
    add(entry, "value", 2, Field.TYPE_MESSAGE, of="Feature")
    add(features, "feature", 1, Field.TYPE_MESSAGE, Field.LABEL_REPEATED, of="Features.FeatureEntry")
    add(define("Example"), "features", 1, Field.TYPE_MESSAGE, of="Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("fusion_dfd.example.Example"))


_Example = _example_class()
_MESH = np.dtype("<f2")
_KEYS = {*TEXTS, "detector", "label", "clip", "track", "frames", "landmarks", "boxes", "scores", "indices", "transform"}
