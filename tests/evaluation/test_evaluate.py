"""From batches to rows of scores, and the videos that have none."""

import dataclasses
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.progress import Progress

from fusion_dfd.evaluation import evaluate, summary
from fusion_dfd.input.sampling import WindowList
from fusion_dfd.types import Batch, DataError, Outputs, Stretches


@pytest.fixture
def world():
    """Three stored clips of two videos, four windows of two frames, the third of which has one valid frame."""
    table = types.SimpleNamespace(
        video=np.array(["ff/original/c23/000", "ff/FaceSwap/c23/000_001", "ff/FaceSwap/c23/000_001"]),
        clip=np.array([0, 0, 1]),
        track=np.array([0, 0, 2]),
        dataset=np.array(["ff"] * 3),
        method=np.array(["original", "FaceSwap", "FaceSwap"]),
        compression=np.array(["c23"] * 3),
        group=np.array(["000"] * 3),
        label=np.array([0, 1, 1]),
        start=np.array([10, 20, 40]),
        stretches=np.array(["", "22:23", ""]),
    )
    windows = WindowList(np.array([0, 0, 1, 2]), np.array([0, 4, 1, 2]))
    return table, windows


def _batch(rows, lengths=None, contiguous=None, forged=None):
    rows = np.array(rows)
    count = len(rows)
    return Batch(
        frames=jnp.zeros((count, 2, 4, 4, 3), jnp.uint8),
        landmarks=jnp.zeros((count, 2, 5, 2)),
        length=jnp.array([2] * count if lengths is None else lengths),
        label=jnp.zeros(count, int),
        weight=jnp.array(rows >= 0, float),
        row=jnp.array(rows),
        contiguous=contiguous,
        forged=forged,
    )


@jax.jit
def _predict(batch: Batch) -> Outputs:
    """A logit that says which window was scored: 10 n, and per frame 10 n + t; filling gives nonsense."""
    logit = jnp.where(batch.weight > 0, 10.0 * batch.row, 777.0)
    frames = logit[:, None] + jnp.arange(2)
    return Outputs(logit=logit, branch_logits={}, branch_weights=jnp.ones((len(logit), 1)), frame_logits=frames)


BATCHES = [_batch([3, 0, 2], [2, 2, 1]), _batch([1, -1, -1])]


def test_rows_carry_who_they_are(world):
    table, windows = world
    clips, frames = evaluate.score_windows(_predict, BATCHES, windows, table)
    assert [(row.video, row.clip, row.track, row.label, row.start, row.logit) for row in clips] == [
        ("ff/original/c23/000", 0, 0, 0, 10, 0.0),
        ("ff/original/c23/000", 0, 0, 0, 14, 10.0),
        ("ff/FaceSwap/c23/000_001", 0, 0, 1, 21, 20.0),
        ("ff/FaceSwap/c23/000_001", 1, 2, 1, 42, 30.0),
    ]
    assert [(row.frame, row.logit) for row in frames] == [
        (10, 0.0), (11, 1.0), (14, 10.0), (15, 11.0), (21, 20.0), (42, 30.0), (43, 31.0)
    ]  # fmt: skip
    assert {(row.method, row.group, row.compression, row.dataset) for row in clips} == {
        ("original", "000", "c23", "ff"),
        ("FaceSwap", "000", "c23", "ff"),
    }


def test_rows_say_whether_their_frames_are_consecutive(world):
    batches = [_batch([3, 0, 2], None, np.array([False, True, True])), _batch([1, -1])]
    clips, frames = evaluate.score_windows(_predict, batches, *world[::-1])
    assert [row.contiguous for row in clips] == [1, 1, 1, 0]
    assert [row.contiguous for row in frames] == [1, 1, 1, 1, 1, 1, 0, 0]
    assert summary.summarise([row for row in clips if not row.track], bootstrap=0)["apart"] == {
        "windows": 0, "videos": 0
    }  # fmt: skip
    assert summary.summarise(clips, bootstrap=0)["apart"] == {"windows": 1, "videos": 1}


def test_rows_say_how_many_of_their_frames_are_forged_where_that_is_stated(world):
    forged = np.array([[1, 1], [0, 0], [0, 1]])
    batches = [_batch([3, 0, 2], None, None, forged), _batch([1, -1], None, None, forged[1:])]
    clips, frames = evaluate.score_windows(_predict, batches, *world[::-1])
    assert [(row.start, row.stop, row.forged) for row in clips] == [(10, 12, 0), (14, 16, 0), (21, 23, 1), (42, 44, -1)]
    assert [row.forged for row in frames] == [0, 0, 0, 0, 0, 1, -1, -1]
    assert evaluate.stretches(world[0]) == {"ff/FaceSwap/c23/000_001": Stretches.of([(22, 23)])}


def test_numpy_batches_and_models_without_frame_logits(world):
    def predict(batch):
        return dataclasses.replace(_predict(batch), frame_logits=None)

    batches = [jax.tree.map(np.asarray, batch) for batch in BATCHES]
    clips, frames = evaluate.score_windows(predict, batches, world[1], world[0])
    assert [row.logit for row in clips] == [0, 10, 20, 30]
    assert frames is None


def test_results_are_read_one_batch_late(world):
    order = []

    class Slow:
        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            order.append("read")
            return self.values

    def predict(batch):
        order.append("sent")
        return types.SimpleNamespace(logit=Slow(np.asarray(batch.row, float)), frame_logits=None)

    evaluate.score_windows(predict, BATCHES, world[1], world[0])
    assert order == ["sent", "sent", "read", "read"]


def test_a_nan_logit_is_kept(world):
    clips, _ = evaluate.score_windows(
        lambda batch: dataclasses.replace(_predict(batch), logit=jnp.full(len(batch.row), jnp.nan)),
        BATCHES,
        *world[::-1],
    )
    assert np.isnan([row.logit for row in clips]).all()


def test_windows_that_never_come_are_an_error(world):
    with pytest.raises(DataError, match="3 of 4 windows"):
        evaluate.score_windows(_predict, BATCHES[:1], *world[::-1])
    with pytest.raises(DataError, match="0 of 4 windows"):
        evaluate.score_windows(_predict, [], *world[::-1])


def test_progress_counts_clips_without_filling(world):
    bar = Progress(disable=True)
    evaluate.score_windows(_predict, BATCHES, *world[::-1], progress=bar)
    (task,) = bar.tasks
    assert (task.completed, task.total) == (4, 4)


def _manifest(folder, **lists):
    (folder / "manifest.json").write_text(json.dumps({"failed": [], "faceless": [], **lists}))


def _entry(key, split, label, reason):
    return {"video": key, "path": "x.mp4", "split": split, "label": label, "group": "007", "reason": reason}


def test_unscored_videos_of_a_split(tmp_path):
    _manifest(
        tmp_path,
        failed=[_entry("ff/FaceSwap/c23/007_008", "test", 1, "truncated"), _entry("ff/original/c23/1", "val", 0, "x")],
        faceless=[_entry("ff/original/c23/007", "test", 0, "no face")],
    )
    assert evaluate.unscored(tmp_path, "test") == [
        summary.Unscored("ff/FaceSwap/c23/007_008", "ff", "FaceSwap", "c23", "007", 1, "failed", "truncated"),
        summary.Unscored("ff/original/c23/007", "ff", "original", "c23", "007", 0, "faceless", "no face"),
    ]
    assert evaluate.unscored(tmp_path, "train") == []


@pytest.mark.parametrize(
    "text", [None, "{", "[]", '{"failed": []}', '{"failed": [{"video": "a/b/c/d"}], "faceless": []}']
)
def test_a_manifest_that_cannot_be_used_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json.*prepare the folder again"):
        evaluate.unscored(tmp_path, "test")
