import collections
import logging
import re

import pytest
import trees

from fusion_dfd.datasets import celebdf, splits
from fusion_dfd.types import DataError, Video

FAKE = "0 Celeb-synthesis/id0_id1_0000.mp4"


@pytest.fixture
def root(tmp_path):
    trees.celebdf(tmp_path)
    return tmp_path


def test_the_official_protocol_is_the_list_and_all_of_it_test(root):
    found = {video.id: video for video in celebdf.v2(str(root))}
    assert set(found) == {"id0_id1_0000", "id1_0003", "00170"}
    where = ("celebdf_v2", "Celeb-DF", "", "test", "id0", "id0_0000")
    assert found["id0_id1_0000"] == Video("id0_id1_0000", str(root / "Celeb-synthesis/id0_id1_0000.mp4"), 1, *where)
    where = ("celebdf_v2", "original", "", "test", "id0", "id1_0003")
    footage = (("footage", "Celeb-real"),)
    path = str(root / "Celeb-real/id1_0003.mp4")
    assert found["id1_0003"] == Video("id1_0003", path, 0, *where, attributes=footage)
    assert found["00170"].group == "youtube_00170"


def test_the_first_line_of_the_list_is_no_header(root):
    assert "00170" in {video.id for video in celebdf.v2(str(root))}


def test_identity_disjoint_holds_whole_components_out(root):
    found = celebdf.v2(str(root), protocol="identity_disjoint", fractions=(0.5, 0, 0.5))
    assert len(found) == len(trees.CELEB_REALS) + len(trees.CELEB_FAKES)
    groups = {video.id: video.group for video in found}
    assert groups == {
        **dict.fromkeys(("id0_0000", "id1_0003", "id0_id1_0000", "id1_id0_0003"), "id0"),
        **dict.fromkeys(("id2_0000", "id2_id3_0000", "id10_id2_0001"), "id2"),
        "00170": "youtube_00170",
    }
    people = collections.defaultdict(set)
    for video in found:
        people[video.split] |= set(re.findall(r"id\d+", video.id))
    assert people["train"]
    assert people["test"]
    assert not people["train"] & people["test"]


def test_methods_of_the_third_release_are_their_folders(tmp_path):
    trees.celebdf_pp(tmp_path)
    found = celebdf.pp(str(tmp_path), protocol="identity_disjoint")
    assert {video.method for video in found} == {"original", "Celeb-DF", "DaGAN", "FLOAT"}
    assert [video.key for video in celebdf.pp(str(tmp_path)) if video.label] == [
        "celebdf_pp/Celeb-DF//id0_id1_0000",
        "celebdf_pp/DaGAN//id0_id1_0000",
        "celebdf_pp/FLOAT//id0_0000_test_00170",
    ]


def test_a_talking_face_belongs_to_the_clip_that_it_speaks_on(tmp_path):
    trees.celebdf_pp(tmp_path)
    trees.touch(tmp_path, "Celeb-synthesis/TalkingFace/FLOAT/id1_0003_test_id2_0000.mp4")
    found = {video.id: video for video in celebdf.pp(str(tmp_path), protocol="identity_disjoint")}
    assert (found["id0_0000_test_00170"].source, found["id0_0000_test_00170"].group) == ("id0_0000", "id0")
    assert found["id1_0003_test_id2_0000"].source == "id1_0003"
    assert found["id1_0003"].group == found["id2_0000"].group == "id0", "the driver is in the video too"


def test_a_scenario_is_its_methods(tmp_path):
    trees.celebdf_pp(tmp_path)
    assert [len(methods) for methods in celebdf.SCENARIOS.values()] == [8, 7, 7]
    for protocol in celebdf.PROTOCOLS:
        found = celebdf.pp(str(tmp_path), protocol=protocol, methods=["TalkingFace", "Celeb-DF"])
        assert {video.method for video in found} == {"original", "FLOAT", "Celeb-DF"}
    with pytest.raises(DataError, match=r"Celeb-DF\+\+ has no method FaceSwop; it has AniTalker, "):
        celebdf.pp(str(tmp_path), methods=["FaceSwop"])


def test_the_folder_of_the_second_release_has_two_names(tmp_path):
    trees.celebdf_pp(tmp_path)
    before = celebdf.pp(str(tmp_path), protocol="identity_disjoint")
    folder = tmp_path / "Celeb-synthesis/FaceSwap"
    (folder / "Celeb-DF").rename(folder / "Celeb-DF-v2")
    assert [v.key for v in celebdf.pp(str(tmp_path), protocol="identity_disjoint")] == [v.key for v in before]


def test_videos_may_lie_in_folders_of_that_name(root):
    before = celebdf.v2(str(root))
    for folder in ("Celeb-real", "YouTube-real", "Celeb-synthesis"):
        names = list((root / folder).iterdir())
        (root / folder / "videos").mkdir()
        for name in names:
            name.rename(root / folder / "videos" / name.name)
    assert [video.key for video in celebdf.v2(str(root))] == [video.key for video in before]
    assert all("videos" in video.path for video in celebdf.v2(str(root)))


def test_the_official_list_gives_the_official_numbers(tmp_path, protocol):
    lists = (protocol / "celebdf_v2_List_of_testing_videos.txt").read_text()
    trees.touch(tmp_path, *(line.split()[1] for line in lists.splitlines()))
    trees.write(tmp_path, "List_of_testing_videos.txt", lists)
    found = celebdf.v2(str(tmp_path))
    folders = collections.Counter(video.path.split("/")[-2] for video in found)
    assert folders == {"Celeb-real": 108, "YouTube-real": 70, "Celeb-synthesis": 340}
    assert sum(video.label == 0 for video in found) == 178
    assert len({video.group for video in found if video.label}) == 4, "components of the swap graph"
    kept = celebdf.v2(str(tmp_path), protocol="identity_disjoint")
    splits.audit(kept)
    assert {(video.split, video.label) for video in kept} == {(s, label) for s in splits.SPLITS for label in (0, 1)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (FAKE.replace("0 ", "1 ", 1), "line 1 of .* has label 1, but Celeb-synthesis holds fake videos"),
        ("label path", "line 1 of .* is 'label path', want such as"),
        ("0 Celeb-fake/id0_id1_0000.mp4", "line 1 of .* want such as"),
        (f"{FAKE}\n{FAKE}", "lists Celeb-synthesis/id0_id1_0000.mp4 twice"),
        ("0 Celeb-synthesis/clip.mp4", "clip.mp4 is not named as in Celeb-DF v2"),
    ],
)
def test_odd_lines_are_named(root, line, said):
    trees.write(root, "List_of_testing_videos.txt", line)
    with pytest.raises(DataError, match=said):
        celebdf.v2(str(root))


def test_another_release_is_recognised(root, tmp_path):
    with pytest.raises(DataError, match=r"holds videos, so this is not Celeb-DF\+\+: choose --dataset celebdf_v1 or"):
        celebdf.pp(str(root))
    trees.celebdf_pp(tmp_path / "pp")
    with pytest.raises(DataError, match="holds folders, so this is not Celeb-DF v2: choose --dataset celebdf_pp"):
        celebdf.v2(str(tmp_path / "pp"))
    trees.touch(root, *(f"Celeb-real/id9_{n:04d}.mp4" for n in range(500)))
    with pytest.raises(DataError, match="504 real and 4 fake videos, but Celeb-DF v1 has 408 and 795: choose"):
        celebdf.v1(str(root), protocol="identity_disjoint")


def test_an_incomplete_download_is_said(root, caplog):
    with caplog.at_level(logging.WARNING):
        celebdf.v2(str(root), protocol="identity_disjoint")
    assert "4 real and 4 fake videos, Celeb-DF v2 has 890 and 5639" in caplog.text
    (root / "Celeb-real/id1_0003.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(celebdf.v2(str(root))) == 3
    assert "1 of 3 videos are missing" in caplog.text
    assert "lists 3 videos, that of Celeb-DF v2 has 518" in caplog.text


def test_unknown_protocols_are_answered_with_the_known_ones(root):
    with pytest.raises(DataError, match="no protocol 'random'; it has official, identity_disjoint"):
        celebdf.v2(str(root), protocol="random")
