import logging

import pytest
import trees

from fusion_dfd.datasets import df40, splits
from fusion_dfd.types import DataError, Video


@pytest.fixture
def root(tmp_path):
    trees.df40(tmp_path)
    return tmp_path


def opened(root, **options):
    return df40.videos(str(root), originals=str(root / "faceforensics"), **options)


def test_every_field_of_a_fake_and_of_its_real_video(root):
    found = {(video.method, video.id): video for video in opened(root)}
    path = str(root / "simswap/ff/frames/953_974")
    assert found["simswap", "953_974"] == Video("953_974", path, 1, "df40", "simswap", "", "test", "953", "953")
    path = str(root / "faceforensics/original_sequences/youtube/c23/frames/953")
    assert found["original", "953"] == Video("953", path, 0, "df40", "original", "", "test", "953", "953")


def test_methods_are_found_in_any_spelling_and_images_are_left_out(root):
    assert {video.method for video in opened(root)} == {"original", "simswap", "mraa", "uniface"}
    assert {video.method for video in opened(root, methods=["mraa"])} == {"original", "mraa"}
    with pytest.raises(DataError, match=r"no videos of sd2.1 in protocol ff; .*single images"):
        opened(root, methods=["sd2.1"])


def test_real_videos_as_files_are_taken_with_a_warning(root, caplog):
    frames = root / "faceforensics/original_sequences/youtube/c23/frames"
    frames.rename(frames.with_name(".frames"))
    with caplog.at_level(logging.WARNING):
        found = opened(root)
    assert {video.path.endswith(".mp4") for video in found} == {True, False}
    assert "may tell them apart by size and encoding" in caplog.text


def test_celebdf_is_joined_from_its_list(root, tmp_path, caplog):
    trees.celebdf(tmp_path / "celebdf")
    trees.frames(tmp_path / "celebdf", "Celeb-real/frames/id1_0003")
    found = {video.id: video for video in df40.videos(str(root), protocol="cdf", celebdf=str(tmp_path / "celebdf"))}
    assert set(found) == {"00170", "id1_0003", "id0_id1_0000"}
    fake = Video(
        "id0_id1_0000", str(root / "simswap/cdf/frames/id0_id1_0000"), 1, "df40", "simswap", "", "test", "", ""
    )
    assert found["id0_id1_0000"].path == fake.path
    assert (found["id0_id1_0000"].group, found["id0_id1_0000"].source) == ("id0", "id0_0000")
    assert found["id1_0003"].path == str(tmp_path / "celebdf/Celeb-real/frames/id1_0003")
    assert found["id1_0003"].group == "id0", "who gave the face belongs to the group"
    with pytest.raises(DataError, match="give --celebdf, its root with its list"):
        df40.videos(str(root), protocol="cdf")


def test_other_sources_have_real_videos_of_their_own(root):
    found = df40.videos(str(root), protocol="unknown")
    assert {video.method for video in found} == {"original", "heygen", "deepfacelab"}
    made_from = {video.id: video.source for video in found if video.label}
    assert made_from["heygen/0001_fake"] == "heygen/0001"
    assert made_from["deepfacelab/0001_fake"] == "deepfacelab/0001"


def test_one_against_all_trains_on_one_and_tests_on_all(root):
    with pytest.raises(DataError, match="DF40_train is missing, and protocol one_vs_all trains on it"):
        opened(root, protocol="one_vs_all", methods=["simswap"])
    trees.frames(root, *(f"DF40_train/{m}/ff/frames/{n}" for m in ("simswap", "MRAA") for n in ("071_054", "720_672")))
    found = opened(root, protocol="one_vs_all", methods=["simswap"])
    assert splits.findings(found) == []
    assert {(v.split, v.method) for v in found if v.label} == {
        ("train", "simswap"),
        ("val", "simswap"),
        *(("test", method) for method in ("simswap", "mraa", "uniface")),
    }
    with pytest.raises(DataError, match="name it with --methods"):
        opened(root, protocol="one_vs_all")


def test_a_clip_of_another_split_is_left_out(root, caplog):
    trees.frames(root, "simswap/ff/frames/071_054", "simswap/ff/frames/953_071", "simswap/ff/frames/999_998")
    with caplog.at_level(logging.WARNING):
        assert splits.findings(opened(root)) == []
    assert "3 left out, because FaceForensics++ lists their clips in another split" in caplog.text


def test_what_one_method_lacks_is_named(root, caplog):
    (root / "MRAA/ff/frames/953_974").rename(root / "MRAA/ff/.gone")
    with caplog.at_level(logging.WARNING):
        opened(root)
    assert "1 videos of other methods are absent: mraa/953_974" in caplog.text


def test_names_of_another_domain_are_refused(root):
    trees.frames(root, "simswap/ff/frames/id0_id1_0000")
    with pytest.raises(DataError, match=r"id0_id1_0000 is not named as the videos of DF40's domain ff; move it"):
        opened(root)


def test_the_halves_may_lie_side_by_side(root, tmp_path):
    before = [video.key for video in opened(root)]
    (root / "DF40").mkdir()
    for name in ("simswap", "MRAA", "uniface"):
        (root / name).rename(root / "DF40" / name)
    assert [video.key for video in opened(root)] == before


def test_what_must_be_given_is_asked_for(root):
    with pytest.raises(DataError, match="has no real videos: give --originals"):
        df40.videos(str(root))
    with pytest.raises(DataError, match="no protocol '5'; it has ff, cdf, unknown, one_vs_all"):
        df40.videos(str(root), protocol="5")
