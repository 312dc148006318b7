"""The folder of a server: uploads that arrive, and a folder for every job. The rows are in the store.

Files::

    .lock             locked while a server runs on this folder
    name              random; the database that belongs to this folder holds it too
    jobs.sqlite       the store, unless --store names another
    incoming/         uploads that are not accepted yet, and the videos that workers try their detectors on
    jobs/ID/ID        the video of a job, until it is scored
    jobs/ID/*.html    its report, and its annotated copy
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator

from fusion_dfd import atomic

NAME, DATABASE = "name", "jobs.sqlite"


@contextlib.contextmanager
def locked(path: str) -> Iterator[str]:
    """The folder ``path``, made of mode 0700 if missing, for this process alone. Raises DataError."""
    with contextlib.suppress(OSError):  # the lock says why there can be no folder
        os.makedirs(path, mode=0o700, exist_ok=True)
    with atomic.locked(path, "serving from"):
        yield path


class Files:
    """Paths in a server's folder ``root``, and what is deleted from it."""

    def __init__(self, root: str):
        self.root = root
        self.incoming = os.path.join(root, "incoming")
        for folder in (self.incoming, os.path.join(root, "jobs")):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(root, NAME)
        if not os.path.exists(path):
            atomic.write_text(path, secrets.token_hex(16))
        with open(path, encoding="utf-8") as file:
            self.name = file.read()

    @contextlib.contextmanager
    def arriving(self) -> Iterator[str]:
        """Path for an upload, which is removed at the end unless it was taken."""
        path = os.path.join(self.incoming, secrets.token_hex(16))
        try:
            yield path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def folder(self, job_id: str) -> str:
        return os.path.join(self.root, "jobs", job_id)

    def video(self, job_id: str) -> str:
        """Path of a job's video. A user's file name is displayed but never used as a path."""
        return os.path.join(self.folder(job_id), job_id)

    def report(self, job_id: str) -> str | None:
        """Path of a job's page."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder(job_id)) as entries:
            return next((entry.path for entry in entries if entry.name.endswith(".html")), None)
        return None

    def take(self, arrived: str, job_id: str) -> None:
        """Move an upload into the folder of a new job; it survives a power cut once this returns."""
        self._place(job_id, lambda video: os.rename(arrived, video))

    def share(self, video: str, job_id: str) -> None:
        """Give another job the same video. Raises FileNotFoundError if it is gone."""
        self._place(job_id, lambda other: os.link(video, other))

    def _place(self, job_id: str, put: Callable[[str], None]) -> None:
        folder = self.folder(job_id)
        os.mkdir(folder, 0o700)
        try:
            put(self.video(job_id))
        except OSError:
            os.rmdir(folder)
            raise
        for path in (self.video(job_id), folder, os.path.dirname(folder)):
            _sync(path)

    def remove(self, job_id: str) -> None:
        """All of a job."""
        shutil.rmtree(self.folder(job_id), ignore_errors=True)

    def remove_video(self, job_id: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.video(job_id))

    def clean(self, known: Callable[[str], bool]) -> None:
        """Remove what a killed server left: what was incoming, folders of jobs that are not ``known``."""
        shutil.rmtree(self.incoming)
        os.mkdir(self.incoming, 0o700)
        for name in os.listdir(os.path.join(self.root, "jobs")):
            if not known(name):
                self.remove(name)

    def space(self) -> int:
        """Free bytes."""
        return shutil.disk_usage(self.root).free


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
