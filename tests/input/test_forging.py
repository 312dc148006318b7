"""Forgeries of real clips, made while they are read."""

import dataclasses

import cv2
import jax
import numpy as np
import pytest
from talking_face import talking_face

from fusion_dfd import config as c
from fusion_dfd.config import FORGERS, Augment, Data
from fusion_dfd.forge import registry
from fusion_dfd.input import augment, forging, pipeline, selection
from fusion_dfd.shards import records
from fusion_dfd.types import MESH_POINTS, ORIGINAL, DataError

STILL = Augment(flip=0, crop=0, colour=0, blur=0, jpeg=0)
COUNT = 24


@pytest.fixture
def reals(build, write_split):
    """Function (seeds whose clips have no mesh) -> split of 4 drawn faces, all real, each another person."""

    def write(without=()):
        clips = []
        for seed in range(4):
            face = talking_face(COUNT, seed=seed)
            mesh = np.full_like(face.mesh, np.nan) if seed in without else face.mesh
            clip = dataclasses.replace(build.clip(face.frames), mesh=mesh)
            clips.append((build.video(seed, ORIGINAL), 0, clip))
        return write_split(clips, folder=f"without{len(without)}")

    return write


def options(**changes) -> Data:
    return Data(**{"frames": 16, "size": 64, "threads": 1, "forge": ("blend",), "augment": STILL, **changes})


def first(split, data, seed=0, batches=2, start=0):
    made = iter(pipeline.train_batches(split, data, 4, seed, start=start))
    return [jax.tree.map(np.copy, next(made)) for _ in range(batches)]


def test_the_configuration_knows_every_forger():
    assert set(registry.FORGERS) == set(FORGERS)


def test_a_pair_is_a_real_window_and_its_forgery_under_one_draw(reals):
    split = reals()
    one, two = first(split, options(augment=Augment(flip=1, crop=0.3, degrade=1.0)))
    np.testing.assert_array_equal(one.label, [0, 1, 0, 1])
    np.testing.assert_array_equal(one.length, 16)
    assert not one.mask[::2].any()
    assert one.mask[1::2].max((1, 2, 3)).min() > 50
    assert (one.frames[0] != one.frames[1]).any()
    assert (one.frames != two.frames).any()


def test_outside_the_mask_the_halves_are_equal(reals):
    for batch in first(reals(), options(size=256)):
        mask = np.repeat(np.repeat(batch.mask[1::2], 16, -1), 16, -2)
        assert mask.any((2, 3)).all()
        # A cell that rounds to 0 may hold a corner of the mask, hence the cells around it.
        near = np.stack([cv2.dilate(frame, np.ones((33, 33))) for frame in mask.reshape(-1, 256, 256)]) > 0
        same = (batch.frames[1::2] == batch.frames[::2]).all(-1).reshape(near.shape)
        assert (~near).sum() > 0
        assert same[~near].all()
        assert not same[near].all()


def test_batches_carry_the_mesh_of_each_half_and_zeros_where_there_is_none(reals):
    (pairs,) = first(reals(), options(forge=("animate",)), batches=1)
    assert pairs.landmarks.shape == (4, 16, 5 + MESH_POINTS, 2)
    assert (pairs.landmarks[0::2, :, 5:] != pairs.landmarks[1::2, :, 5:]).any((1, 2, 3)).all()
    batches, _ = pipeline.eval_batches(reals(without=[1]), options(forge=()), 4)
    stored = next(iter(batches)).landmarks[:, :, 5:]
    assert sorted(bool(rows.any()) for rows in stored) == [False, True, True, True]


def test_a_run_goes_on_where_it_stopped_and_threads_change_nothing(reals):
    split, data = reals(), options(forge=("blend", "mouth"))
    whole = first(split, data, batches=3)
    again = first(split, dataclasses.replace(data, threads=3), batches=1, start=2)
    jax.tree.map(np.testing.assert_array_equal, whole[2], again[0])


def test_clips_without_a_mesh_are_passed_over(reals, caplog):
    split = reals(without=(0, 2))
    for batch in first(split, options(), batches=3):
        assert set(split.table.group[batch.row[::2]]) <= {"g1", "g3"}
    assert caplog.text.count("forger blend: not applied to 1 clips so far") == 1


def test_shards_without_any_mesh_are_refused_in_a_sentence(reals, build, write_split):
    with pytest.raises(DataError, match=r"data\.forge wants clips with a face mesh; prepare again with faces\.mesh"):
        forging._with_mesh(reals(without=range(4)), "x")
    bare = write_split([(build.video(0, ORIGINAL), 0, build.clip(build.ramp(8)))], shards=1)
    with pytest.raises(DataError, match=r"100 damaged pairs .* prepare the folder again with faces\.mesh=True"):
        first(bare, options(frames=4))


def test_fakes_alone_are_refused(build, write_split):
    split = write_split([(build.video(0, "Deepfakes"), 0, build.clip(build.ramp(8)))], shards=1)
    with pytest.raises(DataError, match=r"data\.forge wants real clips, but none of the 1 stored clips is"):
        forging.reals(split.table)


def test_a_split_for_validation_holds_each_clip_and_its_forgeries(reals, tmp_path, monkeypatch):
    plain = reals()
    monkeypatch.setattr(selection.clip_index, "open_split", lambda folder, split, excluded: plain)
    data = options(val_forge=("mouth", "blend"))
    split = selection.open_split("x", "val", data, 0)
    assert split.table.label.tolist() == [0] * 4 + [1] * 8
    assert sorted(set(split.table.method)) == ["blend", "mouth", ORIGINAL]
    assert len(set(split.table.video)) == 12
    assert split.source[5] == split.source[5]
    real, fake = records.decode(split.source[1]), records.decode(split.source[5])
    assert (real.video.label, fake.video.label, fake.video.method) == (0, 1, "mouth")
    assert split.table.video[5] == fake.video.key
    assert real.frames != fake.frames
    batches, windows = pipeline.eval_batches(split, data, 4, most=1)
    assert sum(int(batch.weight.sum()) for batch in batches) == len(windows) == 12


def test_fakes_of_their_own_judge_better(split, monkeypatch):
    monkeypatch.setattr(selection.clip_index, "open_split", lambda folder, name, excluded: split)
    assert selection.open_split("x", "test", options(), 0) is split
    assert selection.open_split("x", "val", Data(), 0) is split


def test_the_mask_goes_where_its_frames_go():
    mask = np.zeros((2, 64, 64), np.float32)
    mask[:, :32, :32] = 1
    cells = pipeline._cells(mask, augment.Params(flip=True, window=(0.0, 0.0, 0.5)))
    np.testing.assert_array_equal(cells, np.full((2, 16, 16), 255))
    cells = pipeline._cells(mask, augment.Params(flip=True))
    np.testing.assert_array_equal(cells[0, :7, 9:], 255)
    assert not cells[0, :, :7].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.val_forge": ("blend",)}, r"data\.val_forge=.* only with data\.forge"),
        (
            {"data.forge": ("swap",)},
            r"data\.forge=\('swap',\): want a subset of blend, animate, regions",
        ),
        ({"optim.map": 1.0}, r"optim\.map=1\.0: want data\.forge and the branch spatial"),
    ],
)
def test_options_that_do_not_go_together(changes, message):
    config = c.Config()
    for path, value in changes.items():
        section, name = path.split(".")
        setattr(getattr(config, section), name, value)
    with pytest.raises(c.ConfigError, match=message):
        config.validate()
