import pytest
import trees

from fusion_dfd.datasets import idforge, splits
from fusion_dfd.types import DataError, Video

FACE = "face_tts/id00/id00_02/id00_scene_0014"


@pytest.fixture
def root(tmp_path):
    trees.idforge(tmp_path)
    return tmp_path


def test_the_official_protocol_is_the_list_of_test(root):
    found = {video.id: video for video in idforge.videos(str(root))}
    assert {video.split for video in found.values()} == {"test"}
    assert len(found) == 10
    assert found[FACE] == Video(FACE, str(root / f"{FACE}.mp4"), 1, "idforge", "face_tts", "", "test", "id00", FACE)


def test_the_lists_share_people_so_training_draws_them(root):
    found = idforge.videos(str(root), protocol="identity_disjoint", fractions=(0.5, 0, 0.5))
    assert splits.findings(found) == []
    assert len(found) == 30
    assert {video.group: video.split for video in found}.keys() == {"id00", "id01"}
    assert {video.split for video in found} == {"train", "test"}


def test_a_forged_sound_alone_is_real_to_the_eye(root):
    methods = {label: {v.method for v in idforge.videos(str(root), label=label)} for label in ("visual", "any")}
    assert methods == {
        "visual": {"original", "face_tts", "lip_tts_textgen"},
        "any": {"original", "face_tts", "lip_tts_textgen", "sound"},
    }


def test_the_lists_may_lie_where_the_archive_has_them(root):
    before = idforge.videos(str(root))
    (root / "IDForge_v1").mkdir()
    for split in splits.SPLITS:
        (root / f"{split}.csv").rename(root / f"IDForge_v1/{split}.csv")
    assert idforge.videos(str(root)) == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"{FACE}.mp4", "test.csv lists face_tts/.*, which was listed before"),
        ("face_tts/id00/id01_02/id00_1.mp4", "line 11 of .*test.csv is .*, which names two people"),
        ("face_new/id00/id00_02/id00_1.mp4", "line 11 of .*test.csv is .*, want such as pristine/"),
        ("id00_1.mp4", "line 11 of .*test.csv is 'id00_1.mp4', want such as pristine/"),
    ],
)
def test_odd_lines_are_named(root, line, said):
    path = root / "test.csv"
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(DataError, match=said):
        idforge.videos(str(root))
