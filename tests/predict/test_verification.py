"""``fusion-dfd verify``: a record of today holds today, and every kind of difference has its exit code."""

import copy
import dataclasses
import json
import pathlib

import pytest

from fusion_dfd.predict import verification
from fusion_dfd.types import DataError


def face(_):
    return [(8, 6, 36, 0.99)]


@pytest.fixture(scope="module")
def verdict(build, video):
    return build(face).predict(video(30))


@pytest.fixture
def stated(verdict) -> dict:
    return json.loads(verdict.to_json())


def differing(stated, verdict, **given) -> set[str]:
    findings = verification.compare(stated, verdict, given.pop("tolerance", 0.01), **given)
    wrong = {one.part for one in findings if not one.same}
    assert verification.code(findings) == min((verification.CODES[part] for part in wrong), default=0)
    return wrong


def test_nothing_differs_from_itself(stated, build, video):
    again = build(face).predict(video(30))
    assert again.record.time >= stated["record"]["time"]
    assert differing(stated, again) == set()


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("record", "file", "sha256"), "0" * 64, "file"),
        (("record", "detector", "weights"), "0" * 64, "detector"),
        (("record", "detector", "calibration"), "0" * 64, "detector"),
        (("record", "software", "jax"), "0.1", "software"),
        (("record", "windows"), [[0, 0, 4]], "verdict"),
        (("verdict",), "none", "verdict"),
        (("probability",), None, "verdict"),
    ],
)
def test_every_difference_is_named(stated, verdict, path, value, part):
    changed = copy.deepcopy(stated)
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    assert differing(changed, verdict) == {part}


def test_probabilities_within_the_tolerance_are_the_same(stated, verdict):
    moved = dataclasses.replace(verdict, probability=verdict.probability + 0.02)
    assert differing(stated, moved) == {"verdict"}
    assert differing(stated, moved, tolerance=0.03) == set()


def test_a_key_that_is_given_must_have_signed(stated, verdict, tmp_path):
    assert differing(stated, verdict, key=str(tmp_path / "any")) == {"signature"}


def test_of_several_records_that_of_the_video_is_taken(stated, video, tmp_path):
    other = copy.deepcopy(stated) | {"path": "elsewhere/15.mp4"}
    other["record"]["file"]["sha256"] = "0" * 64
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(map(json.dumps, [other, stated, other])) + "\n")
    assert verification.read(str(path), video(30)) == stated
    assert verification.read(str(path), "15.mp4") == other, "by its name where the content is another"
    with pytest.raises(DataError, match="none of a file"):
        verification.read(str(path), "unknown.mp4")
    path.write_text(json.dumps(other))
    assert verification.read(str(path), video(30)) == other, "the only record is of what is asked for"


@pytest.mark.parametrize(
    "text", ["", "no", "{}", "[1]", '{"record": {"form": 1}}', '{"record": {"form": 9}}', "[" * 9999]
)
def test_what_is_no_record_is_one_sentence(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"record\.json"):
        verification.read(str(path), "a.mp4")


def test_every_field_is_looked_at_before_it_is_used(stated, tmp_path):
    """Whatever one part of a record is replaced by, it is refused or read, in one sentence."""
    path = tmp_path / "record.json"
    for name in ("path", "verdict", "probability"):
        path.write_text(json.dumps(stated | {name: ["odd"]}))
        with pytest.raises(DataError, match=name):
            verification.read(str(path), "a.mp4")
    for name in ("file", "detector", "options", "software", "windows"):
        path.write_text(json.dumps(stated | {"record": stated["record"] | {name: 3}}))
        with pytest.raises(DataError, match=f"record.{name}"):
            verification.read(str(path), "a.mp4")


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        verification.read(str(pathlib.Path(tmp_path, "gone.json")), "a.mp4")
