"""A prepared folder opens in TensorFlow Datasets. Skipped where TensorFlow is not installed."""

import numpy as np
import pytest
import synthetic_tracks

from fusion_dfd import config
from fusion_dfd.faces import mesh
from fusion_dfd.shards import clip_index, records, runners
from fusion_dfd.shards.prepare import Preparation, prepare


@pytest.mark.tensorflow
@pytest.mark.parametrize("with_mesh", [False, True])
def test_tfds_reads_what_was_written(tmp_path, monkeypatch, with_mesh):
    pytest.importorskip("tensorflow")
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(mesh, "identity", lambda: "network a")
    out = str(tmp_path / "shards")
    listed = synthetic_tracks.videos(tmp_path / "videos")
    preparation = Preparation(
        listed,
        out,
        config.Faces(mesh=with_mesh),
        "toy",
        runner=runners.local(0),
        extract=synthetic_tracks.cut_meshed if with_mesh else synthetic_tracks.cut,
        videos_per_shard=4,
    )
    prepare(preparation)
    builder = tfds.builder_from_directory(out)
    assert builder.info.features["label"].names == ["real", "fake"]
    for split in ("train", "val", "test"):
        opened = clip_index.open_split(out, split)
        assert builder.info.splits[split].num_examples == len(opened)
        theirs = {
            (clip["id"].decode(), clip["method"].decode(), int(clip["clip"])): clip
            for clip in tfds.as_numpy(builder.as_dataset(split=split))
        }
        assert len(theirs) == len(opened)
        for row in range(len(opened)):
            ours = records.decode(opened.source[row])
            other = theirs[ours.video.id, ours.video.method, ours.clip]
            assert int(other["label"]) == ours.video.label
            for name in records.TEXTS:
                assert other[name].decode() == getattr(ours.video, name)
            for name in ("landmarks", "boxes", "scores", "indices", "transform"):
                np.testing.assert_array_equal(other[name], getattr(ours, name))
            assert ("mesh" in other) == (ours.mesh is not None) == with_mesh
            if with_mesh:
                np.testing.assert_array_equal(other["mesh"].astype(np.float32), ours.mesh)
            pixels = records.decode_frames(ours.frames).astype(int)
            assert np.abs(other["frames"] - pixels).mean() < 2, "their JPEG decoder rounds differently"
