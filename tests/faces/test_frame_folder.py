"""A folder of frames is a video: order, gaps, damage, sizes, and every sentence for a bad one."""

import os
import pathlib

import cv2
import numpy as np
import pytest
from barcodes import barcode, number

from fusion_dfd.faces import frame_folder
from fusion_dfd.faces.video import Decoder, Reader, VideoInfo, probe
from fusion_dfd.types import DataError


def lay(folder, **frames) -> str:
    """Writes frames: ``name=number of its barcode``; ``_png`` and ``_jpg`` stand for the extension."""
    folder.mkdir()
    for name, code in frames.items():
        path = str(folder / name.replace("_png", ".png").replace("_jpg", ".jpg"))
        assert cv2.imwrite(path, cv2.cvtColor(barcode(code), cv2.COLOR_RGB2BGR))
    return str(folder)


def test_frames_come_by_number_and_not_by_name(tmp_path):
    path = lay(tmp_path / "a", f2_png=2, f10_png=10, f3_jpg=3)
    (tmp_path / "a/notes.txt").write_text("x")
    (tmp_path / "a/.f4.png").write_text("x")
    assert [number(frame) for _, frame in Reader(path, range(9))] == [2, 3, 10]
    assert probe(path) == VideoInfo(3, 0.0, 64, 48, "png", 0, 1)


@pytest.mark.parametrize(
    ("names", "gaps"),
    [
        (["000_png", "001_png", "002_png"], 0),
        (["1_png", "2_png", "5_png", "6_png", "9_png"], 2),
        (["x7_png"], 0),
        (["a_png", "b_png"], frame_folder.UNKNOWN),
        (["a1_png", "b2_png"], frame_folder.UNKNOWN),
        (["a1_png", "b_png"], frame_folder.UNKNOWN),
    ],
)
def test_gaps_are_counted_where_names_have_numbers(tmp_path, names, gaps):
    assert probe(lay(tmp_path / "a", **dict.fromkeys(names, 7))).gaps == gaps


def test_only_wanted_frames_are_opened(tmp_path):
    path = lay(tmp_path / "a", **{f"{n:03d}_png": n for n in range(6)})
    frames = Decoder(path, [1, 4, 5, 6, 70])
    assert [(index, number(picture.rgb())) for index, picture in frames] == [(1, 1), (4, 4), (5, 5)]
    assert (frames.decoded, frames.damaged) == (3, 0)


def test_an_unreadable_frame_is_left_out_and_the_others_keep_their_numbers(tmp_path):
    path = lay(tmp_path / "a", **{f"{n}_png": n for n in range(4)})
    (tmp_path / "a/1.png").write_bytes(b"")
    (tmp_path / "a/2.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    frames = Reader(path, range(4))
    assert [(index, number(frame)) for index, frame in frames] == [(0, 0), (3, 3)]
    assert frames.damaged == 2
    with pytest.raises(DataError, match="a: not one of 2 frames can be decoded, copy"):
        list(Reader(path, [1, 2]))
    (tmp_path / "a/0.png").write_bytes(b"")
    assert probe(path).frames == 4, "described by the first good one"


def test_all_frames_have_the_size_of_the_first_whichever_are_wanted(tmp_path):
    path = lay(tmp_path / "a", **{"0_png": 0, "1_png": 1})
    cv2.imwrite(os.path.join(path, "1.png"), np.zeros((96, 128, 3), np.uint8))
    assert [frame.shape for _, frame in Reader(path, [1])] == [(48, 64, 3)]


def test_bad_folders_are_explained(tmp_path):
    with pytest.raises(DataError, match=r"a: a folder without frames \(.png, .jpg, .jpeg\), give a video or a folder"):
        probe(lay(tmp_path / "a"))
    (tmp_path / "a/1.png").write_bytes(b"text")
    with pytest.raises(DataError, match="a: not one of 1 frames can be opened, copy or download them again"):
        probe(str(tmp_path / "a"))
    with pytest.raises(DataError, match=r"b: 01.png and 1.jpg have one number, remove one of them"):
        probe(lay(tmp_path / "b", **{"01_png": 1, "1_jpg": 1}))


def test_size_and_hash_are_those_of_all_frames_in_order(tmp_path):
    one, two = (lay(tmp_path / name, **{"0_png": 3, "1_png": 4}) for name in "ab")
    assert frame_folder.sha256(one) == frame_folder.sha256(two)
    assert frame_folder.size(one) == sum(os.path.getsize(os.path.join(one, name)) for name in ("0.png", "1.png"))
    os.rename(os.path.join(two, "0.png"), os.path.join(two, "2.png"))
    assert frame_folder.sha256(one) != frame_folder.sha256(two)
    whole = tmp_path / "file"
    whole.write_bytes(b"".join(map(pathlib.Path.read_bytes, map(pathlib.Path, frame_folder.parts(one)))))
    assert frame_folder.sha256(str(whole)) == frame_folder.sha256(one)
