"""Whoever makes the shards, a pool, array jobs or Apache Beam: the folder is the same, byte for byte."""

import functools
import importlib.util

import pytest
import synthetic_tracks

from fusion_dfd import config
from fusion_dfd.config import ConfigError
from fusion_dfd.shards import runners
from fusion_dfd.shards.prepare import Preparation, choose_runner, parse_part, prepare, prepare_part
from fusion_dfd.types import DataError


def content(folder) -> dict[str, bytes]:
    """Every file of a folder, the lock apart."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != ".lock"}


@pytest.fixture
def make(tmp_path):
    """``make(function, folder, ...)``: one of the two functions, on the same videos, into a folder of its own."""
    listed = synthetic_tracks.videos(tmp_path / "videos")

    def call(function, folder, extract=synthetic_tracks.cut, **more):
        options = {"extract": extract, "videos_per_shard": 4, "runner": runners.local(0), **more}
        part = {"part": options.pop("part")} if "part" in options else {}
        return function(Preparation(listed, str(tmp_path / folder), config.Faces(), "toy", **options), **part)

    call.content = lambda folder: content(tmp_path / folder)
    return call


def test_array_jobs_in_any_order_make_what_one_run_makes(make):
    make(prepare, "whole")
    there = [make(prepare_part, "parts", part=(number, 3)) for number in (2, 0, 0, 1)]
    assert [count for count, _ in there] == [2, 5, 5, 7]
    assert {total for _, total in there} == {7}
    assert "manifest.json" not in make.content("parts")
    make(prepare, "parts", extract=never)
    assert make.content("parts") == make.content("whole")


def never(path, faces, detector, mask):
    raise AssertionError("all shards are there")


def test_array_jobs_share_the_folder_with_each_other_only(make):
    def cut(path, faces, detector, mask):
        assert make(prepare_part, "out", part=(1, 2))[1] == 7
        with pytest.raises(DataError, match="another process is preparing"):
            make(prepare, "out")
        return synthetic_tracks.cut(path, faces, detector, mask)

    assert make(prepare_part, "out", cut, part=(0, 2)) == (7, 7)


@pytest.mark.parametrize("part", [(2, 2), (-1, 2), (0, 0)])
def test_a_part_that_does_not_exist_is_refused(make, part):
    with pytest.raises(DataError, match=r"part -?\d/\d: want"):
        make(prepare_part, "out", part=part)


@pytest.fixture
def direct():
    pytest.importorskip("apache_beam")
    from fusion_dfd.shards import beam

    return functools.partial(beam.runner, "DirectRunner")


@pytest.mark.extras
def test_beam_makes_what_a_pool_makes(make, direct):
    assert make(prepare, "pool") == make(prepare, "beam", runner=direct())
    assert make.content("pool") == make.content("beam")


@pytest.mark.extras
def test_beam_lists_bad_videos_and_goes_on(make, direct):
    failing = synthetic_tracks.cut_or_fail
    assert make(prepare, "pool", failing) == make(prepare, "beam", failing, runner=direct())


@pytest.mark.extras
def test_a_pipeline_that_fails_is_one_sentence_and_its_shards_are_kept(make, direct):
    with pytest.raises(DataError, match=r"the Beam pipeline on DirectRunner failed \(.*finished shards are kept"):
        make(prepare, "out", lock_out, runner=direct())
    make(prepare, "whole")
    make(prepare, "out")
    assert make.content("out") == make.content("whole")


def lock_out(path, faces, detector, mask):
    """No fault of the video: the whole work ends."""
    raise KeyboardInterrupt


@pytest.mark.extras
def test_an_unknown_runner_is_named(make):
    pytest.importorskip("apache_beam")
    from fusion_dfd.shards import beam

    with pytest.raises(DataError, match="NoRunner"):
        make(prepare, "out", runner=beam.runner("NoRunner"))


@pytest.mark.parametrize("text", ["2/2", "a/3", "1", "-1/3", "1/", "/", "0/0"])
def test_a_share_is_two_numbers_in_order(text):
    with pytest.raises(ConfigError, match="want I/N"):
        parse_part(text)
    assert parse_part("3/8") == (3, 8)


def test_beam_is_chosen_by_name_and_its_options_want_one():
    with pytest.raises(ConfigError, match="add --runner"):
        choose_runner(None, ["--temp_location=x"])
    if importlib.util.find_spec("apache_beam"):
        assert callable(choose_runner("DirectRunner"))
    else:
        with pytest.raises(ConfigError, match=r"fusion-dfd\[beam\]"):
            choose_runner("DirectRunner")
