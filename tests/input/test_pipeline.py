import dataclasses
import itertools
import logging

import jax
import numpy as np
import pytest

from fusion_dfd.config import Augment, ConfigError, Data
from fusion_dfd.input import augment, pipeline
from fusion_dfd.input.sampling import PairIndex
from fusion_dfd.shards import records
from fusion_dfd.types import ORIGINAL, DataError, Stretches

PLAIN = Augment(flip=0, crop=0, colour=0, blur=0, jpeg=0)
FRAMES, SIZE, STEP = 4, 16, 20


def data(threads=2, plain=False, frames=FRAMES):
    return Data(frames=frames, size=SIZE, threads=threads, augment=PLAIN if plain else Augment())


def train(split, seed=0, count=6, batch_size=6, **options):
    process = options.pop("process", (0, 1))
    batches = pipeline.train_batches(split, data(**options), batch_size, seed, process=process)
    return list(itertools.islice(batches, count))


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, other)


def damage(split, row, byte=-200):
    """Flip a bit within the data of a record."""
    place = int(split.table.offset[row] + 12 + split.table.size[row] + byte)
    with open(split.source.paths[split.table.shard[row]], "r+b") as file:
        file.seek(place)
        old = file.read(1)[0]
        file.seek(place)
        file.write(bytes([old ^ 16]))


def test_a_batch_is_pairs_of_real_and_fake_with_equal_shares_of_the_methods(split):
    for batch in train(split):
        assert batch.frames.shape == (6, FRAMES, SIZE, SIZE, 3)
        assert batch.frames.dtype == np.uint8
        assert batch.landmarks.shape == (6, FRAMES, 5, 2)
        assert [leaf.dtype.name for leaf in (batch.landmarks, batch.length, batch.label, batch.weight, batch.row)] == [
            *("float32", "int32", "int32", "float32", "int32")
        ]
        assert batch.label.tolist() == [0, 1] * 3
        assert batch.length.tolist() == [FRAMES] * 6
        assert batch.weight.tolist() == [1] * 6
        np.testing.assert_array_equal(split.table.label[batch.row], batch.label)
        sources = split.table.source[batch.row]
        np.testing.assert_array_equal(sources[::2], sources[1::2])
        assert sorted(split.table.method[batch.row[1::2]]) == ["Deepfakes", "Face2Face", "FaceSwap"]


def test_a_batch_says_which_windows_are_not_consecutive(write_split, build):
    broken = dataclasses.replace(build.clip(build.ramp(8)), contiguous=False)
    opened = write_split(
        [(build.video(0, ORIGINAL), 0, build.clip(build.ramp(8))), (build.video(0, "FaceSwap"), 0, broken)]
    )
    np.testing.assert_array_equal(train(opened, count=1, batch_size=2)[0].contiguous, [True, False])
    batches, _ = pipeline.eval_batches(opened, data(), 4)
    found = {int(row): bool(one) for batch in batches for row, one in zip(batch.label, batch.contiguous, strict=True)}
    assert found == {0: True, 1: False}


def test_labels_of_frames_follow_the_window(write_split, build):
    """Frames 5, 6 and 7 of a fake are forged; whatever the seed, its window in training shows two of them or more."""
    video = dataclasses.replace(build.video(0, "FaceSwap"), stretches=Stretches.of([(5, 8)]))
    clips = [(build.video(0, ORIGINAL), 0, build.clip(build.ramp(8))), (video, 0, build.clip(build.ramp(8)))]
    opened = write_split(clips, shards=1)
    for batch in train(opened, count=20, batch_size=2, plain=True):
        shown = (batch.frames.mean(axis=(2, 3, 4)) / STEP).round()
        np.testing.assert_array_equal(batch.forged[1], shown[1] >= 5)
        assert batch.forged.sum(1)[1] >= 2
        assert (batch.label.tolist(), batch.forged[0].tolist()) == ([0, 1], [0] * FRAMES)
    batches, _ = pipeline.eval_batches(opened, data(frames=3), 4)
    (batch,) = batches
    assert batch.label.tolist() == [0, 0, 1, 1]
    assert batch.forged.tolist() == [[0] * 3] * 3 + [[0, 1, 1]]


def test_an_epoch_of_batches_holds_every_fake_once(split):
    fakes = np.concatenate([batch.row[1::2] for batch in train(split, count=6)])
    assert sorted(fakes) == np.flatnonzero(split.table.label == 1).tolist()


def test_windows_are_contiguous_random_and_drawn_for_each_half(split):
    batches = train(split, count=30, plain=True)
    levels = np.concatenate([batch.frames for batch in batches]).mean(axis=(2, 3, 4)) / STEP
    starts = levels[:, 0].round()
    np.testing.assert_allclose(levels, starts[:, None] + np.arange(FRAMES), atol=0.1)
    assert set(starts) == {0, 1, 2, 3, 4}
    assert (starts[::2] != starts[1::2]).any()


@pytest.fixture
def twins(write_split, build, rng):
    """Real and fake with the same pixels, standing still."""
    still = np.repeat(rng.integers(0, 256, (1, 32, 32, 3), dtype=np.uint8), 8, axis=0)
    videos = [build.video(source, method) for source in range(4) for method in (ORIGINAL, "Deepfakes")]
    return write_split([(one, 0, build.clip(still)) for one in videos], shards=1)


def test_both_halves_of_a_pair_are_augmented_alike(twins):
    batches = train(twins, count=8)
    for batch in batches:
        np.testing.assert_array_equal(batch.frames[::2], batch.frames[1::2])
        np.testing.assert_array_equal(batch.landmarks[::2], batch.landmarks[1::2])
    assert len({pair.tobytes() for batch in batches for pair in batch.frames[::2]}) > 20


def test_threads_do_not_change_anything(split):
    assert_equal(train(split, threads=1), train(split, threads=4))


def test_seeds_change_the_order(split):
    first, second = ([batch.row.tolist() for batch in train(split, seed=seed)] for seed in (0, 1))
    assert first != second


@pytest.mark.parametrize("done", [0, 1, 5, 9])
@pytest.mark.parametrize("processes", [1, 2])
def test_resume_continues_with_the_batch_that_would_have_followed(split, done, processes):
    wanted = train(split, batch_size=12, count=done + 4, threads=1)[done:]
    parts = [
        pipeline.train_batches(split, data(threads=4), 12, 0, process=(index, processes), start=done)
        for index in range(processes)
    ]
    assert_equal([joined(halves) for halves in itertools.islice(zip(*parts, strict=True), 4)], wanted)


def joined(parts):
    return jax.tree.map(lambda *blocks: np.concatenate(blocks), *parts)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_read_what_one_would_in_equal_blocks_of_every_batch(split, processes):
    parts = [train(split, batch_size=12, count=3, process=(index, processes)) for index in range(processes)]
    assert {len(batch.row) for part in parts for batch in part} == {12 // processes}
    assert_equal([joined(halves) for halves in zip(*parts, strict=True)], train(split, batch_size=12, count=3))


def test_fewer_clips_than_a_batch_repeat(twins):
    (batch,) = train(twins, batch_size=20, count=1)
    assert sorted(np.bincount(batch.row)[1::2]) == [2, 2, 3, 3]


@pytest.mark.parametrize(("batch_size", "processes"), [(0, 1), (5, 1), (6, 2)])
def test_batches_that_cannot_hold_pairs_are_refused(split, batch_size, processes):
    with pytest.raises(ConfigError, match=f"batch_size={batch_size}.*multiple of {2 * processes}"):
        pipeline.train_batches(split, data(), batch_size, 0, process=(0, processes))


def test_a_damaged_record_is_replaced_alike_in_every_run_and_logged_once(split, caplog):
    row = int(np.flatnonzero(split.table.label == 1)[4])
    sound = train(split, count=12)
    damage(split, row)
    with caplog.at_level(logging.WARNING):
        batches = train(split, count=12, threads=1)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert split.source.paths[split.table.shard[row]] in warning
    assert_equal(batches, train(split, count=12, threads=4))
    index = PairIndex(split.table, 0)
    for step, (batch, before) in enumerate(zip(batches, sound, strict=True)):
        for place, (real, fake) in enumerate(before.row.reshape(-1, 2)):
            wanted = index.pair(3 * step + place, attempt=1) if fake == row else (real, fake)
            assert batch.row[2 * place : 2 * place + 2].tolist() == list(wanted)


def test_a_damaged_real_clip_takes_its_pair_along(split):
    row = int(np.flatnonzero(split.table.label == 0)[0])
    damage(split, row)
    rows = np.concatenate([batch.row for batch in train(split, count=12)])
    assert row not in rows
    assert set(split.table.label[rows]) == {0, 1}


def test_nothing_but_damage_ends_training(split):
    for row in np.flatnonzero(split.table.label == 0):
        damage(split, row)
    with pytest.raises(DataError, match="damaged pairs of clips in a row"):
        train(split, count=1, threads=1)


def test_evaluation_reads_every_window_once_in_order_and_pads_the_last_batch(split):
    batches, windows = pipeline.eval_batches(split, data(), 10)
    assert len(windows) == 48
    assert len(batches) == 5
    found = list(batches)
    rows = np.concatenate([batch.row for batch in found])
    assert rows.tolist() == [*range(48), -1, -1]
    assert np.concatenate([batch.weight for batch in found]).tolist() == [1.0] * 48 + [0.0] * 2
    assert not found[-1].frames[-2:].any()
    assert not found[-1].length[-2:].any()
    for batch in found:
        for place in np.flatnonzero(batch.row >= 0):
            row, start = windows.rows[batch.row[place]], windows.starts[batch.row[place]]
            clip = records.decode(split.source[row])
            window = slice(start, start + FRAMES)
            pixels = records.decode_frames(clip.frames[window])
            wanted = augment.apply(pixels, clip.landmarks[window], augment.Params(), SIZE)
            np.testing.assert_array_equal(batch.frames[place], wanted[0])
            np.testing.assert_array_equal(batch.landmarks[place], wanted[1])
            assert batch.label[place] == split.table.label[row]


def test_evaluation_can_be_repeated_and_draws_nothing(split):
    batches, _ = pipeline.eval_batches(split, data(threads=1), 7)
    again, _ = pipeline.eval_batches(split, data(threads=4, plain=True), 7)
    assert_equal(list(batches), list(again))
    assert_equal(list(batches), list(again))


def test_a_limit_of_clips_per_video(split):
    batches, windows = pipeline.eval_batches(split, data(), 8, most=1)
    assert len(windows) == len(set(split.table.video)) == len(set(split.table.video[windows.rows]))
    assert sum(int(batch.weight.sum()) for batch in batches) == 12


def test_processes_read_their_blocks_of_every_batch(split):
    whole, _ = pipeline.eval_batches(split, data(), 10)
    parts = [pipeline.eval_batches(split, data(), 10, process=(index, 2))[0] for index in range(2)]
    assert_equal(list(whole), [joined(halves) for halves in zip(*map(list, parts), strict=True)])
    with pytest.raises(ConfigError, match="batch_size=5"):
        pipeline.eval_batches(split, data(), 5, process=(0, 2))


def test_sharded_batches_hold_the_same_numbers(split):
    mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    size = 2 * jax.device_count()
    sharded = pipeline.train_batches(split, data(), size, 0, sharding)
    first = list(itertools.islice(sharded, 2))
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves(first))
    assert_equal(first, train(split, count=2, batch_size=size))
    batches, _ = pipeline.eval_batches(split, data(), size, sharding=sharding)
    assert_equal(list(batches), list(pipeline.eval_batches(split, data(), size)[0]))


def test_short_records_are_padded_at_the_end(write_split, build):
    short = write_split(
        [(build.video(0, method), 0, build.clip(build.ramp(3))) for method in (ORIGINAL, "Deepfakes")], shards=1
    )
    evaluated = next(iter(pipeline.eval_batches(short, data(frames=5), 2)[0]))
    for batch in (evaluated, *train(short, batch_size=2, count=2, plain=True, frames=5)):
        assert batch.length.tolist() == [3, 3]
        levels = batch.frames.mean(axis=(2, 3, 4))
        np.testing.assert_allclose(levels, np.tile([0, STEP, 2 * STEP, 0, 0], (2, 1)), atol=1)
        assert batch.landmarks[:, :3].all()
        assert not batch.landmarks[:, 3:].any()


def test_evaluation_never_drops_a_damaged_record(split):
    damage(split, 13)
    batches, _ = pipeline.eval_batches(split, data(), 8)
    with pytest.raises(DataError, match=r"tfrecord-00001-of-00002: .*record 1\b"):
        list(batches)


def huge(jpeg):
    """The same JPEG with a header that claims 65500 x 65500 pixels, which OpenCV refuses by an exception of its own."""
    start = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:start] + (65500).to_bytes(2) * 2 + jpeg[start + 4 :]


@pytest.mark.parametrize("kind", ["text", "empty", "huge", "landmarks", "count"])
def test_a_record_that_cannot_be_used_is_named(write_split, build, kind, monkeypatch):
    face = build.clip(build.ramp(4))
    if kind == "landmarks":
        face.landmarks[2, 1] = np.nan
    codes = {"text": b"no JPEG", "empty": b"", "huge": huge(records.encode_frames(face.frames)[0])}
    if kind in codes:
        monkeypatch.setattr(records, "encode_frames", lambda frames, quality: [codes[kind]] * len(frames))
    faces = (build.clip(build.ramp(4)), face)
    split = write_split([(build.video(i, ORIGINAL), 0, one) for i, one in enumerate(faces)], shards=1)
    if kind == "count":
        split.table.frames[1] = 6
    batches, _ = pipeline.eval_batches(split, data(), 2)
    with pytest.raises(DataError, match=r"tfrecord-00000-of-00001: record [01]: "):
        list(batches)
