import pytest
import synthetic_tracks

from fusion_dfd import config
from fusion_dfd.shards import clip_index, runners
from fusion_dfd.shards.plan import anonymous
from fusion_dfd.shards.prepare import Preparation, prepare
from fusion_dfd.types import DataError


def run(videos, out, salt: str):
    here, cut = runners.local(0), synthetic_tracks.cut_or_fail
    return prepare(Preparation(videos, str(out), config.Faces(), "toy", here, cut, salt=salt))


def test_relations_survive_and_another_salt_gives_other_names(tmp_path):
    videos = synthetic_tracks.videos(tmp_path)
    hidden = [anonymous(video, "salt") for video in videos]
    for name in ("id", "group", "source"):
        old, new = ([getattr(video, name) for video in these] for these in (videos, hidden))
        assert len(set(zip(old, new, strict=True))) == len(set(old)) == len(set(new))
    assert {video.source for video in hidden} == {video.id for video in hidden if not video.label}
    assert [video.path for video in hidden] == [video.path for video in videos]
    assert hidden[0] == anonymous(videos[0], "salt")
    assert hidden[0].id != anonymous(videos[0], "pepper").id


def test_no_name_of_a_source_file_is_left_in_a_folder(tmp_path):
    videos = synthetic_tracks.videos(tmp_path / "videos")
    made = run(videos, tmp_path / "out", "salt")
    assert (len(made.failed), len(made.faceless), made.root) == (2, 1, "")
    assert all(entry["reason"].startswith(entry["path"]) for entry in made.failed)
    names = [name for video in videos if video.label for name in (video.id, video.group)]
    for path in (tmp_path / "out").iterdir():
        content = path.read_bytes()
        assert not [name for name in (*names, "salt", str(tmp_path)) if name.encode() in content], path.name
    opened = clip_index.open_split(str(tmp_path / "out"), "test").table
    assert set(opened.source) == {
        anonymous(video, "salt").id for video in videos if video.split == "test" and not video.label
    }


def test_a_folder_keeps_to_its_salt(tmp_path):
    videos = synthetic_tracks.videos(tmp_path / "videos")
    first = run(videos, tmp_path / "out", "salt")
    assert run(videos, tmp_path / "out", "salt") == first
    for salt in ("pepper", ""):
        with pytest.raises(DataError, match="was prepared with another list of videos"):
            run(videos, tmp_path / "out", salt)
