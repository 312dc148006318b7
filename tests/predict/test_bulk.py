"""Thousands of videos: nothing lost or doubled by a kill, tables of the file, processes that die."""

import csv
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

from fusion_dfd import process_pool
from fusion_dfd.evaluation import scores
from fusion_dfd.predict import bulk, record
from fusion_dfd.predict.verdict import COLUMNS, Verdict
from fusion_dfd.types import DataError

BY = record.DetectorFacts("mine", 7, "0" * 64, "1" * 64, "2" * 64, None, None, "mtcnn")
OPTIONS = {"clips": 4, "engine": "jax", "tracks": "max"}


def verdict(path: str, size: int = 3, by=BY) -> Verdict:
    kept = record.make(record.FileFacts("f" * 64, size), None, by, record.ThresholdFacts(0.5), OPTIONS, [])
    return Verdict(path, "none", None, (), "no face", record=kept)


@pytest.fixture
def opened(tmp_path):
    """``opened(name)``: results in the folder, whose pages are lists of paths."""

    def made(name: str = "r.jsonl", by=BY, options=OPTIONS) -> bulk.Results:
        def summarise(path, verdicts):
            pathlib.Path(path).write_text("\n".join(one["path"] for one in verdicts), errors="replace")

        return bulk.Results(str(tmp_path / name), by, options, summarise)

    return made


@pytest.fixture
def videos(tmp_path):
    """Three files of three bytes."""
    paths = [tmp_path / f"{name}.mp4" for name in ("a", "b,\n", "c")]
    for path in paths:
        path.write_bytes(b"123")
    return list(map(str, paths))


def test_what_is_on_disk_is_not_done_again(opened, videos, tmp_path):
    first = opened()
    coming = first.keep(map(verdict, videos))
    assert [next(coming).path, next(coming).path] == videos[:2]
    coming.close()
    assert len((tmp_path / "r.jsonl").read_text().splitlines()) == 2
    second = opened()
    assert (len(second), second.remaining(videos)) == (2, videos[2:])
    list(second.keep(map(verdict, second.remaining(videos))))
    assert [one["path"] for one in second] == videos
    assert (tmp_path / "r.html").read_text() == "\n".join(videos)


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_a_line_that_was_being_written_is_done_again(opened, videos, tmp_path, cut):
    list(opened().keep(map(verdict, videos)))
    path = tmp_path / "r.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    again = opened()
    assert again.remaining(videos) == videos[2:]
    list(again.keep(map(verdict, videos[2:])))
    assert len(path.read_bytes().splitlines()) == 3
    assert [one["path"] for one in again] == videos


def test_a_video_that_changed_is_scored_again_and_counts_once(opened, videos):
    list(opened().keep(map(verdict, videos)))
    pathlib.Path(videos[0]).write_bytes(b"1234")
    again = opened()
    assert again.remaining(videos) == videos[:1]
    list(again.keep([verdict(videos[0], 4)]))
    assert [one["path"] for one in again] == [*videos[1:], videos[0]]
    assert again.remaining(videos) == []


def test_verdicts_of_another_detector_or_with_other_options_are_not_mixed(opened, videos):
    list(opened().keep(map(verdict, videos)))
    with pytest.raises(DataError, match="another detector"):
        opened(by=dataclasses.replace(BY, digest="9" * 64))
    with pytest.raises(DataError, match="another option"):
        opened(options=OPTIONS | {"clips": 5})


@pytest.mark.parametrize("text", ["no\n", "{}\n", '{"path": 1, "record": 3}\n', "[" * 9999 + "\n"])
def test_another_file_is_not_written_into(opened, tmp_path, text):
    (tmp_path / "r.jsonl").write_text(text)
    with pytest.raises(DataError, match="line 1 is no verdict"):
        opened()
    assert (tmp_path / "r.jsonl").read_text() == text


def test_the_ending_says_which_table(opened):
    with pytest.raises(DataError, match=r"\.jsonl, \.csv, \.parquet"):
        opened("r.txt")


def test_a_table_has_a_row_a_video(opened, videos, tmp_path):
    odd = [*videos, os.fsdecode(b"\xff.mp4")]
    list(opened("r.csv").keep(map(verdict, odd)))
    with open(tmp_path / "r.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["path"] for row in rows] == [*videos, "?.mp4"]
    assert rows[0]["sha256"] == "f" * 64


@pytest.mark.extras
def test_a_parquet_table_has_types(opened, videos, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(bulk, "GROUP", 2)
    list(opened("r.parquet").keep(map(verdict, videos)))
    table = scores.read_parquet(tmp_path / "r.parquet")
    assert list(table) == list(COLUMNS)
    assert (table["path"], table["bytes"], table["probability"]) == (videos, [3] * 3, [None] * 3)


def test_pages_come_while_verdicts_do(opened, videos, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "EVERY", 0.0)
    monkeypatch.setattr(bulk, "SHARE", 0)
    coming = opened().keep(map(verdict, videos))
    next(coming)
    next(coming)
    assert (tmp_path / "r.html").read_text() == videos[0]
    coming.close()


KILLED = """
    import os, sys
    sys.path[:0] = {paths!r}
    import test_bulk
    from fusion_dfd.predict import bulk
    results = bulk.Results({out!r}, test_bulk.BY, test_bulk.OPTIONS, lambda *_: None)
    for count, _ in enumerate(results.keep(map(test_bulk.verdict, results.remaining({videos!r})))):
        if count == 0:
            os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(opened, videos, tmp_path):
    here = pathlib.Path(__file__).parent
    given = {"paths": [str(here), str(here.parents[1])], "out": str(tmp_path / "r.jsonl"), "videos": videos}
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED.format(**given))], timeout=200)
    assert done.returncode == -signal.SIGKILL
    again = opened()
    assert again.remaining(videos) == videos[1:]
    list(again.keep(map(verdict, again.remaining(videos))))
    assert [one["path"] for one in opened()] == videos


@dataclasses.dataclass(frozen=True)
class Dies:
    """Opens a scorer that one of the videos kills."""

    victim: str

    def __call__(self):
        return self.predict_many

    def predict_many(self, paths, on_progress):
        on_progress(paths[0], 1, 1)
        if paths[0] == self.victim:
            os._exit(3)
        yield verdict(paths[0])


@pytest.mark.slow
def test_a_video_that_kills_its_process_has_a_record_and_costs_no_other(build, video, tmp_path):
    paths = [str(shutil.copy(video(15), tmp_path / f"{name}.mp4")) for name in "ab"]
    detector = build(lambda _: [])
    many = functools.partial(bulk.predict_many, Dies(paths[0]), detector, 1)
    found = {one.path: one for one in many(paths, None)}
    assert found.keys() == set(paths)
    died = found[paths[0]]
    assert (died.verdict, died.reason) == ("none", process_pool.DIED)
    assert died.record.file == record.file_facts(paths[0])
    assert json.loads(died.to_json())["record"]["detector"]["digest"] == detector.facts.digest
    assert found[paths[1]].reason == "no face"
