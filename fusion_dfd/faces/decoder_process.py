"""The process in which videos are decoded: it may crash, hang or want more memory without harm to the one that asked.

One process serves many files, one after the other. Requests and answers are JSON over a socket; frames go through
memory that both share, in the decoder's own pixel format. The parent asks for some frames ahead, so that decoding runs
beside what is done with the frames.

What the limits are worth stands in :mod:`fusion_dfd.process_limits`.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import itertools
import json
import math
import mmap
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from typing import Any

import av
import numpy as np

from fusion_dfd import process_limits
from fusion_dfd.faces import decoding

AHEAD = 4
"""Frames that may be asked for ahead; each has its place in the shared memory."""
SLOT = 6 * decoding.MOST_PIXELS + (16 << 20)
"""Bytes of such a place: 6 per pixel, and what is added at the ends of rows. Pages never written take no memory."""
PROBE_MEMORY, DECODE_MEMORY = 1 << 30, 3 << 30
"""Bytes that looking through a file and decoding it may take, of address space. 8K in ten bits takes 2 GB."""
STEP = 60.0
"""Seconds of processor time that a step (a packet, or opening the file) may take, after which the process is ended."""
TOO_LONG = "takes longer than the time limit, raise faces.time_limit or re-encode it"
LATE = 5.0
"""Seconds beyond the time limit of a file after which a process that does not answer is ended."""
MOST_IDLE = 2
"""Idle processes that are kept for the next file."""


class Died(Exception):
    """The process ended. The text says of what; ``again`` is whether the file may be blameless."""

    def __init__(self, text: str, again: bool = False):
        super().__init__(text)
        self.again = again


class DecoderProcess:
    """The parent's end of one process. Every request is answered by one answer, in order."""

    def __init__(self):
        self.waiting = 0
        """Requests without an answer yet."""
        self._slots = itertools.cycle(range(AHEAD))
        self._channel, theirs = Pipe()
        with _memory_file() as shared:
            os.ftruncate(shared, AHEAD * SLOT)
            self._memory = mmap.mmap(shared, AHEAD * SLOT)
            given = (theirs.fileno(), shared)
            with theirs:
                self._process = process_limits.start("fusion_dfd.faces.decoder_process", f"serve{given}", given)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def send(self, request: dict[str, Any]) -> None:
        self.waiting += 1
        with contextlib.suppress(OSError):  # that it is gone is said where its answer is awaited
            self._channel.send_bytes(json.dumps(request).encode())

    def want(self, number: int, still: str | None) -> None:
        """Ask for a frame, of a folder that in the file ``still``. At most AHEAD answers may be awaited."""
        self.send({"want": number, "slot": next(self._slots), "still": still and os.path.abspath(still)})

    def receive(self, until: float) -> dict[str, Any]:
        """The next answer. Raises :class:`Died`, and TimeoutError LATE after the monotonic time ``until``."""
        left = until + LATE - time.monotonic()
        try:
            if not self._channel.poll(None if left == math.inf else max(0.0, left)):
                raise TimeoutError
            answer = json.loads(self._channel.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise self._died() from error
        self.waiting -= 1
        return answer

    def ask(self, request: dict[str, Any], until: float) -> dict[str, Any]:
        """The answer to a request. Raises as :meth:`receive` does."""
        self.send(request)
        return self.receive(until)

    def frame(self, about: dict[str, Any]) -> av.VideoFrame:
        """The frame of the last answer; its place in the shared memory is free again."""
        frame = av.VideoFrame(about["width"], about["height"], about["format"])
        at = about["slot"] * SLOT
        for plane, (rows, length) in zip(frame.planes, about["planes"], strict=True):
            source = np.frombuffer(self._memory, np.uint8, rows * length, at).reshape(rows, length)
            target = _rows(plane)
            used = min(length, target.shape[1])  # rows differ in what is added at their ends
            target[:, :used] = source[:, :used]
            at += rows * length
        frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = about["colours"]
        return frame

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()

    def _died(self) -> Died:
        code = self._process.wait()
        how = process_limits.ending(code, f"hangs (more than {STEP:g} seconds of processor time at one step)")
        return Died(f"its decoder {how}", again=code == -signal.SIGKILL)


_idle: list[DecoderProcess] = []
_lock = threading.Lock()


@contextlib.contextmanager
def borrowed() -> Iterator[DecoderProcess]:
    """A process for one file. It is kept for the next one if all its requests are answered, else ended."""
    with _lock:
        process = _idle.pop() if _idle else None
    if process is None or not process.alive:
        process = DecoderProcess()
    try:
        yield process
    finally:
        with _lock:
            kept = not process.waiting and len(_idle) < MOST_IDLE
            if kept:
                _idle.append(process)
        if not kept:
            process.end()


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


def ask(request: dict[str, Any], until: float) -> dict[str, Any]:
    """The answer of a process to a single request. Raises as :meth:`DecoderProcess.receive` does."""
    try:
        with borrowed() as process:
            return process.ask(request, until)
    except Died as death:
        if not death.again:
            raise
    with borrowed() as process:
        return process.ask(request, until)


@contextlib.contextmanager
def _memory_file() -> Iterator[int]:
    """A file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("frames")
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryFile() as file:
            yield file.fileno()


def serve(channel: int, shared: int) -> None:
    """Answer requests until the parent is gone. The numbers are of open files: the socket and the shared memory.

    ``{"probe": PATH}`` and ``{"still": PATH}`` describe a file; ``{"open": PATH}``, or of a folder of frames
    ``{"open": None, "size": SIZE}``, is followed by ``{"want": NUMBER, "slot": SLOT, "still": PATH or None}``. All but
    the last bring ``"limit"``, in seconds. Answers are ``{"refused": REASON}``, of a frame
    ``{"frame": None or FACTS, "damaged": N, "decoded": N}``, else what was asked for.
    """
    requests = Connection(channel)
    memory = np.frombuffer(mmap.mmap(shared, AHEAD * SLOT), np.uint8)
    worker = _Worker(memory)
    process_limits.harmless()
    gc.freeze()  # what is loaded stays, so that looking for cycles costs little
    while True:
        try:
            request = json.loads(requests.recv_bytes())
        except EOFError:
            return
        answer = worker.answer(request)
        process_limits.bound_time(0)
        try:
            requests.send_bytes(json.dumps(answer).encode())
        except ConnectionError:
            return


class _Worker:
    """What the process knows from one request to the next."""

    def __init__(self, memory: np.ndarray):
        self._memory = memory
        self._own = 0
        self._film: decoding.Film | None = None
        self._size: tuple[int, int] | None = None
        self._end = math.inf

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._answered(request)
        except decoding.Refused as refusal:
            return {"refused": str(refusal)}
        except MemoryError:
            self._film = None
            limit = PROBE_MEMORY if "probe" in request else DECODE_MEMORY
            return {"refused": f"needs more than {limit >> 30} GB of memory to be read, re-encode it"}
        except Exception as error:  # whatever a file does to PyAV, it is the file that is at fault
            return {"refused": f"cannot be decoded ({type(error).__name__}: {error}), re-encode it or copy it again"}

    def _answered(self, request: dict[str, Any]) -> dict[str, Any]:
        if "limit" in request:
            self._end = time.monotonic() + request["limit"]
            self._film = None
        # PyAV's frame and its side data refer to each other, and the collector counts objects, not megabytes.
        gc.collect()
        if "limit" in request:
            self._own = process_limits.address_space()  # what the file before left is not charged to this one
        process_limits.bound_memory(self._own, PROBE_MEMORY if "probe" in request else DECODE_MEMORY)
        self._check()
        if "probe" in request:
            return decoding.probe(request["probe"], self._check)
        if "open" in request:
            self._film = decoding.Film(request["open"], self._check) if request["open"] else None
            self._size = request.get("size")
            return {}
        if "want" not in request:
            return decoding.probe_still(request["still"], self._check)
        if request["still"]:
            frame = decoding.still(request["still"], self._size, self._check)
            return {"frame": frame and self._stored(frame, request["slot"])}
        frame = self._film.at(request["want"])
        found = frame and self._stored(frame, request["slot"])
        return {"frame": found, "damaged": self._film.damaged, "decoded": self._film.decoded}

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise decoding.Refused(TOO_LONG)
        process_limits.bound_time(STEP)

    def _stored(self, frame: decoding.Frame, slot: int) -> dict[str, Any]:
        """Copy a frame into its place of the shared memory."""
        at, planes = slot * SLOT, []
        for plane in map(_rows, frame.picture.planes):
            self._memory[at : at + plane.size] = plane.reshape(-1)
            at += plane.size
            planes.append(plane.shape)
        return {
            "slot": slot,
            "width": frame.picture.width,
            "height": frame.picture.height,
            "format": frame.picture.format.name,
            "planes": planes,
            "colours": [int(value) for value in frame.colours],
            "display": frame.display,
            "seconds": frame.seconds,
        }


def _rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """uint8 [rows, bytes of a row], the memory of the plane itself."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
