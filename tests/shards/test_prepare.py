import dataclasses
import json
import multiprocessing
import os
import signal
from types import SimpleNamespace

import pytest
import synthetic_tracks

from fusion_dfd import config, process_pool
from fusion_dfd.faces import detector, mesh
from fusion_dfd.shards import clip_index, manifest, plan, records, runners, shard_writer, tfrecord
from fusion_dfd.shards.prepare import Preparation, prepare
from fusion_dfd.types import DataError, Stretches

FACES = config.Faces()


@pytest.fixture
def listed(tmp_path):
    return synthetic_tracks.videos(tmp_path / "videos")


def run(listed, out, extract=synthetic_tracks.cut, **changes):
    options = {"faces": FACES, "name": "toy", "runner": runners.local(0), "videos_per_shard": 6, **changes}
    return prepare(Preparation(listed, str(out), extract=extract, **options))


def content(folder) -> dict[str, bytes]:
    """Every file of a folder, the lock apart."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


def test_counts_are_those_of_the_list(listed, tmp_path):
    made = run(listed, tmp_path / "out")
    assert made.counts["total"] == {"videos": 24, "empty": 0, "clips": 48, "faces": 24, "frames": 144}
    train = made.counts["splits"]["train"]
    assert train["labels"]["real"] == {"videos": 4, "empty": 0, "clips": 8, "faces": 4, "frames": 24}
    assert {method: count["videos"] for method, count in train["methods"].items()} == dict.fromkeys(
        synthetic_tracks.METHODS, 4
    )
    assert (train["shards"], train["videos"]) == (2, 12)
    size = sum(os.path.getsize(path) for path in clip_index.find_shards(str(tmp_path / "out"))["train"])
    assert train["bytes"] == size
    assert (made.failed, made.faceless, made.damaged) == ([], [], [])
    assert manifest.load(str(tmp_path / "out")) == made


def test_attributes_are_in_the_manifest_and_change_no_shard(listed, tmp_path):
    plain = run(listed, tmp_path / "plain")
    facts = [dataclasses.replace(video, attributes=(("language", video.method),)) for video in listed[:3]]
    made = run([*facts, *listed[3:]], tmp_path / "out")
    assert made.attributes == {video.key: {"language": video.method} for video in facts}
    assert manifest.load(str(tmp_path / "out")) == made
    assert (made.content, made.options) == (plain.content, plain.options)


def test_processes_make_the_bytes_that_one_makes(listed, tmp_path):
    alone, many = run(listed, tmp_path / "a"), run(listed, tmp_path / "b", runner=runners.local(2))
    assert alone == many
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_frames_that_are_not_known_to_be_consecutive_are_counted(listed, tmp_path):
    made = run(listed, tmp_path / "out", synthetic_tracks.cut_with_gaps)
    assert {entry["path"]: entry["gaps"] for entry in made.gapped} == {"original/002.mp4": 3}
    assert made.summary().endswith("; 1 folders of frames that are not known to be consecutive")
    assert manifest.load(str(tmp_path / "out")) == made


def cut_at_4_fps(path, faces, detector, mask):
    made = synthetic_tracks.cut(path, faces, detector, mask)
    made.info.fps = 0.0 if path.endswith("Deepfakes/004_005.mp4") else 4.0
    return made


def test_stretches_in_seconds_are_stored_in_frames(listed, tmp_path):
    def stated(video):
        return dataclasses.replace(video, stretches=Stretches.of([(0.25, 0.75), (2.75, 9)], "seconds"))

    made = run([stated(video) if video.label else video for video in listed], tmp_path / "out", cut_at_4_fps)
    (failed,) = made.failed
    assert failed["path"] == "Deepfakes/004_005.mp4"
    assert "in seconds, but it states no frame rate" in failed["reason"]
    train = clip_index.open_split(str(tmp_path / "out"), "train").table
    fake = train.label == 1
    assert set(train.stretches[fake]) == {"1:3;11:36"}
    assert set(train.stretches[~fake]) == {""}
    counts = set(zip(train.start[fake].tolist(), train.forged[fake].tolist(), strict=True))
    assert counts == {(0, 2), (10, 2)}
    with pytest.raises(DataError, match="another list of videos"):
        run(listed, tmp_path / "out", cut_at_4_fps)


def test_bad_videos_are_listed_and_stop_nothing(listed, tmp_path):
    made = run(listed, tmp_path / "out", synthetic_tracks.cut_or_fail)
    failed = {entry["path"]: entry["reason"] for entry in made.failed}
    assert failed.keys() == {"original/003.mp4", "FaceSwap/001_000.mp4"}
    assert failed["original/003.mp4"].endswith("original/003.mp4: ValueError: no such codec")
    assert failed["FaceSwap/001_000.mp4"].endswith("FaceSwap/001_000.mp4: empty (0 bytes)")
    assert [(e["path"], e["reason"]) for e in made.faceless] == [("original/000.mp4", "no face above 0.9 in 7 frames")]
    assert made.counts["total"] == {"videos": 24, "empty": 3, "clips": 42, "faces": 21, "frames": 126}
    assert made.counts["splits"]["train"]["labels"]["real"]["empty"] == 2
    assert "2 videos failed, 1 without a face" in made.summary()
    opened = clip_index.open_split(str(tmp_path / "out"), "train")
    assert "toy/FaceSwap/c23/001_000" not in set(opened.table.video)
    assert len(opened) == 18


@pytest.mark.slow
def test_a_video_that_hangs_its_process_stops_nothing(listed, tmp_path):
    shards = plan.make(listed, str(tmp_path), FACES, "toy", 12).shards
    done = set()
    setup = runners.Setup(FACES, synthetic_tracks.cut_or_hang, patience=1.0)
    runners.local(1)(shards, setup, lambda key, found: done.add(key) if found else None)
    found = {video.key: found for entry in shards for video, found in _reports(entry)}
    assert done == found.keys() == {video.key for video in listed}
    reasons = {key: value["error"] for key, value in found.items() if value["error"]}
    assert reasons == {"toy/original/c23/002": process_pool.DIED}
    assert sum(value["clips"] for value in found.values()) == 2 * 23


def _reports(entry):
    return zip(entry.videos, shard_writer.valid(entry)["about"]["videos"], strict=True)


@pytest.mark.slow
def test_a_process_killed_once_costs_no_video(listed, tmp_path):
    shards = plan.make(listed, str(tmp_path / "out"), FACES, "toy", 12).shards
    os.makedirs(tmp_path / "out")
    with pytest.raises(DataError, match="run again with fewer workers than 2"):
        runners.local(2)(shards, runners.Setup(FACES, synthetic_tracks.cut_or_die_once, 60), lambda key, about: None)
    runners.local(2)(shards, runners.Setup(FACES, synthetic_tracks.cut_or_die_once, 60), lambda key, about: None)
    abouts = [about for shard in shards for _, about in _reports(shard)]
    assert [about["clips"] for about in abouts] == [2] * 24


def test_damaged_packets_are_listed(listed, tmp_path):
    def cut(path, faces, detector, mask):
        found = synthetic_tracks.cut(path, faces, detector, mask)
        return SimpleNamespace(
            clips=found.clips, damaged=3 * path.endswith("original/001.mp4"), reason="", unmasked=None, info=found.info
        )

    made = run(listed, tmp_path / "out", cut)
    told = {
        "video": "toy/original/c23/001",
        "path": "original/001.mp4",
        "split": "train",
        "label": 0,
        "group": "000_001",
    }
    assert made.damaged == [{**told, "packets": 3}]


def test_frames_with_a_mesh_are_counted(listed, tmp_path, monkeypatch):
    monkeypatch.setattr(mesh, "identity", lambda: "network a")
    made = run(listed, tmp_path / "out", synthetic_tracks.cut_meshed, faces=config.Faces(mesh=True))
    total = made.counts["total"]
    assert total["meshes"] == total["clips"] * 2 == total["frames"] * 2 / 3
    assert made.summary().endswith(f"; {total['clips']} frames without a face mesh")
    split = clip_index.open_split(str(tmp_path / "out"), "val")
    assert records.decode(split.source[0]).mesh.shape == (3, 152, 2)


def test_a_mask_is_handed_on_and_its_failure_told_without_its_name(listed, tmp_path):
    def cut(path, faces, detector, mask):
        found = synthetic_tracks.cut(path, faces, detector, mask)
        found.unmasked = f"{mask}: damaged" if mask else None
        return found

    fake = next(video for video in listed if video.method == "FaceSwap")
    masked = [dataclasses.replace(video, mask=str(tmp_path / "m") if video is fake else "") for video in listed]
    made, plain = run(masked, tmp_path / "out", cut), run(listed, tmp_path / "plain", cut)
    assert [(entry["video"], entry["reason"]) for entry in made.unmasked] == [(fake.key, "mask: damaged")]
    assert made.summary().endswith("24 videos; 1 masks not used")
    assert plain.unmasked == []
    assert plain.content == made.content


class Killed(BaseException):
    """Stands for the end of the process: nothing of ours catches it."""


def test_a_run_stopped_at_any_point_is_never_believed_and_its_continuation_gives_the_same_bytes(tmp_path, monkeypatch):
    listed = synthetic_tracks.videos(tmp_path / "videos", pairs=2, split_of=lambda pair: ("train", "val")[pair])
    run(listed, tmp_path / "whole", videos_per_shard=3)
    wanted = content(tmp_path / "whole")
    events, limit = 0, 10**9

    def dies(function):
        def wrapped(*args):
            nonlocal events
            events += 1
            if events > limit:
                raise Killed
            return function(*args)

        return wrapped

    monkeypatch.setattr(os, "replace", dies(os.replace))
    monkeypatch.setattr(os, "fsync", dies(lambda fd: None))  # the disk may be slow; nobody pulls the plug here
    cut = dies(synthetic_tracks.cut)
    run(listed, tmp_path / "counted", cut, videos_per_shard=3)
    total = events
    assert total == 12 + 3 * (2 * 4 + 5), (
        "each video; a sync, a rename and a sync for each shard, sidecar and other file"
    )
    for limit in range(total - 1):  # the last event, the manifest's second sync, comes after the end
        events, out = 0, tmp_path / f"stopped-{limit}"
        with pytest.raises(Killed):
            run(listed, out, cut, videos_per_shard=3)
        with pytest.raises(DataError):
            clip_index.open_split(str(out), "train")
        events = -(10**9)
        run(listed, out, cut, videos_per_shard=3)
        assert content(out) == wanted


def _killed_run(listed, out, after: int):
    calls = 0

    def cut(path, faces, detector, mask):
        nonlocal calls
        calls += 1
        if calls > after:
            os.kill(os.getpid(), signal.SIGKILL)
        return synthetic_tracks.cut(path, faces, detector, mask)

    run(listed, out, cut)


def test_a_killed_process_loses_its_last_shard_only(listed, tmp_path):
    run(listed, tmp_path / "whole")
    process = multiprocessing.get_context("spawn").Process(target=_killed_run, args=(listed, tmp_path / "out", 15))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list((tmp_path / "out").glob("*.partial"))
    seen = []

    def cut(path, faces, detector, mask):
        seen.append(path)
        return synthetic_tracks.cut(path, faces, detector, mask)

    run(listed, tmp_path / "out", cut)
    assert len(seen) == 24 - 12
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def never(path, faces, detector, mask):
    raise AssertionError("nothing is left to do")


def test_a_finished_folder_is_kept_as_it_is(listed, tmp_path):
    made = run(listed, tmp_path / "out")
    before = content(tmp_path / "out")
    assert run(listed, tmp_path / "out", never) == made
    assert content(tmp_path / "out") == before


def test_only_the_shard_of_a_changed_file_is_made_again(listed, tmp_path):
    run(listed, tmp_path / "out")
    with open(listed[0].path, "ab") as file:
        file.write(b"longer")
    seen = []

    def cut(path, faces, detector, mask):
        seen.append(path)
        return synthetic_tracks.cut(path, faces, detector, mask)

    run(listed, tmp_path / "out", cut)
    assert listed[0].path in seen
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"faces": dataclasses.replace(FACES, every=4, size=64)}, "faces.every=8, now 4; faces.size=256, now 64"),
        ({"videos_per_shard": 7}, "videos_per_shard=6, now 7"),
        ({"name": "other"}, "name=toy, now other"),
    ],
)
def test_other_options_never_meet_in_one_folder(listed, tmp_path, change, said):
    run(listed, tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(DataError, match=f"was prepared with {said}: choose another folder"):
        run(listed, tmp_path / "out", **change)
    assert content(tmp_path / "out") == before


def test_shards_without_a_plan_are_not_touched(listed, tmp_path):
    run(listed, tmp_path / "out")
    os.remove(tmp_path / "out" / clip_index.PLAN)
    with pytest.raises(DataError, match="shards of unknown origin"):
        run(listed, tmp_path / "out")


def test_two_runs_never_share_a_folder(listed, tmp_path):
    def cut(path, faces, detector, mask):
        with pytest.raises(DataError, match="another process is preparing"):
            run(listed, tmp_path / "out")
        return synthetic_tracks.cut(path, faces, detector, mask)

    assert run(listed, tmp_path / "out", cut).failed == []


def test_nothing_useful_is_an_error_that_names_a_reason(listed, tmp_path):
    with pytest.raises(DataError, match=r"none of 24 videos gave a clip, the first because: .*nothing is left"):
        run(listed, tmp_path / "out", never)
    assert len(json.loads((tmp_path / "out" / clip_index.MANIFEST).read_text())["failed"]) == 24


def test_a_full_disk_is_one_sentence_and_the_run_can_be_continued(listed, tmp_path, monkeypatch):
    real, left = os.fsync, 5

    def full(fd):
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        real(fd)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*: No space left on device; make room"):
        run(listed, tmp_path / "out")
    monkeypatch.setattr(os, "fsync", real)
    assert run(listed, tmp_path / "out") == run(listed, tmp_path / "whole")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_an_old_sidecar_never_vouches_for_a_new_shard(listed, tmp_path, monkeypatch):
    (entry,) = plan.make(listed[:1], str(tmp_path), FACES, "toy").shards
    shard_writer.write_shard(entry, lambda path, mask: synthetic_tracks.cut(path, FACES, None, mask))
    other = dataclasses.replace(entry, fingerprint="another")
    monkeypatch.setattr(clip_index, "write_index", lambda *args: None)
    shard_writer.write_shard(other, lambda path, mask: synthetic_tracks.cut(path, FACES, None, mask))
    assert shard_writer.valid(entry) is None
    assert shard_writer.valid(other) is None


def test_writing_a_shard_again_does_nothing(listed, tmp_path):
    (entry,) = plan.make(listed[:3], str(tmp_path), FACES, "toy").shards
    first = shard_writer.write_shard(entry, lambda path, mask: synthetic_tracks.cut(path, FACES, None, mask))
    assert shard_writer.write_shard(entry, lambda path, mask: never(path, FACES, None, mask)) == first
    assert len(tfrecord.scan(entry.path).offsets) == 6


def test_records_and_manifest_name_the_weights(listed, tmp_path, monkeypatch):
    said = "retinaface sha256=0f anchors=1,2 slope=0.1"
    monkeypatch.setattr(detector, "identity", lambda options: said)
    faces = dataclasses.replace(FACES, detector="retinaface", weights="a.pth")
    made = run(listed, tmp_path / "out", faces=faces)
    assert made.detector == said
    stored = (tmp_path / "out" / "plan.json").read_text()
    assert said in stored
    assert "a.pth" not in stored
    shard = next((tmp_path / "out").glob("*.tfrecord-00000-of-*[0-9]"))
    assert shard.read_bytes().count(said.encode()) > 1


def test_an_unknown_detector_is_named(listed, tmp_path):
    with pytest.raises(DataError, match="detector=nothing"):
        run(
            listed,
            tmp_path / "out",
            None,
            faces=dataclasses.replace(FACES, detector="nothing"),
            runner=runners.local(1),
        )
