"""A property of the files that gives labels away is named; an honest data set is left in peace."""

import dataclasses

import numpy as np
import pytest

from fusion_dfd.faces.video import VideoInfo
from fusion_dfd.quality import shortcuts
from fusion_dfd.quality.probe_files import Probe
from fusion_dfd.types import Video

INFO = VideoInfo(frames=300, fps=25.0, width=640, height=480, codec="h264", damaged=0)


def _set(rng, count: int = 40):
    """Real videos and fakes of two methods whose files have nothing to do with their labels."""
    videos, probes = [], []
    for n in range(count):
        for method in ("original", "Deepfakes", "FaceSwap"):
            label = int(method != "original")
            videos.append(Video(f"{n}", f"/{method}/{n}.mp4", label, "toy", method, "", "train", f"{n}", f"{n}"))
            size = rng.choice([320, 640])
            info = dataclasses.replace(
                INFO, frames=int(rng.integers(200, 400)), fps=float(rng.choice([24, 25, 30])), width=int(size)
            )
            probes.append(Probe(info, f"{method}{n}", size=int(rng.integers(4e5, 6e5))))
    return videos, probes


def _changed(videos, probes, wanted, **changes):
    """The probes of some videos with other facts; ``size`` is a factor of the file's."""
    factor = changes.pop("size", 1)
    return [
        dataclasses.replace(probe, info=dataclasses.replace(probe.info, **changes), size=int(probe.size * factor))
        if wanted(video)
        else probe
        for video, probe in zip(videos, probes, strict=True)
    ]


def test_an_honest_set_has_none(rng):
    for _ in range(20):
        assert shortcuts.shortcuts(*_set(rng)) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"fps": 29.97}, "frame rate"),
        ({"codec": "mpeg4"}, "codec"),
        ({"size": 4}, "bits per pixel"),
        ({"height": 482}, "height"),
        ({"frames": 64}, "number of frames"),
    ],
)
@pytest.mark.parametrize("label", [0, 1])
def test_one_class_that_was_encoded_anew_is_found(rng, changes, name, label):
    videos, probes = _set(rng)
    probes = _changed(videos, probes, lambda video: video.label == label, **changes)
    found = shortcuts.shortcuts(videos, probes)
    assert name in [one.name for one in found if one.method == ""]
    assert "tells the fakes from the real videos" in str(found[0])


def test_one_manipulation_that_was_encoded_anew_is_found_and_named(rng):
    videos, probes = _set(rng)
    probes = _changed(videos, probes, lambda video: video.method == "FaceSwap", codec="hevc")
    (found,) = shortcuts.shortcuts(videos, probes)
    assert (found.name, found.method) == ("codec", "FaceSwap")
    assert "FaceSwap" in str(found)


def test_words_that_nobody_shares_say_nothing(rng):
    videos, probes = _set(rng)
    probes = [
        dataclasses.replace(probe, info=dataclasses.replace(probe.info, codec=f"codec{n}"))
        for n, probe in enumerate(probes)
    ]
    assert not [one for one in shortcuts.shortcuts(videos, probes) if one.name == "codec"]


def test_few_videos_and_files_that_do_not_open_are_left_out(rng):
    videos, probes = _set(rng)
    probes = _changed(videos, probes, lambda video: video.label == 0, fps=50.0)
    few = [n for n, video in enumerate(videos) if video.label or int(video.id) < shortcuts.LEAST - 1]
    assert shortcuts.shortcuts([videos[n] for n in few], [probes[n] for n in few]) == []
    assert shortcuts.shortcuts(videos, [Probe(error="empty")] * len(videos)) == []
    assert np.isfinite([one.auc for one in shortcuts.shortcuts(videos, probes)]).all()
