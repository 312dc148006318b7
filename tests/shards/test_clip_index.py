import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import synthetic_tracks

from fusion_dfd import config
from fusion_dfd.shards import clip_index, records, runners, tfrecord
from fusion_dfd.shards.prepare import Preparation, prepare
from fusion_dfd.types import DataError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    listed = synthetic_tracks.videos(root / "videos")
    out = str(root / "shards")
    preparation = Preparation(
        listed,
        out,
        config.Faces(),
        "toy",
        runner=runners.local(0),
        extract=synthetic_tracks.cut,
        videos_per_shard=4,
    )
    prepare(preparation)
    return out, listed


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "shards")


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_each_row_describes_its_record(made, split):
    opened = clip_index.open_split(made[0], split)
    videos = {video.key: video for video in made[1] if video.split == split}
    assert len(opened) == len(opened.source) == len(opened.table) == 2 * len(videos)
    assert set(opened.table.video) == set(videos)
    for row in range(len(opened)):
        clip = records.decode(opened.source[row])
        of = {name: getattr(opened.table, name)[row] for name in clip_index.COLUMNS}
        for name in ("dataset", "method", "compression", "group", "source", "label"):
            assert of[name] == getattr(clip.video, name) == getattr(videos[clip.video.key], name)
        got = (of["video"], of["clip"], of["track"], of["frames"], of["start"])
        assert got == (clip.video.key, clip.clip, clip.track, len(clip), clip.indices[0])


def test_columns_are_arrays_of_one_length(made):
    opened = clip_index.open_split(made[0], "train")
    for name in clip_index.COLUMNS:
        column = getattr(opened.table, name)
        assert column.shape == (len(opened),)
        assert column.dtype == np.int64 or column.dtype.kind == "U"


def test_records_name_no_folder_of_this_machine(made):
    opened = clip_index.open_split(made[0], "test")
    paths = {records.decode(opened.source[row]).video.path for row in range(len(opened))}
    assert "original/006.mp4" in paths
    assert not any(os.path.isabs(path) for path in paths)


def same(a: clip_index.ClipTable, b: clip_index.ClipTable) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in clip_index.COLUMNS)


def test_a_split_without_a_manipulation_reads_the_other_records(made):
    whole = clip_index.open_split(made[0], "train")
    part = clip_index.without(whole, ("FaceSwap",))
    keep = np.flatnonzero(whole.table.method != "FaceSwap")
    assert 0 < len(part) == len(keep) < len(whole)
    assert [part.source[row] for row in range(len(part))] == [whole.source[row] for row in keep]
    assert same(
        part.table, clip_index.ClipTable(**{name: getattr(whole.table, name)[keep] for name in clip_index.COLUMNS})
    )
    assert clip_index.without(whole, ()) is whole


def test_only_manipulations_that_are_there_can_be_left_out(made):
    whole = clip_index.open_split(made[0], "train")
    for name in ("Face2Face", "original"):
        with pytest.raises(
            DataError, match=f"cannot leave out {name}: the manipulations there are Deepfakes, FaceSwap"
        ):
            clip_index.without(whole, (name,))


def test_missing_sidecars_are_rebuilt_from_the_shards(folder):
    before = clip_index.open_split(folder, "train").table
    sidecars = [path + clip_index.SUFFIX for path in clip_index.find_shards(folder)["train"]]
    for path in sidecars:
        os.remove(path)
    assert same(clip_index.open_split(folder, "train").table, before)
    assert all(map(os.path.exists, sidecars))
    assert same(clip_index.open_split(folder, "train").table, before)


def test_sidecars_of_earlier_versions_do_not_know_of_stretches(folder):
    before = clip_index.open_split(folder, "val").table
    for path in clip_index.find_shards(folder)["val"]:
        with open(path + clip_index.SUFFIX, encoding="utf-8") as file:
            index = json.load(file)
        del index["digest"], index["columns"]["forged"], index["columns"]["stretches"]
        with open(path + clip_index.SUFFIX, "w", encoding="utf-8") as file:
            json.dump(index, file)
    assert same(clip_index.open_split(folder, "val").table, before)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0}', '{"version": 1, "shard": "another", "columns": {}}'])
def test_sidecars_of_something_else_are_rebuilt(folder, text):
    before = clip_index.open_split(folder, "val").table
    (folder / (os.path.basename(clip_index.find_shards(folder)["val"][0]) + clip_index.SUFFIX)).write_text(text)
    assert same(clip_index.open_split(folder, "val").table, before)


def test_a_shard_cut_short_is_named(folder):
    shard = clip_index.find_shards(folder)["train"][1]
    os.truncate(shard, os.path.getsize(shard) - 1)
    with pytest.raises(DataError, match=rf"{shard} has \d+ bytes, its index says \d+"):
        clip_index.open_split(folder, "train")
    assert clip_index.valid_index(shard) is None


def test_a_shard_cut_short_without_sidecar_loses_its_last_record_with_a_warning(folder):
    before = len(clip_index.open_split(folder, "val"))
    shard = clip_index.find_shards(folder)["val"][-1]
    found = tfrecord.scan(shard)
    os.truncate(shard, os.path.getsize(shard) - 1)
    os.remove(shard + clip_index.SUFFIX)
    left = int(found.sizes[-1]) + tfrecord.OVERHEAD - 1
    with pytest.warns(UserWarning, match=f"the last {left} bytes are an incomplete record"):
        opened = clip_index.open_split(folder, "val")
    assert len(opened) == before - 1
    assert not os.path.exists(shard + clip_index.SUFFIX), "half a shard must not be vouched for"


def test_a_flipped_bit_is_named_when_it_is_read(folder):
    opened = clip_index.open_split(folder, "train")
    shard = opened.source.paths[0]
    with open(shard, "r+b") as file:
        file.seek(int(opened.table.offset[1]) + 100)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(DataError, match=f"{shard}: record 1 is damaged"):
        clip_index.open_split(folder, "train").source[1]


def test_folders_without_the_split_are_explained(folder, tmp_path):
    with pytest.raises(DataError, match=r"nowhere is no folder; make it with fusion-dfd prepare"):
        clip_index.open_split(str(tmp_path / "nowhere"), "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no shards, but nothing"):
        clip_index.open_split(str(tmp_path / "empty"), "train")
    (tmp_path / "empty" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds no shards, but 1 other files \(notes.txt\)"):
        clip_index.open_split(str(tmp_path / "empty"), "train")
    with pytest.raises(DataError, match="no split 'dev'; it holds the splits test, train, val"):
        clip_index.open_split(folder, "dev")


def test_an_unfinished_folder_is_refused(folder):
    os.remove(folder / clip_index.MANIFEST)
    with pytest.raises(DataError, match="was not finished; run the same prepare again"):
        clip_index.open_split(folder, "val")


def test_a_folder_that_lacks_a_shard_is_refused(folder):
    os.remove(clip_index.find_shards(folder)["train"][0])
    with pytest.raises(DataError, match=r"split 'train' of .* has 2 of 3 shards"):
        clip_index.open_split(folder, "val")


def test_a_split_without_a_clip_is_refused(folder):
    for shard in clip_index.find_shards(folder)["val"]:
        tfrecord.write(shard, [])
        os.remove(shard + clip_index.SUFFIX)
    with pytest.raises(DataError, match=r"split 'val' .* holds no clip; .*manifest.json says why"):
        clip_index.open_split(folder, "val")


def test_a_sidecar_reads_no_byte_of_its_shard(folder):
    shard = clip_index.find_shards(folder)["test"][0]
    size = os.path.getsize(shard)
    with open(shard, "wb") as file:
        file.truncate(size)
    opened = clip_index.open_split(folder, "test")
    index = json.loads((folder / (os.path.basename(shard) + clip_index.SUFFIX)).read_text())
    assert opened.table.size[0] == index["columns"]["size"][0]


def test_columns_of_the_table_are_those_of_the_contract():
    names = "shard offset size frames video clip track dataset method compression group source label start"
    assert " ".join(field.name for field in dataclasses.fields(clip_index.ClipTable)) == f"{names} forged stretches"


def test_a_flipped_bit_of_a_sidecar_changes_nothing(folder, rng):
    """Each flip that leaves JSON behind could give clips other labels, names or places: the shard itself decides."""
    whole = clip_index.open_split(str(folder), "train").table
    sidecar = clip_index.find_shards(str(folder))["train"][0] + clip_index.SUFFIX
    with open(sidecar, "rb") as file:
        content = file.read()
    for place in rng.choice(len(content), 60, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(7)
        with open(sidecar, "wb") as file:
            file.write(damaged)
        table = clip_index.open_split(str(folder), "train").table
        for field in dataclasses.fields(whole):
            np.testing.assert_array_equal(getattr(table, field.name), getattr(whole, field.name))
