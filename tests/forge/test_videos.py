"""Forging folders of videos: layout, both halves alike, resuming, and what cannot be forged."""

import csv
import json
import pathlib

import numpy as np
import pytest
from absl import flags
from talking_face import talking_face

from fusion_dfd.commands import forge
from fusion_dfd.config import ConfigError
from fusion_dfd.datasets import faceforensics, splits
from fusion_dfd.faces import mesh, recode
from fusion_dfd.faces.boxes import Detections
from fusion_dfd.faces.mesh import POINTS, STORED, Meshes
from fusion_dfd.faces.video import Reader, probe
from fusion_dfd.forge import pictures, registry, videos
from fusion_dfd.forge.autoencoder import SIDE
from fusion_dfd.forge.forger import Forged, NotApplicable
from fusion_dfd.types import DataError

SIZE, FRAMES = 96, 20
FACE = talking_face(1, SIZE, SIZE, moving=False)
BOX = np.array([*FACE.mesh[0].min(0), *FACE.mesh[0].max(0)])


class OneFace:
    """Finds the drawn face in every frame that is not black."""

    def detect(self, frames):
        places = np.array([[30, 40], [66, 40], [48, 52], [36, 70], [60, 70]], np.float32)
        out = []
        for frame in frames:
            count = int(frame.max() > 40)
            boxes = np.tile(BOX.astype(np.float32), (count, 1))
            landmarks = np.tile(places, (count, 1, 1))
            out.append(Detections(boxes=boxes, landmarks=landmarks, scores=np.ones(count, np.float32)))
        return out


class OneMesh:
    """Answers the points of the drawn face, in the crop that shows all of it."""

    def find(self, frames, boxes, landmarks):
        share = (np.array(FACE.mesh[0]) - BOX[:2]) / (BOX[2:] - BOX[:2])
        points = np.zeros((len(frames), POINTS, 3), np.float32)
        points[:, list(STORED), :2] = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
        return Meshes(points, np.ones(len(frames), np.float32))


def inverted(face, donor, rng):
    """A square of the face, in its last frames only, with a real half that differs from the clip."""
    mask = np.zeros(face.frames.shape[:3], np.float32)
    mask[8:, 30:60, 30:60] = 1
    half = face.frames.copy()
    half[8:, 30:60, 30:60] //= 2
    donor()
    return Forged(np.where(mask[..., None] > 0, 255 - face.frames, face.frames), mask, half)


def refused(face, donor, rng):
    raise NotApplicable("never")


@pytest.fixture
def real(tmp_path, monkeypatch) -> pathlib.Path:
    folder = tmp_path / "real"
    folder.mkdir()
    for number in range(6):
        clip = talking_face(FRAMES, SIZE, SIZE, seed=number).frames
        recode.write(str(folder / f"{number}.mp4"), clip, 30, 10)
    recode.write(str(folder / "dark.mp4"), np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8), 30, 10)
    monkeypatch.setattr(videos, "_detector", OneFace)
    monkeypatch.setattr(mesh, "shared", OneMesh)
    forgers = {"blend": registry.FORGERS["blend"], "inverted": inverted, "refused": refused}
    monkeypatch.setattr(registry, "FORGERS", forgers)
    return folder


OPTIONS = videos.Options(("blend", "inverted", "refused"))


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def frames(path) -> np.ndarray:
    return np.stack([frame for _, frame in Reader(path, range(FRAMES))]).astype(int)


def test_a_forged_folder_is_a_data_set(real, tmp_path):
    out = str(tmp_path / "out")
    summary = videos.forge(str(real), out, OPTIONS, 0)
    alone = sum(a == b for split in splits.SPLITS for a, b in json.loads((tmp_path / f"out/{split}.json").read_text()))
    assert summary.reals == 6
    assert summary.forged == {"blend": 6, "inverted": 6 - alone, "refused": 0}
    assert "dark.mp4: no face found" in str(summary)
    assert "refused could not be applied to 6 passages: never" in str(summary)

    found = faceforensics.videos(out)
    splits.audit(found)
    assert {video.split for video in found} == set(splits.SPLITS)
    assert sum(video.label for video in found) == 12 - alone
    by_id = {(video.method, video.id): video for video in found}
    for fake in (video for video in found if video.label):
        half = by_id["original", fake.source]
        assert (half.group, half.split) == (fake.group, fake.split)
        one, other = probe(half.path), probe(fake.path)
        assert (one.frames, one.fps, one.width, one.codec) == (other.frames, 30, SIZE, other.codec)
        assert one.frames == probe(fake.mask).frames == FRAMES

    fake = next(video for video in found if video.method == "inverted")
    change = np.abs(frames(fake.path) - frames(by_id["original", fake.source].path)).mean(-1)
    white = frames(fake.mask).min(-1) > 127
    assert not white[:8].any()
    assert white[8:].any()
    assert change[8:][white[8:]].mean() > 10 * change[:8].mean()
    segments = [row for row in rows(tmp_path / "out/segments.csv") if row["method"] == "inverted"]
    assert {(row["start"], row["stop"]) for row in segments} == {("8", str(FRAMES))}

    shown = pictures.write(out, str(tmp_path / "shown"))
    assert {path.name for path in pathlib.Path(shown).iterdir()} == {
        f"{name}.{kind}" for name in ("blend", "inverted") for kind in ("png", "webp")
    }


def test_a_killed_run_continues_to_the_same_bytes(real, tmp_path, monkeypatch):
    videos.forge(str(real), str(tmp_path / "whole"), OPTIONS, 0)
    made = []

    def once(face, donor, rng):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(face)
        return refused(face, donor, rng)

    with monkeypatch.context() as killed:
        killed.setitem(registry.FORGERS, "refused", once)
        with pytest.raises(KeyboardInterrupt):
            videos.forge(str(real), str(tmp_path / "part"), OPTIONS, 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "part").rglob("forged/*.json")}
    assert len(before) == 3
    videos.forge(str(real), str(tmp_path / "part"), OPTIONS, 0)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    for path in (tmp_path / "whole").rglob("*.mp4"):
        assert path.read_bytes() == (tmp_path / "part" / path.relative_to(tmp_path / "whole")).read_bytes(), path


def test_autoencoders_learn_from_faces_of_train_alone(real, tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(videos.autoencoder, "train", lambda faces, folder, seed: taken.append((list(faces), seed)))
    out = tmp_path / "out"
    options = videos.Options(("blend",), seed=3)
    videos.forge(str(real), str(out), options, 0, train_autoencoders=True)
    ((faces, seed),) = taken
    people = sum(len(pair) for pair in json.loads((out / "train.json").read_text()))
    assert seed == 3
    assert len(faces) == videos.LEARNT * people
    assert {face.shape for face in faces} == {(SIDE, SIDE, 3)}


def test_what_cannot_be_forged_is_one_sentence(real, tmp_path):
    with pytest.raises(ConfigError, match="no forger is called swap"):
        videos.forge(str(real), str(tmp_path / "out"), videos.Options(("swap",)), 0)
    with pytest.raises(DataError, match="read as real videos; choose a folder outside"):
        videos.forge(str(real), str(real / "out"), OPTIONS, 0)
    with pytest.raises(DataError, match="holds no real video"):
        videos.forge(_empty(tmp_path), str(tmp_path / "out"), OPTIONS, 0)
    for number in range(5):
        (real / f"{number}.mp4").unlink()
    with pytest.raises(DataError, match="would have no video: 1 of 2 videos can be used"):
        videos.forge(str(real), str(tmp_path / "out"), OPTIONS, 0)
    with pytest.raises(DataError, match="was forged with other seed"):
        videos.forge(str(real), str(tmp_path / "out"), videos.Options(OPTIONS.forgers, seed=1), 0)


def _empty(folder: pathlib.Path) -> str:
    (folder / "empty").mkdir()
    return str(folder / "empty")


@pytest.mark.parametrize("groups", ["aab", "abc", "aabbccddd", "a", "abcde"])
def test_everybody_has_a_partner_in_the_split_and_nobody_two(groups):
    takes = [videos.Take(str(n), [0] * n, group, "train") for n, group in enumerate(groups)]
    teams = videos._teams(takes)
    assert sorted(take.id for team in teams for take in team) == [take.id for take in takes]
    assert all(len({take.group for take in team}) in ((1,) if groups == "a" else (2, 3)) for team in teams)
    paired = {take.id: take for team in teams for take in videos._pairs(team)}
    assert all(paired[take.partner].partner == take.id for take in paired.values())


def test_the_command_says_what_it_wrote(real, tmp_path, capsys):
    given = flags.FlagValues()
    forge.define(given)
    out, shown = str(tmp_path / "out"), str(tmp_path / "shown")
    given(["forge", "--root", str(real), "--out", out, "--forgers", "inverted", "--workers", "0", "--pictures", shown])
    forge.main([], given)
    said = capsys.readouterr().out
    assert f"videos, segments.csv and skipped.csv: {out}" in said
    assert f"pictures: {shown}" in said
    assert (tmp_path / "shown" / "inverted.webp").exists()
