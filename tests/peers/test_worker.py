"""What the process of a detector reads and answers."""

import numpy as np
import plain_shards
import pytest
from strange_peers import RAISES, UNKNOWN

from fusion_dfd.peers.worker import Chunk, Setup, work
from fusion_dfd.types import DataError

GREYS = {"a": (0, 40), "b": (1, 90), "raises": (1, RAISES), "unknown": (0, UNKNOWN)}


def ask(folder: str, names: str, peer: str = "Bright", said: list | None = None, **changes) -> dict:
    keys = [f"plain/{'Deepfakes' if GREYS[name][0] else 'original'}//{name}" for name in names.split()]
    stated = tuple((name, str(value)) for name, value in changes.items())
    setup = Setup(f"strange_peers:{peer}", stated, (folder,), "test", 0, False)
    found = work(setup, Chunk(0, tuple(keys)), (said if said is not None else []).append)
    return {key.rpartition("/")[2]: answer for key, answer in found.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    return plain_shards.write(tmp_path_factory.mktemp("plain") / "shards", GREYS)


def test_frames_are_judged_one_by_one_and_share_batches(folder):
    found = ask(folder, "a b", frames=4)
    (row_a, start_a, given_a, *known_a), (row_b, start_b, given_b, *known_b) = found["a"][0], found["b"][0]
    assert (row_a, row_b, start_a, start_b) == (0, 1, 1, 1)
    assert len(given_a) == len(given_b) == 4
    assert (known_a, known_b) == ([True, [0] * 4], [True, [1] * 4])
    np.testing.assert_allclose(given_a, (40 + 10 * 0.25) / 255, atol=0.004)
    np.testing.assert_allclose(given_b, (90 + 10 * 0.25) / 255, atol=0.004)


def test_a_window_longer_than_the_clip_has_the_frames_there_are(folder):
    assert len(ask(folder, "a", frames=9)["a"][0][2]) == 6


def test_clips_are_judged_whole(folder):
    ((row, start, given, contiguous, forged),) = ask(folder, "b", "Clips")["b"]
    assert (row, start, len(given), contiguous, forged) == (1, 1, 1, True, [1] * 4)


def test_a_smaller_crop_is_the_middle_of_the_stored_one(folder):
    """A crop of 1.0 out of 1.3 sees more of the bright middle."""
    (whole,), (middle,) = ask(folder, "a")["a"], ask(folder, "a", scale=1)["a"]
    assert middle[2][0] - whole[2][0] == pytest.approx(10 * (0.25 * 1.69 - 0.25) / 255, abs=0.003)


def test_a_larger_crop_than_the_stored_is_refused(folder):
    with pytest.raises(DataError, match=r"wants crops of 2 face boxes, .* has 1\.3: prepare it with --scale 2"):
        ask(folder, "a", scale=2)


def test_one_video_that_fails_costs_no_other(folder):
    said: list = []
    found = ask(folder, "a raises unknown b", "Moody", said)
    assert found["raises"] == "the detector raised RuntimeError: no such picture"
    assert found["unknown"] == "the detector returned NaN for 5 of 5 answers"
    assert [type(found[name]) for name in "ab"] == [list, list]
    assert [len(names) for names in said] == [4, 1, 1, 1, 1]


def test_wrong_answers_end_the_work(folder):
    with pytest.raises(DataError, match="want numbers"):
        ask(folder, "a", "thousand")
