"""``dataset_info.json`` and ``features.json``, so that ``tfds.builder_from_directory`` opens a prepared folder.

The files are written as TFDS 4.9 writes them, without TFDS. The features here and the keys of
:mod:`fusion_dfd.shards.records` are one schema; a test opens a folder with TFDS where TensorFlow is installed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re

from fusion_dfd import atomic
from fusion_dfd.shards import records
from fusion_dfd.types import LABELS, MESH_POINTS, DataError

VERSION = "1.0.0"
"""Of the record schema. Raise it when a record changes; ``mesh``, ``contiguous``, ``stretches`` and ``forged`` are
additions, which old shards lack."""

_FEATURES = "tensorflow_datasets.core.features"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclasses.dataclass(frozen=True)
class SplitSize:
    """Records of each shard of a split, and the bytes of all its shards."""

    shard_lengths: tuple[int, ...]
    bytes: int


def check_name(name: str) -> None:
    """Raise DataError unless TFDS can open a data set of this name."""
    if not _NAME.fullmatch(name):
        raise DataError(f"name {name!r}: want lower-case letters, digits and underscores, a letter first")


def write(folder: str, name: str, splits: dict[str, SplitSize], description: str, mesh: bool = False) -> None:
    """Write the metadata of a prepared folder, each file atomically. ``mesh``: its records have the face mesh."""
    info = {
        "description": description,
        "fileFormat": "tfrecord",
        "name": name,
        "splits": [
            {
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "name": split,
                "numBytes": str(size.bytes),
                "shardLengths": [str(length) for length in size.shard_lengths],
            }
            for split, size in splits.items()
        ],
        "version": VERSION,
    }
    for file, text in (
        ("features.json", json.dumps(features(mesh), indent=4, sort_keys=True)),
        ("label.labels.txt", "\n".join(LABELS) + "\n"),
        ("dataset_info.json", json.dumps(info, indent=2)),
    ):
        atomic.write_text(os.path.join(folder, file), text)


def features(mesh: bool = False) -> dict:
    """The record schema in TFDS's JSON form, with or without the face mesh."""
    text = {"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}}
    image = {
        "image": {"dtype": "uint8", "encodingFormat": "jpeg", "shape": _shape(-1, -1, 3)},
        "pythonClassName": f"{_FEATURES}.image_feature.Image",
    }
    label = {
        "classLabel": {"numClasses": str(len(LABELS))},
        "pythonClassName": f"{_FEATURES}.class_label_feature.ClassLabel",
    }
    entries = {
        **dict.fromkeys((*records.TEXTS, "detector"), text),
        "label": label,
        "clip": _tensor("int64"),
        "track": _tensor("int64"),
        "frames": _sequence(image),
        "landmarks": _sequence(_tensor("float32", 5, 2)),
        "boxes": _sequence(_tensor("float32", 4)),
        "scores": _sequence(_tensor("float32")),
        "indices": _sequence(_tensor("int32")),
        "transform": _tensor("float32", 2, 3),
        # As sequences, because TFDS reads a missing one as empty.
        "contiguous": _sequence(_tensor("int64")),
        "stretches": _sequence(_tensor("float32")),
        "forged": _sequence(_tensor("int64")),
    }
    if mesh:
        entries["mesh"] = _tensor("float16", -1, MESH_POINTS, 2, encoding="bytes")
    return {"featuresDict": {"features": entries}, "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict"}


def _shape(*dimensions: int) -> dict:
    return {"dimensions": [str(size) for size in dimensions]} if dimensions else {}


def _tensor(dtype: str, *dimensions: int, encoding: str = "none") -> dict:
    kind = "tensor_feature.Tensor" if dimensions else "scalar.Scalar"
    tensor = {"dtype": dtype, "encoding": encoding, "shape": _shape(*dimensions)}
    return {"pythonClassName": f"{_FEATURES}.{kind}", "tensor": tensor}


def _sequence(feature: dict) -> dict:
    return {
        "pythonClassName": f"{_FEATURES}.sequence_feature.Sequence",
        "sequence": {"feature": feature, "length": "-1"},
    }
