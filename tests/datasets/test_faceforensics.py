import itertools
import json
import logging

import pytest

from fusion_dfd.datasets import faceforensics, splits
from fusion_dfd.types import DataError, Video

PAIRS = {"train": [["071", "054"], ["087", "081"]], "val": [["720", "672"]], "test": [["953", "974"]]}


def place(root, method: str, compression: str = "c23"):
    kind = "original_sequences/youtube" if method == "original" else f"manipulated_sequences/{method}"
    return root / kind / compression / "videos"


@pytest.fixture
def root(tmp_path):
    for split, pairs in PAIRS.items():
        (tmp_path / f"{split}.json").write_text(json.dumps(pairs))
    for method in ("original", "Deepfakes", "FaceShifter"):
        place(tmp_path, method).mkdir(parents=True)
        for a, b in itertools.chain(*PAIRS.values()):
            for name in (a, b) if method == "original" else (f"{a}_{b}", f"{b}_{a}"):
                (place(tmp_path, method) / f"{name}.mp4").touch()
    return tmp_path


def test_every_field_of_a_real_and_of_a_fake_video(root):
    by_key = {video.key: video for video in faceforensics.videos(str(root))}
    assert by_key["faceforensics/original/c23/054"] == Video(
        "054",
        str(place(root, "original") / "054.mp4"),
        0,
        "faceforensics",
        "original",
        "c23",
        "train",
        "054_071",
        "054",
    )
    assert by_key["faceforensics/Deepfakes/c23/071_054"] == Video(
        "071_054",
        str(place(root, "Deepfakes") / "071_054.mp4"),
        1,
        "faceforensics",
        "Deepfakes",
        "c23",
        "train",
        "054_071",
        "071",
    )


def test_a_pair_gives_two_real_and_two_fake_videos_of_each_method_faceshifter_in_test_only(root):
    found = faceforensics.videos(str(root))
    count = {split: sum(video.split == split for video in found) for split in PAIRS}
    assert count == {"train": 2 * (2 + 2), "val": 2 + 2, "test": 2 + 2 + 2}
    assert {video.split for video in found if video.method == "FaceShifter"} == {"test"}
    assert sum(video.label == 0 for video in found) == 8
    splits.audit(found)


def test_split_files_may_lie_in_a_folder_of_their_own(root):
    before = faceforensics.videos(str(root))
    (root / "splits").mkdir()
    for split in PAIRS:
        (root / f"{split}.json").rename(root / "splits" / f"{split}.json")
    assert faceforensics.videos(str(root)) == before


def test_methods_can_be_chosen(root):
    found = faceforensics.videos(str(root), methods=("Deepfakes",))
    assert {video.method for video in found} == {"original", "Deepfakes"}


def test_single_missing_videos_stay_listed_and_are_counted(root, caplog):
    gone = place(root, "Deepfakes") / "071_054.mp4"
    complete = faceforensics.videos(str(root))
    gone.unlink()
    with caplog.at_level(logging.WARNING):
        assert faceforensics.videos(str(root)) == complete
    assert "1 of 18 videos are missing" in caplog.text
    assert "071_054.mp4" in caplog.text


@pytest.mark.parametrize(
    ("damage", "options", "said"),
    [
        (
            lambda root: None,
            {"compression": "c40"},
            "original_sequences/youtube is here in c23: choose --compression c23",
        ),
        (lambda root: None, {"methods": ("FaceSwap",)}, "manipulated_sequences/FaceSwap/c23/videos is missing"),
        (lambda root: None, {"methods": ("Deepfake",)}, "no method Deepfake; its methods are Deepfakes"),
        (lambda root: (root / "val.json").unlink(), {}, "neither .*val.json nor .*splits/val.json exists; copy"),
        (lambda root: (root / "val.json").write_text("[[1, 2]]"), {}, "val.json is no list of pairs .* strings"),
        (lambda root: (root / "val.json").write_text("{"), {}, "val.json is no list of pairs"),
        (lambda root: (root / "val.json").write_text("[]"), {}, "val.json is no list of pairs"),
        (lambda root: _empty(place(root, "original")), {}, "none of the 4 real videos of split 'train'"),
        (
            lambda root: _rename(root / "original_sequences"),
            {},
            "youtube/c23/videos is missing .*holds .*; get it with",
        ),
        (lambda root: _rename(root / "manipulated_sequences"), {}, "holds none of Deepfakes, .* only nothing; get it"),
    ],
)
def test_wrong_folders_are_explained(root, damage, options, said):
    damage(root)
    with pytest.raises(DataError, match=said):
        faceforensics.videos(str(root), **options)


def test_a_missing_root_is_explained(tmp_path):
    with pytest.raises(DataError, match="nowhere is no folder"):
        faceforensics.videos(str(tmp_path / "nowhere"))


def _empty(folder):
    for file in folder.iterdir():
        file.unlink()


def _rename(folder):
    folder.rename(folder.with_name("elsewhere"))
