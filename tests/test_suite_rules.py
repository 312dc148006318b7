"""The rules of the suite bite: long tests, skips, and tests of two targets fail."""

import pytest

TESTS = """
import pytest, suite_rules

def test_long(monkeypatch):
    monkeypatch.setattr(suite_rules, "processor_seconds", lambda: 1e6)

@pytest.mark.slow
def test_long_and_marked(monkeypatch):
    monkeypatch.setattr(suite_rules, "processor_seconds", lambda: 1e6)

def test_missing():
    pytest.importorskip("no_such_package")

@pytest.mark.slow
def test_missing_and_slow():
    pytest.importorskip("no_such_package")

@pytest.mark.extras
def test_missing_and_marked():
    pytest.importorskip("no_such_package")

def test_media():
    pytest.skip("FUSION_DFD_MEDIA")

def test_offline():
    pytest.skip("no network: nothing was fetched")

def test_not_offline():
    pytest.skip("no network that is understood")
"""
FILE = "import pytest; pytest.importorskip('no_such_package')"
OPTIONS = ("--strict-markers", "-rA", "--no-fold-skipped", "--continue-on-collection-errors")
TWO = "import pytest\n@pytest.mark.slow\n@pytest.mark.docs\ndef test_two(): pass\n"


@pytest.mark.parametrize(("require_all", "marked", "file"), [("0", "SKIPPED", "SKIPPED"), ("1", "FAILED", "ERROR")])
def test_what_takes_long_and_what_may_be_skipped(pytester, monkeypatch, require_all, marked, file):
    monkeypatch.setenv("REQUIRE_ALL", require_all)
    pytester.makepyfile(test_rules=TESTS, test_file=FILE)
    lines = pytester.runpytest_inprocess("-p", "suite_rules", *OPTIONS).outlines
    found = {tuple(line.split()[:2]) for line in lines}
    names = {"long": "FAILED", "long_and_marked": "PASSED", "missing": "FAILED", "missing_and_marked": marked}
    names |= {"missing_and_slow": "FAILED", "offline": marked, "not_offline": "FAILED"}
    for name, wanted in (names | {"media": "SKIPPED"}).items():
        assert (wanted, f"test_rules.py::test_{name}") in found
    assert (file, "test_file.py") in found or (file, "[1]") in found
    assert any("s of processor time, more than 20 s" in line for line in lines)


def test_two_markers_are_refused(pytester):
    pytester.makepyfile(TWO)
    assert "one marker" in str(pytester.runpytest_inprocess("-p", "suite_rules").errlines)
