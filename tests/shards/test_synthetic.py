"""From nothing to shards: the sample, the detector, the pool, the files."""

import os

import numpy as np
import pytest

from fusion_dfd import config
from fusion_dfd.shards import clip_index, manifest, records, synthetic

pytestmark = pytest.mark.slow

SAMPLE = config.Synthetic(pairs=(1, 1, 1), frames=8, size=128)
FACES = config.Faces(every=4, threshold=0.5, min_size=40, size=96, clip_length=8, clips=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("data"))
    return synthetic.synthetic_shards(SAMPLE, FACES, root), root


def test_the_detector_finds_the_face_of_every_video(made):
    found = manifest.load(made[0])
    assert (found.failed, found.faceless, found.damaged) == ([], [], [])
    assert found.counts["total"] == {"videos": 30, "empty": 0, "clips": 30, "faces": 30, "frames": 240}
    for split in ("train", "val", "test"):
        labels = found.counts["splits"][split]["labels"]
        assert (labels["real"]["clips"], labels["fake"]["clips"]) == (2, 8)


def test_clips_are_crops_of_faces(made):
    opened = clip_index.open_split(made[0], "test")
    assert set(opened.table.dataset) == {"sample"}
    for row in range(len(opened)):
        clip = records.decode(opened.source[row])
        assert records.decode_frames(clip.frames).shape == (8, 96, 96, 3)
        assert clip.detector == "mtcnn"
        np.testing.assert_array_equal(clip.indices, np.arange(8))
        assert clip.scores.min() >= FACES.threshold
        eyes, mouth = clip.landmarks[:, :2].mean((0, 1)), clip.landmarks[:, 3:].mean((0, 1))
        assert 24 < eyes[1] < 48 < mouth[1] < 84
        assert 32 < eyes[0] < 64


def test_what_is_there_is_used_again(made, monkeypatch, capsys):
    monkeypatch.setattr(synthetic.generate, "generate", None)
    assert synthetic.synthetic_shards(SAMPLE, FACES, made[1]) == made[0]
    assert f"using {made[0]}" in capsys.readouterr().err


def test_other_options_get_other_folders(made, monkeypatch):
    asked = []
    monkeypatch.setattr(synthetic.generate, "generate", lambda root, options: asked.append(root))

    def stop(preparation):
        asked.append(preparation.out)
        raise InterruptedError

    monkeypatch.setattr(synthetic.faceforensics, "videos", lambda root: [])
    monkeypatch.setattr(synthetic.prepare, "prepare", stop)
    for sample, faces in ((SAMPLE, config.Faces()), (config.Synthetic(seed=1), FACES)):
        with pytest.raises(InterruptedError):
            synthetic.synthetic_shards(sample, faces, made[1])
    (videos,) = [name for name in os.listdir(made[1]) if name.startswith("sample-")]
    assert asked[0] == os.path.join(made[1], videos)
    assert len({*asked, made[0]}) == 5
