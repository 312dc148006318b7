"""The data set on disk: layout, determinism, resumption, refusals."""

import dataclasses
import hashlib
import json
import pathlib

import av
import numpy as np
import pytest

from fusion_dfd.config import Synthetic
from fusion_dfd.datasets import faceforensics
from fusion_dfd.faces.video import Reader
from fusion_dfd.synthetic import generate, take
from fusion_dfd.synthetic.forgery import FAMILIES
from fusion_dfd.types import ORIGINAL, DataError


def videos(root) -> dict[str, pathlib.Path]:
    return {str(path.relative_to(root)): path for path in sorted(pathlib.Path(root).rglob("*.mp4"))}


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_layout_is_that_of_faceforensics(root):
    want = set()
    for split in ("train", "val", "test"):
        for a, b in json.loads(pathlib.Path(root, f"{split}.json").read_text()):
            want |= {f"original_sequences/youtube/c23/videos/{one}.mp4" for one in (a, b)}
            want |= {
                f"manipulated_sequences/{method}/c23/videos/{pair}.mp4"
                for method in ("Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures")
                for pair in (f"{a}_{b}", f"{b}_{a}")
            }
    assert set(videos(root)) == want
    assert len(want) == 3 * 10
    assert not list(pathlib.Path(root).rglob("*.partial"))


def test_the_name_of_originals_is_the_contract(root):
    assert take.ORIGINAL == ORIGINAL
    assert set(FAMILIES) == {"Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures"}


@pytest.mark.parametrize("counts", [(40, 8, 10), (1, 2, 3), (600, 1, 1)])
def test_persons_are_in_one_pair_of_one_split(counts):
    options = Synthetic(pairs=counts)
    members = generate.pairs(options)
    persons = [one for split in members.values() for pair in split for one in pair]
    assert [len(members[split]) for split in ("train", "val", "test")] == list(counts)
    assert len(set(persons)) == len(persons) == 2 * sum(counts)
    assert len({len(take.name(one, options)) for one in persons}) == 1
    assert len(take.name(0, options)) == (3 if sum(counts) < 500 else 4)


def test_every_video_has_the_same_codec_rate_length_and_size(root, small):
    seen = set()
    for path in videos(root).values():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            frames = sum(1 for _ in container.decode(video=0))
            seen.add((stream.codec_context.name, stream.average_rate, frames, stream.width, stream.height))
            assert not container.streams.audio
    assert seen == {("h264", 25, small.frames, small.size, small.size)}


def test_two_processes_give_the_bytes_of_one(root, small, tmp_path):
    again = videos(generate.generate(str(tmp_path), small, workers=2))
    assert {name: digest(path) for name, path in again.items()} == {
        name: digest(path) for name, path in videos(root).items()
    }


def test_another_seed_gives_other_videos(root, small, tmp_path):
    options = dataclasses.replace(small, seed=4)
    method = tmp_path / take.folder(ORIGINAL)
    method.mkdir(parents=True)
    job = take.plan(str(tmp_path), options, 0, 1)
    take.shoot(dataclasses.replace(job, wanted={ORIGINAL: job.wanted[ORIGINAL]}))
    assert (method / "000.mp4").read_bytes() != videos(root)[take.folder(ORIGINAL) + "/000.mp4"].read_bytes()


@pytest.fixture
def made(root, tmp_path) -> pathlib.Path:
    """A copy of the small data set that a test may spoil."""
    for path in pathlib.Path(root).rglob("*.*"):
        copy = tmp_path / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp_path


def test_complete_is_left_alone(made, small, monkeypatch):
    monkeypatch.setattr(take, "shoot", lambda job: pytest.fail("made again"))
    lost = next(iter(videos(made).values()))
    lost.unlink()
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    assert generate.generate(str(made), small, workers=1) == str(made)
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before


def test_without_the_marker_only_missing_videos_are_made(made, small):
    (made / "sample.json").unlink()
    lost = list(videos(made).values())[::7]
    content = {path: digest(path) for path in videos(made).values()}
    for path in lost:
        path.unlink()
    (lost[0].parent / f"{lost[0].name}.0.partial").write_bytes(b"what a killed run left")
    times = {path: path.stat().st_mtime_ns for path in videos(made).values()}
    generate.generate(str(made), small, workers=1)
    assert {path: digest(path) for path in videos(made).values()} == content
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (made / "sample.json").exists()
    assert not list(made.rglob("*.partial"))


def test_other_options_are_refused_and_both_are_named(made, small):
    other = dataclasses.replace(small, crf=31)
    with pytest.raises(DataError, match=r"sample\.json.*'crf': 23.*'crf': 31"):
        generate.generate(str(made), other, workers=1)


def test_other_options_are_refused_while_unfinished_too(made, small):
    (made / "sample.json").rename(made / "sample.started.json")
    next(iter(videos(made).values())).unlink()
    with pytest.raises(DataError, match="'frames': 7"):
        generate.generate(str(made), dataclasses.replace(small, frames=7), workers=1)


def test_split_files_of_another_data_set_are_not_overwritten(tmp_path, small):
    (tmp_path / "test.json").write_text('[["953", "974"]]')
    with pytest.raises(DataError, match="953"):
        generate.generate(str(tmp_path), small, workers=1)
    assert (tmp_path / "test.json").read_text() == '[["953", "974"]]'


@pytest.mark.parametrize("content", ["{", "\x00\x01"])
def test_a_broken_marker_is_named(tmp_path, small, content):
    (tmp_path / "sample.json").write_text(content)
    with pytest.raises(DataError, match=r"sample\.json cannot be read"):
        generate.generate(str(tmp_path), small, workers=1)


def test_a_root_that_is_a_file_is_named(tmp_path, small):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file"):
        generate.generate(str(tmp_path / "file"), small, workers=1)


def test_odd_sizes_are_refused(tmp_path, small):
    with pytest.raises(DataError, match=r"synthetic\.size=97"):
        generate.generate(str(tmp_path), dataclasses.replace(small, size=97), workers=1)


def test_only_a_stretch_is_forged_where_that_is_asked_for(tmp_path, root, small):
    """Outside of the stretch, the frames of a fake are those of the real video, but for the encoder."""
    options = dataclasses.replace(small, pairs=(1, 1, 1), frames=12, stretch=0.25)
    place = generate.generate(str(tmp_path / "partial"), options, workers=1)
    listed = {(one.method, one.id): one for one in faceforensics.videos(place)}
    assert len({one.stretches for one in listed.values() if one.label}) > 3, "each has a place of its own"
    for method in ("Deepfakes", "FaceSwap"):
        fake, real = listed[method, "000_001"], listed[ORIGINAL, "000"]
        ((begin, end),) = fake.stretches.spans
        assert (end - begin, fake.stretches.unit, real.stretches) == (3, "frames", None)
        pictures = [np.stack([frame for _, frame in Reader(one.path, range(12))]).astype(int) for one in (fake, real)]
        change = np.abs(pictures[0] - pictures[1]).mean((1, 2, 3))
        inside = np.arange(12)
        inside = (inside >= begin) & (inside < end)
        assert change[inside].min() > 1.5 * change[~inside].max()
    assert json.loads((tmp_path / "partial" / "sample.json").read_text())["stretch"] == 0.25
    assert "stretch" not in json.loads(pathlib.Path(root, "sample.json").read_text())
