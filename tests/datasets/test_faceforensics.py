import json
import logging

import pytest
import trees

from fusion_dfd.datasets import faceforensics, splits
from fusion_dfd.types import DataError, Video


def place(root, method: str, compression: str = "c23"):
    kind = "original_sequences/youtube" if method == "original" else f"manipulated_sequences/{method}"
    return root / kind / compression / "videos"


@pytest.fixture
def root(tmp_path):
    trees.faceforensics(tmp_path)
    return tmp_path


def test_every_field_of_a_real_and_of_a_fake_video(root):
    by_key = {video.key: video for video in faceforensics.videos(str(root))}
    reals, fakes = place(root, "original"), place(root, "Deepfakes")
    where = ("faceforensics", "original", "c23", "train", "054_071")
    assert by_key["faceforensics/original/c23/054"] == Video("054", str(reals / "054.mp4"), 0, *where, "054")
    masks = root / "manipulated_sequences" / "Deepfakes" / "masks" / "videos"
    where = ("faceforensics", "Deepfakes", "c23", "train", "054_071")
    fake = Video("071_054", str(fakes / "071_054.mp4"), 1, *where, "071", str(masks / "071_054.mp4"))
    assert by_key["faceforensics/Deepfakes/c23/071_054"] == fake
    assert by_key["faceforensics/Deepfakes/c23/054_071"].mask == ""


def test_a_pair_gives_two_real_and_two_fake_videos_of_each_method_faceshifter_in_test_only(root):
    found = faceforensics.videos(str(root))
    count = {split: sum(video.split == split for video in found) for split in splits.SPLITS}
    assert count == {"train": 2 * (2 + 2), "val": 2 + 2, "test": 2 + 2 + 2}
    assert {video.split for video in found if video.method == "FaceShifter"} == {"test"}
    assert sum(video.label == 0 for video in found) == 8


def test_the_official_lists_give_the_official_numbers(tmp_path, protocol):
    methods = faceforensics.METHODS
    for split in splits.SPLITS:
        pairs = json.loads((protocol / f"ffpp_{split}.json").read_text())
        trees.write(tmp_path, f"splits/{split}.json", pairs)
        for a, b in pairs[:1]:
            for method in ("original", *methods):
                names = (a, b) if method == "original" else (f"{a}_{b}", f"{b}_{a}")
                trees.touch(place(tmp_path, method), *(f"{name}.mp4" for name in names))
    found = faceforensics.videos(str(tmp_path))
    splits.audit(found)
    reals = [sum(video.split == split and not video.label for video in found) for split in splits.SPLITS]
    fakes = [sum(video.split == split and video.label for video in found) for split in splits.SPLITS]
    assert (reals, fakes) == ([720, 140, 140], [4 * 720, 4 * 140, 5 * 140])


def test_split_files_may_lie_in_a_folder_of_their_own(root):
    before = faceforensics.videos(str(root))
    (root / "splits").mkdir()
    for split in splits.SPLITS:
        (root / f"{split}.json").rename(root / "splits" / f"{split}.json")
    assert faceforensics.videos(str(root)) == before


def test_methods_can_be_chosen(root):
    found = faceforensics.videos(str(root), methods=("Deepfakes",))
    assert {video.method for video in found} == {"original", "Deepfakes"}


def test_single_missing_videos_stay_listed_and_are_counted(root, caplog):
    complete = faceforensics.videos(str(root))
    (place(root, "Deepfakes") / "071_054.mp4").unlink()
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


def _empty(folder):
    for file in folder.iterdir():
        file.unlink()


def _rename(folder):
    folder.rename(folder.with_name("elsewhere"))
