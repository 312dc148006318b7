import collections
import logging
import os
import zipfile

import pytest
import trees

from fusion_dfd.datasets import folder, splits
from fusion_dfd.types import DataError


def groups(found) -> dict[str, str]:
    return {f"{video.method}/{video.id}": video.group for video in found}


@pytest.mark.parametrize(
    ("reals", "fakes"),
    [
        ("real", "fake"),
        ("REAL", "FAKE"),
        ("0_real", "1_fake"),
        ("DFD_REAL", "DFD_FAKE"),
        ("original_sequences/youtube/c23/videos", "manipulated_sequences/Deepfakes/c23/videos"),
        ("Celeb-real", "Celeb-synthesis"),
        ("data/Real videos", "data/Deepfakes"),
    ],
)
def test_folders_say_the_label_in_any_usual_spelling(tmp_path, reals, fakes):
    trees.touch(tmp_path, f"{reals}/a.mp4", f"{reals}/b.AVI", f"{fakes}/a_fake.webm", f"{fakes}/c.mov")
    found = folder.videos(str(tmp_path))
    assert {(video.path.rpartition("/")[2], video.label) for video in found} == {
        ("a.mp4", 0),
        ("b.AVI", 0),
        ("a_fake.webm", 1),
        ("c.mov", 1),
    }


def test_the_outermost_folder_that_says_a_label_decides(tmp_path):
    trees.touch(tmp_path, "real/a.mp4", "fake/original size/b.mp4")
    assert {video.id: video.label for video in folder.videos(str(tmp_path))} == {"a": 0, "original size/b": 1}


def test_groups_and_sources_follow_names(tmp_path):
    trees.touch(tmp_path, "real/071.mp4", "real/054.mp4", "real/9.mp4", "real/10.mp4")
    trees.touch(tmp_path, "fake/071_054.mp4", "fake/9-swapped.mp4", "fake/9.mp4", "fake/99.mp4")
    found = folder.videos(str(tmp_path))
    of = groups(found)
    assert len({of[name] for name in ("original/071", "original/054", "fake/071_054")}) == 1
    assert len({of[name] for name in ("original/9", "fake/9-swapped", "fake/9")}) == 1
    assert len(set(of.values())) == 4, "and 10 and 99 alone"
    sources = {video.id: video.source for video in found if video.label}
    assert sources == {"071_054": "071", "9-swapped": "9", "9": "9", "99": "fake/99"}


def test_names_of_celebdf_and_dfd_tell_the_people(tmp_path):
    trees.touch(tmp_path, "real/01__kitchen.mp4", "real/02__kitchen.mp4", "fake/01_02__kitchen__YVGY8LOK.mp4")
    trees.touch(tmp_path, "real/id3_0001.mp4", "real/id3_0002.mp4", "fake/id4_id3_0000.mp4", "real/03__hall.mp4")
    of = groups(folder.videos(str(tmp_path)))
    assert len({group for name, group in of.items() if "0_" in name or "id" in name}) == 1
    assert len({group for name, group in of.items() if "kitchen" in name}) == 1
    assert len(set(of.values())) == 3


def test_equal_files_are_a_group_and_never_of_two_labels(tmp_path):
    trees.touch(tmp_path, "real/a.mp4", "real/b.mp4", "fake/x.mp4", "fake/y.mp4")
    (tmp_path / "fake/y.mp4").write_bytes((tmp_path / "fake/x.mp4").read_bytes())
    of = groups(folder.videos(str(tmp_path)))
    assert of["fake/x"] == of["fake/y"]
    assert of["original/a"] != of["original/b"]
    (tmp_path / "real/b.mp4").write_bytes((tmp_path / "fake/x.mp4").read_bytes())
    with pytest.raises(DataError, match=r"real/b.mp4 \(real\) and .*fake/x.mp4 \(fake\) are the same file"):
        folder.videos(str(tmp_path))


def test_split_folders_are_the_splits_and_number_their_files_anew(tmp_path):
    names = [
        f"{split}/{label}/{n}.mp4" for split in ("train", "Valid", "test") for label in ("real", "fake") for n in "12"
    ]
    trees.touch(tmp_path, *names)
    found = folder.videos(str(tmp_path))
    splits.audit(found)
    assert {(video.path.split("/")[-3], video.split) for video in found} == {
        ("train", "train"),
        ("Valid", "val"),
        ("test", "test"),
    }
    trees.touch(tmp_path, "real/5.mp4")
    with pytest.raises(DataError, match=r"some videos have a split, but .*real/5.mp4 has none"):
        folder.videos(str(tmp_path))


def test_one_file_in_two_split_folders_is_a_leak(tmp_path):
    trees.touch(
        tmp_path, *(f"{split}/{label}/{split}.mp4" for split in ("train", "test") for label in ("real", "fake"))
    )
    (tmp_path / "test/real/test.mp4").write_bytes((tmp_path / "train/real/train.mp4").read_bytes())
    with pytest.raises(DataError, match=r"1 groups lie in more than one split: .*train/train.*test/test"):
        splits.audit(folder.videos(str(tmp_path)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.mp4"], "no folder under .* is named for real videos .* holds a.mp4.; name the two folders real and fake"),
        (["real/a.txt", "fake/b.mp4"], "no folder under .* is named for real videos"),
        (["real/a.mp4", "real_and_fake/b.mp4"], "folder 'real_and_fake' says both real and fake"),
        (["real/a.mp4", "real/a.avi", "fake/b.mp4"], "real/a.avi, .*real/a.mp4 have the same name"),
    ],
)
def test_wrong_folders_are_explained(tmp_path, names, said):
    trees.touch(tmp_path, *names)
    with pytest.raises(DataError, match=said):
        folder.videos(str(tmp_path))


def test_links_to_folders_are_followed_once(tmp_path):
    trees.touch(tmp_path, "elsewhere/a.mp4", "set/fake/b.mp4")
    (tmp_path / "set/real").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "set")
    assert {video.id for video in folder.videos(str(tmp_path / "set"))} == {"a", "b"}


def test_masks_are_no_videos(tmp_path):
    trees.faceforensics(tmp_path)
    found = folder.videos(str(tmp_path))
    assert len(found) == 8 + 8 + 8
    assert not [video for video in found if "/masks/" in video.path]


def test_videos_outside_both_folders_are_named(tmp_path, caplog):
    trees.touch(tmp_path, "real/a.mp4", "fake/b.mp4", "demo/c.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(folder.videos(str(tmp_path))) == 2
    assert "1 videos lie in no folder named real or fake and are left out: demo/c.mp4" in caplog.text


def zipped(path, **content: bytes):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(name.replace("__", "/").replace("_dot_", "."), data)


def test_an_archive_is_unpacked_beside_itself_once(tmp_path):
    zipped(tmp_path / "set.zip", set__real__a_dot_mp4=b"a", set__fake__b_dot_mp4=b"b", set__readme_dot_txt=b"no video")
    found = folder.videos(str(tmp_path / "set.zip"))
    assert [(video.id, video.label) for video in sorted(found, key=lambda video: video.id)] == [
        ("set/a", 0),
        ("set/b", 1),
    ]
    assert sorted(path.name for path in (tmp_path / "set").rglob("*.*")) == ["a.mp4", "b.mp4"]
    before = (tmp_path / "set/set/real/a.mp4").stat().st_mtime_ns
    (tmp_path / "set/set/fake/b.mp4").write_bytes(b"half, or more")
    assert folder.videos(str(tmp_path / "set.zip")) == found
    assert (tmp_path / "set/set/real/a.mp4").stat().st_mtime_ns == before
    assert (tmp_path / "set/set/fake/b.mp4").read_bytes() == b"b"


def test_bad_archives_are_explained(tmp_path):
    path = tmp_path / "set.zip"
    zipped(path, real__a_dot_mp4=bytes(range(256)) * 64)
    whole = path.read_bytes()
    for data, said in (
        (b"no zip", "set.zip is no complete .zip"),
        (whole[:-30], "set.zip is no complete .zip"),
        (whole[:60] + b"??" + whole[62:], "set.zip is no complete .zip"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=said):
            folder.videos(str(path))
    for name in ("../real/a.mp4", "/real/a.mp4", "real//a.mp4", "C:/real/a.mp4"):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, b"a")
        with pytest.raises(DataError, match="leads out of its folder"):
            folder.videos(str(path))
    assert {entry.name for entry in tmp_path.iterdir()} <= {"set.zip", "set"}
    zipped(path, readme_dot_txt=b"")
    with pytest.raises(DataError, match=r"set.zip holds no video, but readme.txt"):
        folder.videos(str(path))


def table(tmp_path, text: str):
    path = tmp_path / "videos.csv"
    path.write_bytes(text.encode())
    return folder.videos(str(path))


def test_a_table_says_path_and_label(tmp_path):
    trees.touch(tmp_path, "x/a.mp4", "x/b.mp4", "y/c.mp4", "y/d.mp4")
    found = table(tmp_path, "path,label\nx/a.mp4,real\nx/b.mp4,FAKE\ny/c.mp4,0\ny/d.mp4,1\n")
    assert {video.id: (video.label, video.method) for video in found} == {
        "x/a": (0, "original"),
        "x/b": (1, "fake"),
        "y/c": (0, "original"),
        "y/d": (1, "fake"),
    }
    assert len({video.group for video in found}) == 4


def test_further_columns_mean_what_they_are_called(tmp_path, caplog):
    trees.touch(tmp_path, *(f"{n}.mp4" for n in "abcdef"))
    text = (
        "\ufeffFile , Label,group,method,split,id,compression,colour\r\n"
        'a.mp4,real,anna,none,train,first,c23,"blue, or not"\r\n'
        "b.mp4,fake,anna,audio/video,train,second,c23,\r\n"
        "\r\n"
        "c.mp4,real,,,test,,,\r\n"
        "d.mp4,fake,,,test,,,\r\n"
    )
    with caplog.at_level(logging.WARNING):
        found = {video.id: video for video in table(tmp_path, text)}
    assert "these columns are not used: colour" in caplog.text
    assert found["first"].key == "folder/original/c23/first"
    assert found["second"].key == "folder/audio-video/c23/second"
    assert (found["second"].group, found["first"].group, found["second"].split) == ("anna", "anna", "train")
    assert {found["c"].group, found["d"].group} == {"original/c", "fake/d"}
    assert (found["c"].split, found["d"].method) == ("test", "fake")


def test_groups_of_a_table_stay_whole_when_splits_are_drawn(tmp_path):
    rows = [f"{label}{n}.mp4,{label},person{n // 4}\n" for n in range(40) for label in ("real", "fake")]
    trees.touch(tmp_path, *(row.partition(",")[0] for row in rows))
    found = table(tmp_path, "path,label,group\n" + "".join(rows))
    splits.audit(found)
    assert collections.Counter(video.split for video in found) == {"train": 56, "val": 16, "test": 8}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.mp4,real\n", "first line of .*videos.csv must name the columns, but has no label among a.mp4, real"),
        ("label,where\nreal,a.mp4\n", "has no column path, but label, where; begin it with path,label"),
        ("path,label\na.mp4,genuine\n", "a.mp4 has label 'genuine', want real or fake"),
        ("path,label,split\na.mp4,real,holdout\n", "a.mp4 has split 'holdout', want train, val, test"),
        ("path,label\na.mp4,real\nb.mp4\n", "line 3 of .*videos.csv has 1 columns, the first has 2"),
        ("path,label,label\na.mp4,real,real\n", "names label twice"),
        ("path,label\n,real\n", "1 rows have no path"),
        ("path,label\na.mp4,real\n./a.mp4,real\n", "have the same name"),
        ("path,label,id\na.mp4,real,1\n./a.mp4,real,2\n", "have the same path"),
        ("path,label\nx.mp4,real\ny.mp4,fake\n", "none of the 1 real videos of split '.*' is under"),
        ("path,label,split\na.mp4,real,train\nb.mp4,fake,\n", "b.mp4 has none; give one to all or to none"),
    ],
)
def test_odd_tables_are_explained(tmp_path, text, said):
    trees.touch(tmp_path, "a.mp4", "b.mp4")
    with pytest.raises(DataError, match=said):
        table(tmp_path, text)


def test_a_folder_of_frames_is_a_video(tmp_path):
    trees.frames(tmp_path, "real/a", "real/b.c", "fake/swap/frames/a_x")
    trees.touch(tmp_path, "real/d.mp4", "fake/d_y.mp4", "fake/d_y.png")
    found = {video.id: video for video in folder.videos(str(tmp_path))}
    assert set(found) == {"a", "b.c", "d", "swap/frames/a_x", "d_y"}
    assert found["b.c"].path == str(tmp_path / "real/b.c")
    assert found["swap/frames/a_x"].source == "a"
    trees.write(tmp_path, "list.csv", "path,label\nreal/b.c,real\nfake/d_y.mp4,fake\n")
    assert {video.id for video in folder.videos(str(tmp_path / "list.csv"))} == {"real/b.c", "fake/d_y"}


def test_pictures_in_a_class_are_no_video(tmp_path):
    trees.touch(tmp_path, "real/0001.png", "fake/0001.png")
    with pytest.raises(DataError, match=r"no folder under .* is named for real videos"):
        folder.videos(str(tmp_path))


def test_a_name_that_is_no_text_is_a_video_as_any_other(tmp_path):
    trees.touch(tmp_path, *(f"{label}/{label}{n}.mp4" for label in ("real", "fake") for n in range(8)))
    odd = os.fsdecode(bytes(tmp_path / "real") + b"/caf\xe9.mp4")
    os.rename(tmp_path / "real" / "real0.mp4", odd)
    found = folder.videos(str(tmp_path))
    assert [(video.path, video.id) for video in found if video.path == odd] == [(odd, r"caf\xe9")]
    for video in found:
        video.key.encode()
        video.group.encode()


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_may_be_separated_as_spreadsheets_do(tmp_path, mark):
    trees.touch(tmp_path, "a, b.mp4", "c.mp4", "d.mp4", "e.mp4")
    rows = [("path", "label"), ('"a, b.mp4"', "real"), ("c.mp4", "real"), ("d.mp4", "fake"), ("e.mp4", "fake")]
    listed = folder.read_list(str(_table(tmp_path, rows, mark)), "x", "fake")
    assert [video.id for video in listed] == ["a, b", "c", "d", "e"]


def _table(root, rows, mark):
    path = root / "list.csv"
    path.write_text("\n".join(map(mark.join, rows)))
    return path


@pytest.mark.parametrize("kind", ["a name that is no text", "bzip2 damaged", "unpacks to far more"])
def test_a_damaged_or_hostile_archive_is_one_sentence(tmp_path, kind):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2 if "bzip2" in kind else zipfile.ZIP_DEFLATED) as archive:
        for name in ("real/\N{LATIN SMALL LETTER E WITH ACUTE}.mp4", "fake/b.mp4"):
            archive.writestr(name, bytes(200_000_000 if "more" in kind else 300))
    content = path.read_bytes()
    if "text" in kind:
        path.write_bytes(content.replace("\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), b"\xff\xff"))
    elif "bzip2" in kind:
        path.write_bytes(content.replace(b"BZh9", b"BZx9"))
    with pytest.raises(DataError, match="do not trust this file" if "more" in kind else r"is no complete \.zip"):
        folder.videos(str(path))
