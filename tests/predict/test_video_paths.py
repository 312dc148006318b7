"""Words of a command line to paths."""

import io

import pytest

from fusion_dfd.predict.video_paths import expand
from fusion_dfd.types import DataError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in ("b.mp4", "a.MKV", "notes.txt", "deep/er/c.webm", "deep/.d.mp4", "odd[1].mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_searched_to_its_depth_for_videos_by_name(tree):
    assert expand(["."]) == ["./a.MKV", "./b.mp4", "./deep/er/c.webm", "./odd[1].mp4"]


def test_words_keep_their_order_and_nothing_comes_twice(tree):
    assert expand(["b.mp4", "a.MKV", "*.mp4"]) == ["b.mp4", "a.MKV", "odd[1].mp4"]


def test_files_are_taken_whatever_they_are_called(tree):
    assert expand(["notes.txt", "missing.mp4", "odd[1].mp4"]) == ["notes.txt", "missing.mp4", "odd[1].mp4"]


def test_a_pattern_reaches_any_depth(tree):
    assert expand(["**/*.webm"]) == ["deep/er/c.webm"]


def test_a_list_is_read_line_by_line(tree):
    assert expand(["-"], io.StringIO("a.MKV\n\nwith space.mp4\r\n")) == ["a.MKV", "with space.mp4"]


@pytest.mark.parametrize(
    ("word", "text"), [("deep/none*", "no file matches"), ("-", "standard input"), ("bare", "no videos")]
)
def test_what_means_nothing_is_refused(tree, word, text):
    (tree / "bare").mkdir()
    with pytest.raises(DataError, match=text):
        expand([word], io.StringIO(" \n"))


def test_a_folder_of_frames_is_one_video(tree):
    for name in ("clip/000.png", "clip/001.png", "sets/x/3.jpg", "photos/ann.jpg", "photos/bob.jpg"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    assert expand(["clip"]) == ["clip"]
    assert expand(["clip*"]) == ["clip"]
    assert expand(["sets", "photos"]) == ["sets/x", "photos"]
    assert [path for path in expand(["."]) if "." not in path[1:]] == ["./clip", "./sets/x"], "photographs are no video"


def test_what_a_folder_leaves_out_is_counted_and_named(tree, caplog):
    assert "notes.txt" not in expand(["."])
    assert [record.getMessage() for record in caplog.records] == [".: left out 1 file not named as videos: notes.txt"]


@pytest.mark.parametrize("name", ["a.TS", "b.MTS", "c.3gp", "d.gif", "e.vob", "f.ogv", "g.mxf", "h.h264", "i.apng"])
def test_every_kind_of_video_counts(tmp_path, name):
    (tmp_path / name).touch()
    assert expand([str(tmp_path)]) == [str(tmp_path / name)]


def test_linked_folders_are_searched_once(tree):
    (tree / "deep" / "up").symlink_to(tree)
    (tree / "linked").symlink_to(tree / "deep" / "er")
    assert len({path.rpartition("/")[2] for path in expand(["."])}) == len(expand(["."])) == 4
