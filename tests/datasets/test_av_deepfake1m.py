import json
import logging

import pytest
import trees

from fusion_dfd.datasets import av_deepfake1m
from fusion_dfd.types import DataError, Stretches, Video

PLACE = "vox_celeb_2/id02/1nA/00030"


@pytest.fixture
def root(tmp_path):
    trees.av_deepfake1m(tmp_path)
    return tmp_path


def kinds(root, **options):
    found = av_deepfake1m.videos(str(root), **options)
    return {video.id.rpartition("/")[2]: (video.label, video.method) for video in found if video.split == "val"}


def changed(root, kind, **fields):
    path = root / "val_metadata.json"
    rows = json.loads(path.read_text())
    next(row for row in rows if row["modify_type"] == kind).update(fields)
    path.write_text(json.dumps(rows))


def test_every_field_of_a_fake_video(root):
    found = {(video.split, video.id): video for video in av_deepfake1m.videos(str(root))}
    name = f"{PLACE}/both_modified"
    where = ("av_deepfake1m", "Talklip", "", "val", "vox_celeb_2/id02", f"{PLACE}/real")
    stated = Stretches.of([(1.2, 1.8)], "seconds")
    assert found["val", name] == Video(name, str(root / f"val/{name}.mp4"), 1, *where, stretches=stated)
    assert found["val", f"{PLACE}/real"].source == f"{PLACE}/real", "its original lies in no corpus of this data set"


def test_a_forged_sound_alone_is_real_to_the_eye(root):
    fakes = dict.fromkeys(("visual_modified", "both_modified"), (1, "Talklip"))
    assert kinds(root) == fakes | dict.fromkeys(("real", "audio_modified"), (0, "original"))
    assert kinds(root, label="any") == fakes | {"real": (0, "original"), "audio_modified": (1, "sound")}


def test_stretches_are_those_of_what_the_label_is_about(root):
    changed(root, "both_modified", fake_segments=[[1.2, 1.8], [3, 3.5]])

    def stated(**options):
        found = [video for video in av_deepfake1m.videos(str(root), **options) if video.split == "val"]
        return {video.id.rpartition("/")[2]: video.stretches and video.stretches.spans for video in found}

    kinds = ("real", "audio_modified", "visual_modified", "both_modified")
    assert stated() == dict(zip(kinds, (None, None, ((1.2, 1.8),), ((1.2, 1.8),)), strict=True))
    one = ((1.2, 1.8),)
    assert stated(label="any") == dict(zip(kinds, (None, one, one, (*one, (3, 3.5))), strict=True))


def test_types_may_have_hyphens(root):
    before = kinds(root)
    changed(root, "both_modified", modify_type="both-modified")
    assert kinds(root) == before


def test_the_archives_may_be_unpacked_in_the_root(root):
    (root / "train_metadata.json").unlink()
    (root / "val/vox_celeb_2").rename(root / "vox_celeb_2")
    (root / "val").rmdir()
    assert {video.path for video in av_deepfake1m.videos(str(root))} == {
        str(root / f"{PLACE}/{kind}.mp4") for kind in av_deepfake1m.TYPES
    }


def test_parts_of_one_subject_are_one_group(root):
    file = "silent_videos/subject_3_ab12_vid_0_1/real.mp4"
    other = "silent_videos/subject_3_ff00_vid_0_2/fake.mp4"
    changed(root, "real", file=file)
    changed(root, "both_modified", file=other, original=file)
    groups = {video.id: video.group for video in av_deepfake1m.videos(str(root))}
    assert groups[file[:-4]] == groups[other[:-4]] == "silent_videos/subject_3"


def test_a_missing_video_is_counted(root, caplog):
    (root / f"val/{PLACE}/both_modified.mp4").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(av_deepfake1m.videos(str(root))) == 8
    assert "1 of 8 videos are missing" in caplog.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"modify_type": "fake"}, "has modify_type 'fake', want real, audio_modified"),
        ({"visual_fake_segments": []}, "has modify_type visual_modified, but no visual_fake_segments"),
        ({"visual_fake_segments": [[2, 1]]}, "forged stretch from 2 to 1 seconds; want 0 <= begin < end"),
        ({"visual_fake_segments": 5}, "visual_modified.mp4: .*not iterable"),
        ({"modify_type": "real"}, "has modify_type real, but some visual_fake_segments"),
        ({"file": "youtube/a/b.mp4"}, "youtube/a/b.mp4 lies in none of vox_celeb_2, lrs3, silent_videos"),
    ],
)
def test_rows_that_contradict_themselves_are_named(root, fields, said):
    changed(root, "visual_modified", **fields)
    with pytest.raises(DataError, match=said):
        av_deepfake1m.videos(str(root))
