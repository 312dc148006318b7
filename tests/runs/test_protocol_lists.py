"""Protocols on disk: lists, digests, what is missing, extra and mislabelled."""

import os
import sys

import pytest
import trees

from fusion_dfd import cli
from fusion_dfd.datasets import listing, registry
from fusion_dfd.runs import protocol_lists, protocols
from fusion_dfd.types import DataError

SETS = ("celebdf_v2", "dfd", "uadfv")


@pytest.fixture
def roots(tmp_path):
    for name in SETS:
        trees.TREES[name](tmp_path / name)
    return {name: str(tmp_path / name) for name in SETS}


@pytest.fixture
def typed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["fusion-dfd"])
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: str):
        with pytest.raises(SystemExit) as stopped:
            cli.run("audit", ["--protocol=cross_dataset", *words])
        return stopped.value.code, *capsys.readouterr()

    return run


def test_a_row_is_what_its_adapter_lists_as_test(roots):
    made = protocol_lists.audit("cross_dataset", roots)
    of_row = {row.row.title: row for row in made.rows}
    test = [video for video in registry.open_dataset("celebdf_v2", roots["celebdf_v2"]) if video.split == "test"]
    assert of_row["celebdf_v2"].videos == test
    assert of_row["celebdf_v2"].digest == listing.digest((video.key, video.label) for video in test)
    assert [len(of_row[title].videos) for title in ("dfd c23", "uadfv", "dfdc")] == [5, 6, 0]
    assert "actors is here in c23: choose --compression c23" in of_row["dfd raw"].cells()[-1]
    assert of_row["dfdc"].cells()[-1] == "no test videos: give --root dfdc=DIR"
    assert made.code == protocol_lists.INCOMPLETE
    assert all(video.path not in made.extra for row in made.rows for video in row.videos)
    assert any("id2_id3_0000" in path for path in made.extra), "not of the official list"


def test_a_missing_file_is_named_and_changes_no_digest(roots):
    before = protocol_lists.audit("cross_dataset", roots)
    row = next(row for row in before.rows if row.row.dataset == "celebdf_v2")
    assert row.missing == []
    lost = next(video.path for video in row.videos if not video.label)
    os.remove(lost)
    after = protocol_lists.audit("cross_dataset", roots)
    again = next(row for row in after.rows if row.row.dataset == "celebdf_v2")
    assert (again.missing, again.digest) == ([lost], row.digest)
    assert f"missing: 1 videos: {lost}" in after.sentences()


def test_the_digest_of_a_report_is_that_of_the_audit(roots, make):
    """The list of the scored videos and the one of the files are the same list."""
    made = protocol_lists.audit("cross_dataset", {"uadfv": roots["uadfv"]})
    row = next(row for row in made.rows if row.row.dataset == "uadfv")
    about = ("dataset", "method", "compression", "group", "label")
    rows = [make.score(0.5, video=video.key, **{name: getattr(video, name) for name in about}) for video in row.videos]
    lines = protocols.fill(protocols.PROTOCOLS["cross_dataset"], [protocols.Submission("me", rows)])
    found = next(line.summary["list"] for line in lines if line.summary)
    assert found == {"digest": row.digest, "videos": len(rows), "scored": len(rows)}
    assert row.digest in protocols.as_markdown("cross_dataset", lines)


def test_a_list_is_written_and_then_held_against(roots, tmp_path, typed):
    words = [f"--root={name}={folder}" for name, folder in roots.items()]
    held = tmp_path / "list.csv"
    code, out, _ = typed(*words, f"--list={held}")
    assert code == 3
    assert "celebdf_v2" in out
    assert listing.digest(listing.read(str(held)).items()) in out
    assert typed(*words, f"--list={held}")[:2] == (3, out)
    lines = held.read_text().splitlines()
    assert lines[1].endswith(",1")
    changed, gone = lines[1][:-1] + "0", lines[2].rpartition(",")[0]
    held.write_text("\n".join([lines[0], changed, *lines[3:], "uadfv/original//other,0"]) + "\n")
    code, out, _ = typed(*words, f"--list={held}")
    assert code == 4
    assert f"mislabelled, says {held}: 1 videos: {changed[:-2]}" in out
    assert f"listed in {held} and not here: 1 videos: uadfv/original//other" in out
    assert f"listed here and not in {held}: 1 videos: {gone}" in out


def test_a_protocol_of_one_data_set_takes_the_folder_alone(tmp_path, typed, monkeypatch):
    trees.celebdf_pp(tmp_path)
    roots = protocol_lists.parse_roots("celebdf_pp", [str(tmp_path)])
    assert roots == {"celebdf_pp": str(tmp_path)}
    assert [len(row.videos) for row in protocol_lists.audit("celebdf_pp", roots).rows][:1] == [5]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["folder"], "--root folder: with --protocol cross_dataset, want each data set once, as NAME=DIR"),
        (["uadfv=a", "uadfv=b"], "--root uadfv=b: with"),
        (["kodf=x"], "no row of cross_dataset is about kodf; there are rows about faceforensics, celebdf_v2"),
    ],
)
def test_mistakes_end_in_one_sentence(words, message, typed):
    code, out, err = typed(*(f"--root={word}" for word in words))
    assert (code, out) == (1, "")
    assert message in err
    with pytest.raises(DataError):
        protocol_lists.audit("cross_dataset", protocol_lists.parse_roots("cross_dataset", words))
