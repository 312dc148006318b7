"""What holds for every adapter, on a small tree of its data set."""

import collections
import contextlib
import inspect
import os
import re

import pytest
from trees import TREES

from fusion_dfd.datasets import splits
from fusion_dfd.datasets.registry import ADAPTERS, OPTIONS, open_dataset
from fusion_dfd.types import ORIGINAL, DataError

every = pytest.mark.parametrize("name", ADAPTERS)
TEXTS = (".json", ".txt", ".csv")
JOINED = tuple(f"faceforensics/{split}.json" for split in splits.SPLITS)
UNREAD = {
    "deeperforensics": JOINED,
    "talkingheadbench": JOINED,
    "dfdm": ("celebdf/List_of_testing_videos.txt",),
    "av_deepfake1m": ("test_files.txt",),
}
"""Lists in the tree of an adapter that it has no use for."""


@pytest.fixture
def opened(tmp_path):
    """``opened(name)``: makes the tree if need be and lists its videos."""

    options = {}

    def open_(name: str):
        root = tmp_path / name
        if name not in options:
            options[name] = TREES[name](root)
        return open_dataset(name, str(root), **options[name])

    return open_


def said(error) -> str:
    """The message of a DataError, after a look at its form."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


@every
def test_rows_mean_one_video_each(name, opened):
    found = opened(name)
    assert {video.dataset for video in found} == {name}
    assert {video.label for video in found} == {0, 1}
    assert all((video.method == ORIGINAL) == (video.label == 0) for video in found)
    assert all(os.path.exists(video.path) and os.path.exists(video.mask or video.path) for video in found)
    assert all(video.group and video.source and video.id for video in found)
    assert max(collections.Counter(video.key for video in found).values()) == 1


@every
def test_a_video_and_its_source_are_one_group(name, opened):
    found = opened(name)
    groups = collections.defaultdict(set)
    for video in found:
        groups[video.source].add(video.group)
        assert video.label or video.source == video.id
    assert all(len(of) == 1 for of in groups.values())


@every
def test_no_split_leaks(name, opened):
    assert splits.findings(opened(name)) == []


@every
def test_lists_are_sorted_and_come_out_the_same_again(name, opened):
    found = opened(name)
    assert opened(name) == found
    places = [splits.SPLITS.index(video.split) for video in found]
    assert places == sorted(places)


@every
def test_other_roots_are_explained(name, tmp_path):
    assert next(iter(inspect.signature(ADAPTERS[name]).parameters)) == "root"
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=str(folder)) as error:
            open_dataset(name, str(folder))
        said(error)


@every
def test_the_tree_of_another_data_set_is_refused(name, tmp_path):
    for other, make in TREES.items():
        if other.split("_v")[0] in name or name == "folder":  # the two releases of Celeb-DF are laid out alike
            continue
        make(tmp_path / other)
        if (name, other) in {("faceforensics", "deeperforensics"), ("uadfv", "folder")}:
            continue
        with pytest.raises(DataError) as error:
            open_dataset(name, str(tmp_path / other))
        said(error)


@every
def test_every_option_is_known_and_has_a_default(name):
    _, *options = inspect.signature(ADAPTERS[name]).parameters.values()
    assert {option.name for option in options} <= set(OPTIONS)
    assert all(option.default is not inspect.Parameter.empty for option in options)
    with pytest.raises(DataError, match=r"no option colour; it has"):
        open_dataset(name, "/d", colour="c23")


@every
def test_lists_may_have_byte_order_marks_and_windows_line_ends(name, opened, tmp_path):
    found = opened(name)
    for path in tmp_path.rglob("*"):
        if path.suffix in TEXTS:
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert opened(name) == found


@every
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"[[1]]", b'{"a.mp4": 1}', b'{"a.mp4": {}}', b"\xff\xfe\0", b'"a', b"a,b\nc\n"],
)
def test_damaged_lists_are_named(name, content, opened, tmp_path):
    opened(name)
    for path in [path for path in tmp_path.rglob("*") if path.suffix in TEXTS]:
        whole = path.read_bytes()
        path.write_bytes(content)
        if str(path.relative_to(tmp_path / name)) not in UNREAD.get(name, ()):
            with pytest.raises(DataError, match=re.escape(path.name)) as error:
                opened(name)
            said(error)
        path.write_bytes(whole)


@every
def test_whatever_is_missing_either_is_explained_or_leaves_a_sound_list(name, opened, tmp_path):
    opened(name)
    for path in sorted((tmp_path / name).rglob("*")):
        hidden = path.with_name(f".{path.name}.gone")
        path.rename(hidden)
        with contextlib.suppress(DataError):
            assert splits.findings(opened(name)) == []
        hidden.rename(path)


@every
def test_what_operating_systems_leave_behind_is_no_video(name, opened, tmp_path):
    found = opened(name)
    for folder in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        for left in (".DS_Store", "Thumbs.db", "._a.mp4"):
            (folder / left).write_bytes(b"x")
    assert opened(name) == found
