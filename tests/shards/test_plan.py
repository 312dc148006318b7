import collections
import dataclasses
import random

import pytest
import synthetic_tracks

from fusion_dfd import config
from fusion_dfd.faces import detector, mesh
from fusion_dfd.shards import plan
from fusion_dfd.types import DataError

FACES = config.Faces()


@pytest.fixture
def listed(tmp_path):
    return synthetic_tracks.videos(tmp_path, pairs=16)


def test_every_video_lies_in_one_shard_of_its_split(listed):
    made = plan.make(listed, "out", FACES, "toy", 5)
    assert sorted(video.key for entry in made.shards for video in entry.videos) == sorted(v.key for v in listed)
    assert all(video.split == entry.split for entry in made.shards for video in entry.videos)
    assert {len(entry.videos) for entry in made.shards} <= {4, 5}


def test_names_are_those_of_tfds(listed):
    made = plan.make(listed, "out", FACES, "toy", 24)
    assert [entry.path for entry in made.shards] == [
        "out/toy-train.tfrecord-00000-of-00002",
        "out/toy-train.tfrecord-00001-of-00002",
        "out/toy-val.tfrecord-00000-of-00001",
        "out/toy-test.tfrecord-00000-of-00001",
    ]


def test_methods_are_mixed_over_the_shards(listed):
    for entry in plan.make(listed, "out", FACES, "toy", 6).shards:
        count = collections.Counter(video.method for video in entry.videos)
        assert set(count) == set(synthetic_tracks.METHODS)
        assert max(count.values()) - min(count.values()) <= 2


def test_the_plan_depends_on_neither_order_nor_folder(listed, tmp_path):
    again = synthetic_tracks.videos(tmp_path / "moved", pairs=16)
    random.Random(0).shuffle(again)
    first, second = plan.make(listed, "out", FACES, "toy"), plan.make(again, "elsewhere", FACES, "toy")
    assert [entry.fingerprint for entry in first.shards] == [entry.fingerprint for entry in second.shards]
    assert plan.differences(first.options, second.options) == []


def test_a_mask_counts_by_its_size_and_not_by_where_it_lies(listed, tmp_path):
    def made(name, size):
        path = tmp_path / name / "mask.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(size))
        masked = [dataclasses.replace(listed[0], mask=str(path)), *listed[1:]]
        assert plan.relative(masked[0], "").mask == ""
        return plan.make(masked, "out", FACES, "toy", 8)

    plain = plan.make(listed, "out", FACES, "toy", 8)
    first, moved, other = made("here", 5), made("there", 5), made("here", 6)
    prints = [[entry.fingerprint for entry in one.shards] for one in (plain, first, moved, other)]
    assert prints[1] == prints[2]
    for before, now in ((0, 1), (1, 3)):
        assert sum(a != b for a, b in zip(prints[before], prints[now], strict=True)) == 1
    assert plan.differences(plain.options, other.options) == []


def test_a_fingerprint_depends_on_options_list_and_file_sizes(listed):
    def prints(videos=listed, faces=FACES):
        return {entry.path: entry.fingerprint for entry in plan.make(videos, "out", faces, "toy", 8).shards}

    before = prints()
    assert prints() == before
    other = prints(faces=dataclasses.replace(FACES, every=4))
    assert all(other[path] != before[path] for path in before)
    other = prints([dataclasses.replace(listed[0], label=1), *listed[1:]])
    assert sum(other[path] != before[path] for path in before) == 1
    with open(listed[0].path, "ab") as file:
        file.write(b"more")
    other = prints()
    assert sum(other[path] != before[path] for path in before) == 1


def test_differences_are_named(listed):
    one = plan.make(listed, "out", FACES, "toy").options
    assert plan.differences(one, {**one, "faces": {**one["faces"], "every": 4}}) == ["faces.every=8, now 4"]
    moved = [dataclasses.replace(listed[0], id="other"), *listed[1:]]
    assert plan.differences(one, plan.make(moved, "out", FACES, "toy").options) == ["another list of videos"]
    fewer = [video for video in listed if video.method != "FaceSwap"]
    found = plan.differences(one, plan.make(fewer, "out", FACES, "toy").options)
    assert found == ["videos=96, now 64"]


def test_the_mesh_counts_by_its_network_and_only_where_it_is_asked_for(listed, monkeypatch):
    monkeypatch.setattr(mesh, "identity", lambda: "network a")
    off, on = (plan.make(listed, "out", dataclasses.replace(FACES, mesh=asked), "toy", 24) for asked in (False, True))
    assert "mesh" not in off.options["faces"], "folders of earlier versions have no such option"
    assert not {one.fingerprint for one in off.shards} & {one.fingerprint for one in on.shards}
    assert plan.differences(off.options, on.options) == ["faces.mesh=None, now network a"]
    assert plan.differences(on.options, off.options) == ["faces.mesh=network a, now None"]
    monkeypatch.setattr(mesh, "identity", lambda: "network b")
    other = plan.make(listed, "out", dataclasses.replace(FACES, mesh=True), "toy", 24)
    assert plan.differences(on.options, other.options) == ["faces.mesh=network a, now network b"]


def test_leaks_are_refused(listed):
    with pytest.raises(DataError, match="groups lie in more than one split"):
        plan.make([dataclasses.replace(listed[0], split="val"), *listed[1:]], "out", FACES, "toy")


@pytest.mark.parametrize("name", ["", "Toy", "a-b", "1a", "a/b"])
def test_names_that_tfds_cannot_open_are_refused(listed, name):
    with pytest.raises(DataError, match="lower-case letters"):
        plan.make(listed, "out", FACES, name)


def test_an_empty_list_is_refused():
    with pytest.raises(DataError, match="no video to prepare"):
        plan.make([], "out", FACES, "toy")


def test_weights_count_by_what_they_are_and_not_by_where_they_lie(listed, monkeypatch):
    faces = dataclasses.replace(FACES, detector="retinaface", weights="here.pth")
    made = {}
    for place, sha256 in (("here.pth", "a"), ("there.pth", "a"), ("here.pth", "b")):
        monkeypatch.setattr(detector, "identity", lambda options, sha256=sha256: f"retinaface sha256={sha256}")
        made[place, sha256] = plan.make(listed, "out", dataclasses.replace(faces, weights=place), "toy", 24)
    first, moved, other = made.values()
    assert [entry.fingerprint for entry in moved.shards] == [entry.fingerprint for entry in first.shards]
    assert plan.differences(first.options, moved.options) == []
    assert not {e.fingerprint for e in other.shards} & {e.fingerprint for e in first.shards}
    said = ["faces.detector=retinaface sha256=a, now retinaface sha256=b"]
    assert plan.differences(first.options, other.options) == said
    assert {entry.detector for entry in first.shards} == {"retinaface sha256=a"}
