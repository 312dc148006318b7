"""Damaged files of every kind: a few of each here, as many as the minutes allow by ``make fuzz``."""

import pathlib

import mutants
import pytest


@pytest.mark.parametrize("kind", [kind for kind in mutants.KINDS if not kind.needs], ids=lambda kind: kind.name)
def test_a_damaged_file_is_read_or_refused_with_a_sentence(tmp_path, kind):
    found = mutants.run(kind, tmp_path, seed=0, count=25)
    assert found.refused + found.accepted == found.tried == 25
    assert found.refused


@pytest.mark.extras
@pytest.mark.parametrize("kind", [kind for kind in mutants.KINDS if kind.needs], ids=lambda kind: kind.name)
def test_a_damaged_file_of_an_optional_package_too(tmp_path, kind):
    pytest.importorskip(kind.needs)
    assert mutants.run(kind, tmp_path, seed=0, count=25).refused


def test_what_is_neither_read_nor_refused_is_a_fault_and_kept(tmp_path):
    def read(path):
        if pathlib.Path(path).read_bytes() != b"sound":
            raise IndexError("a bug")

    kind = mutants.Kind("a.txt", lambda path: path.write_bytes(b"sound") and None, read)
    with pytest.raises(mutants.Fault, match=r"a\.txt: IndexError: a bug"):
        mutants.run(kind, tmp_path, seed=0, count=5)
    assert (tmp_path / "a.txt").read_bytes() != b"sound"
