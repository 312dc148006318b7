"""What a server does for its requests: takes videos in within limits, gives jobs out to those who may see them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import HTTPException

from fusion_dfd.serve import callbacks, tables, upload
from fusion_dfd.serve.files import Files
from fusion_dfd.serve.keys import Holder, Keys
from fusion_dfd.serve.scoring import ModelFacts
from fusion_dfd.serve.store import Store
from fusion_dfd.serve.tables import Job
from fusion_dfd.serve.telemetry import Telemetry
from fusion_dfd.serve.upload import Limits

ANYONE = Holder("")
"""Who sends requests to a server without keys."""
SHORTEST = 8
"""Fewest digits of a digest that name a detector."""
ROOM = 100 * upload.MEGABYTE
"""Free bytes below which a server does not call itself ready."""
MANY = 10_000
"""Most old decisions that one request replays or compares."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the operator chose, besides :class:`fusion_dfd.serve.upload.Limits`."""

    keep: float = 30 * 60.0
    """Seconds that a result is kept."""
    keep_most: int = 100
    """Most results that are kept; the oldest gives way."""
    keep_videos: bool = False
    """Whether a scored video stays as long as its result, for replays."""
    private_callbacks: bool = False
    """Whether callbacks may go to private addresses."""
    loopback: bool = True
    """Whether only this machine reaches the server."""
    hosts: tuple[str, ...] = ()
    """Names by which requests may call the server, beside localhost; see :class:`request_guard.Hosts`."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a submission asks for besides the video."""

    name: str
    """Of the file, for display."""
    detector: ModelFacts
    batch: str | None = None
    callback: str | None = None


class Service:
    """The state of a server.

    Args:
      detectors: by name; the first is used where a request names none.
      workers: number of workers that take jobs at the moment.
    """

    def __init__(
        self,
        store: Store,
        files: Files,
        detectors: Mapping[str, ModelFacts],
        limits: Limits,
        options: Options,
        keys: Keys | None = None,
        telemetry: Telemetry | None = None,
        workers: Callable[[], int] = lambda: 1,
    ):
        self.store, self.files, self.detectors = store, files, detectors
        self.limits, self.options, self.keys = limits, options, keys
        self.telemetry = telemetry or Telemetry()
        self._workers = workers
        self._uploads: dict[str, int] = {}
        self._lock = threading.Lock()
        self.telemetry.watch(self._gauges)

    @property
    def default(self) -> ModelFacts:
        return next(iter(self.detectors.values()))

    def detector(self, asked: str | None) -> ModelFacts:
        """The detector of a name, or of the beginning of a digest. 422 if there is none."""
        if asked is None:
            return self.default
        if asked in self.detectors:
            return self.detectors[asked]
        if len(asked) >= SHORTEST:
            for facts in self.detectors.values():
                if facts.digest.startswith(asked.lower()):
                    return facts
        known = ", ".join(f"{name} ({facts.digest[:SHORTEST]})" for name, facts in self.detectors.items())
        raise HTTPException(422, f"no detector {asked[:64]!r} here; there are {known}")

    def free(self) -> int:
        """Free places in the queue, without those of uploads in progress."""
        waiting = self.store.count(state="queued", priority=tables.NEW)
        return max(0, self.limits.queue - waiting - sum(self._uploads.values()))

    @contextlib.contextmanager
    def place(self, who: Holder) -> Iterator[str]:
        """Reserve a place in the queue; gives the path for an upload, see :meth:`Files.arriving`.

        503 if the queue is full, 429 if the holder of a key has too many jobs.
        """
        with self._lock:
            if self.free() <= 0:
                text = f"the queue is full ({self.limits.queue} videos are waiting); try again in a minute"
                raise HTTPException(503, text, {"Retry-After": "60"})
            if self.keys and self.store.unfinished(who.name) + self._uploads.get(who.name, 0) >= who.waiting:
                text = f"{who.waiting} videos of yours wait, the most that your key allows; try again in a minute"
                raise HTTPException(429, text, {"Retry-After": "60"})
            self._uploads[who.name] = self._uploads.get(who.name, 0) + 1
        try:
            with self.files.arriving() as arrived:
                yield arrived
        finally:
            with self._lock:
                self._uploads[who.name] -= 1

    def wish(self, name: str, detector: str | None, batch: str | None, callback: str | None) -> Wish:
        """Check what a submission asks for, before its body is read. 422 if it cannot be done."""
        if callback is not None:
            if self.keys is None:
                raise HTTPException(422, "callbacks are signed with the secret of a key; this server has no keys")
            try:
                callbacks.check(callback, self.options.private_callbacks)
            except callbacks.Refused as error:
                raise HTTPException(422, str(error)) from error
        return Wish(upload.shown(name), self.detector(detector), batch and upload.shown(batch)[:64], callback)

    def accept(self, who: Holder, arrived: str, wish: Wish) -> tuple[Job, bool]:
        """Make a job of a checked upload. Returns it and True, or the job that is there for the same and False."""
        with open(arrived, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        job = Job(
            id=tables.new_id(),
            owner=who.name,
            name=wish.name,
            detector=wish.detector.name,
            digest=wish.detector.digest,
            sha256=sha256,
            size=os.path.getsize(arrived),
            batch=wish.batch,
            callback=wish.callback,
        )
        return self._store(job, lambda: self.files.take(arrived, job.id))

    def replay(self, old: Job, detector: ModelFacts) -> tuple[Job, bool]:
        """Score the video of a finished job again, with another detector or another version of the program.

        Raises FileNotFoundError if the video was deleted.
        """
        job = Job(
            id=tables.new_id(),
            detector=detector.name,
            digest=detector.digest,
            replay_of=old.id,
            priority=tables.REPLAYED,
            **{field: getattr(old, field) for field in ("owner", "name", "sha256", "size", "batch")},
        )
        return self._store(job, lambda: self.files.share(self.files.video(old.id), job.id))

    def _store(self, job: Job, put: Callable[[], None]) -> tuple[Job, bool]:
        """The video is in its place before the job is accepted: who reads of a job finds its video."""
        put()
        try:
            kept, created = self.store.accept(job)
        except BaseException:
            self.files.remove(job.id)
            raise
        if not created:
            self.files.remove(job.id)
        told = {"owner": job.owner, "digest": job.digest, "sha256": job.sha256, "bytes": job.size}
        self.telemetry.accepted(kept.id, job.detector, created, **told)
        return kept, created

    def unpack(self, who: Holder, archive: str, wish: Wish) -> Iterator[tuple[str, Job | HTTPException]]:
        """Make a job of every file in an uncompressed tar, in its order, or tell why not; 422 if it is no tar."""
        try:
            with tarfile.open(archive, "r:") as tar:
                for member in tar:
                    if not member.isdir():
                        yield upload.shown(member.name), self._unpack(who, tar, member, wish)
        except tarfile.TarError as error:
            raise HTTPException(422, f"not a whole tar archive ({error}); make one with: tar c FILE ...") from error

    def _unpack(self, who: Holder, tar: tarfile.TarFile, member: tarfile.TarInfo, wish: Wish) -> Job | HTTPException:
        name = upload.shown(member.name)
        try:
            if not member.isreg():
                raise HTTPException(422, f"{name}: not a regular file")
            upload.announced(str(member.size), self.limits)
            self.count(who)
            with self.place(who) as arrived:
                with tar.extractfile(member) as source, open(arrived, "xb") as file:
                    shutil.copyfileobj(source, file)
                upload.check(arrived, name, self.limits)
                return self.accept(who, arrived, dataclasses.replace(wish, name=name))[0]
        except HTTPException as refusal:
            self.telemetry.refused(refusal.status_code, who.name)
            return refusal

    def count(self, who: Holder) -> None:
        """Count a submission. 429 if there were too many within a minute."""
        if self.keys and (seconds := self.keys.wait(who)):
            text = f"{who.per_minute} videos a minute are what your key allows; try again in {seconds:.0f} seconds"
            raise HTTPException(429, text, {"Retry-After": str(int(seconds) + 1)})

    def find(self, who: Holder, job_id: str) -> Job:
        """A job that this holder may see. Raises KeyError."""
        return self.store.find(job_id, self.owner(who))

    def owner(self, who: Holder) -> str | None:
        """Whose jobs this holder may see; None = everybody's. Without keys, whoever knows an id may see it."""
        return None if who.admin else who.name

    def cancel(self, job: Job) -> None:
        """End a waiting job, stop a running one after its current clip, delete a finished one."""
        became = self.store.cancel(job)
        if became != "stopping":
            self.files.remove(job.id)
        if became == "cancelled":
            self.telemetry.ended(job.id, "cancelled", job.detector)

    def sweep(self) -> None:
        """Delete expired results."""
        for job in self.store.expired(self.options.keep, self.options.keep_most):
            self.files.remove(job.id)

    def trouble(self) -> str | None:
        """Why it cannot do its work at the moment; None if it can."""
        self.store.ping()
        if not self._workers():
            return "no worker is ready"
        if self.files.space() < ROOM:
            return f"less than {ROOM // upload.MEGABYTE} MB are free on the disk of the videos"
        return None

    def _gauges(self) -> dict[str, tuple[str, tuple[str, ...], dict[tuple[str, ...], Any]]]:
        return {
            "jobs": ("Jobs in the store, by state.", ("state", "detector"), self.store.states()),
            "oldest_waiting_seconds": ("Age of the job that waits longest.", (), {(): self.store.oldest()}),
            "free_places": ("Free places in the queue.", (), {(): self.free()}),
            "workers_ready": ("Workers that take jobs.", (), {(): self._workers()}),
            "disk_free_bytes": ("Free bytes on the disk of the videos.", (), {(): self.files.space()}),
        }
