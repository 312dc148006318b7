"""Every way reads the same clips, and gives a row."""

import json

import input as benchmark
import numpy as np
import pytest
import simplejpeg

from fusion_dfd.config import Augment
from fusion_dfd.input import augment
from fusion_dfd.shards import clip_index, records

SIZE = 32


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return benchmark.make_split(str(tmp_path_factory.mktemp("shards")), SIZE)


def stored(path) -> set[bytes]:
    """The pixels of every frame of the shard."""
    split = clip_index.open_split(str(path).rpartition("/")[0], "train")
    return {frame.tobytes() for row in range(len(split)) for frame in pixels(split, row)}


def pixels(split, row):
    return records.decode_frames(records.decode(split.source[row]).frames)


@pytest.mark.tensorflow
def test_tf_data_reads_our_clips(path):
    pytest.importorskip("tensorflow")
    from peers import tf_data

    batch = next(tf_data.batches(path, benchmark.STORED, benchmark.FRAMES, 4, 1))
    assert batch.shape == (4, benchmark.FRAMES, SIZE, SIZE, 3)
    assert {frame.tobytes() for clip in batch for frame in clip} <= stored(path)


@pytest.mark.extras
@pytest.mark.parametrize("decoder", ["cv2", "simplejpeg"])
def test_torch_reads_our_clips(path, decoder):
    torch = pytest.importorskip("torch")
    from peers import torch_loader

    clips = torch_loader.Clips(path.rpartition("/")[0], benchmark.FRAMES, 4, decoder, None, SIZE)
    found, labels = next(iter(torch.utils.data.DataLoader(clips, 4)))
    assert found.shape == (4, benchmark.FRAMES, SIZE, SIZE, 3)
    assert set(labels.tolist()) == {0, 1}
    assert {frame.tobytes() for clip in found.numpy() for frame in clip} <= stored(path)


@pytest.mark.extras
def test_the_peers_chain_draws_once_a_clip(rng):
    pytest.importorskip("albumentations")
    from peers import albumentations_chain

    still = np.repeat(rng.integers(0, 256, (1, SIZE, SIZE, 3), dtype=np.uint8), 4, axis=0)
    options = Augment(blur=1.0, jpeg=1.0)
    for _ in range(8):
        got = albumentations_chain.chain(options, 24)(images=still)["images"]
        assert got.shape == (4, 24, 24, 3)
        assert (got == got[0]).all()
        assert not np.array_equal(got[0], augment.apply(still, np.zeros((4, 5, 2)), augment.Params(), 24)[0][0])


def test_every_way_has_a_row(here, monkeypatch):
    monkeypatch.setattr(benchmark, "THREADS", (1,))
    monkeypatch.setattr(benchmark, "BATCHES", 1)
    monkeypatch.setattr(benchmark, "BATCH", 2)
    monkeypatch.setattr(benchmark, "make_torch", lambda *given: refuse())  # Its workers start for seconds.
    found = benchmark.measure(SIZE, 1)
    assert {"simplejpeg alone", "cv2 alone", "ours", "ours, augmented"} <= {row["way"] for row in found["loading"]}
    assert {row["way"]: row["of_simplejpeg_alone"] for row in found["loading"]}["simplejpeg alone"] == 1
    assert found["missing"]["torch, cv2"] == "no torch"
    assert [row["met"] for row in found["targets"] if "torch" in row["target"]] == [None]
    assert all(row["as configured"] > 0 for row in found["augmentation"])
    json.dumps(found)


def refuse():
    raise ImportError("no torch")


def test_the_limit_decodes_what_the_others_give(path, monkeypatch):
    found, real = [], simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda frame: found.append(real(frame)) or found[-1])
    monkeypatch.setattr(benchmark, "BATCHES", 1)
    monkeypatch.setattr(benchmark, "BATCH", 2)
    benchmark.make_tight(path.rpartition("/")[0], 1, "simplejpeg")()
    assert len(found) == 2 * benchmark.FRAMES
    monkeypatch.undo()
    assert {frame.tobytes() for frame in found} <= stored(path)


def test_as_configured_weighs_the_parts():
    costs = zip(benchmark.PARTS, (0.010, 0.020, 0.030), strict=True)
    seconds = {("ours", part): np.array([[0.0, cost]]) for part, cost in costs}
    (row,) = benchmark.chain_rows(seconds)
    assert row["as configured"] == 10 + 0.1 * 10 + 0.3 * 20


def test_a_ratio_is_of_the_turns_of_one_round():
    ours, peer = np.array([[1.0, 0], [5.0, 0], [2.0, 0]]), np.array([[3.0, 0], [10.0, 0], [8.0, 0]])
    assert benchmark.faster(ours, peer) == 3
    assert benchmark.faster(ours, None) is None
