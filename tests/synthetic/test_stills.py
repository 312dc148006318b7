"""Clips from photographs."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from fusion_dfd.faces.video import Decoder, probe
from fusion_dfd.synthetic import stills
from fusion_dfd.types import DataError


@pytest.fixture
def photographs(tmp_path, rng):
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    # Brightness grows to the right and to the bottom.
    ramp = np.add.outer(np.linspace(30, 120, 101), np.linspace(0, 100, 131))
    Image.fromarray(np.repeat(ramp[..., None], 3, -1).astype(np.uint8)).save(folder / "a.png")
    Image.fromarray(rng.integers(0, 255, (80, 80, 3), np.uint8)).save(folder / "more" / "b.jpg")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_every_photograph_becomes_a_clip(photographs, tmp_path, capsys):
    root = str(tmp_path / "root")
    made = stills.write(str(photographs), root, 8, 18, 0)
    assert [path.rpartition("/")[2] for path in made] == ["a.mp4", "more__b.mp4"]
    assert "2 pictures cannot be read or are smaller than 64 pixels" in capsys.readouterr().out
    info = probe(made[0])
    assert (info.frames, info.width, info.height, info.fps) == (8, 130, 100, 25)
    before = pathlib.Path(made[0]).read_bytes()
    assert stills.write(str(photographs), root, 8, 18, 1) == made  # those there are kept
    assert pathlib.Path(made[0]).read_bytes() == before
    frames = np.stack([picture.rgb() for _, picture in Decoder(made[0], range(8))]).astype(float)
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert 0 < steps.max() < 10


def test_no_view_shows_the_border():
    picture = np.full((100, 130, 3), 200, np.uint8)
    picture[[0, -1]] = picture[:, [0, -1]] = 0
    for seed in range(20):
        views = np.stack(list(stills.shots(picture, 12, np.random.default_rng(seed))))
        assert views.min() > 190


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no pictures"):
        stills.write(str(tmp_path), str(tmp_path / "root"), 8, 18, 0)
