"""A process for files of strangers: it may crash, spin or want much memory without harm to the one that asked.

The limits bind crashes and greed. They are no sandbox: code that a file smuggled in could do what its user may, except
write files. This module imports nothing of the package, so that such a process starts quickly.
"""

from __future__ import annotations

import mmap
import os
import resource
import signal
import subprocess
import sys


def start(module: str, call: str, given: tuple[int, ...]) -> subprocess.Popen:
    """A process that imports a module of the package and calls, as in ``serve(3)``, one of its functions.

    ``given`` are the open files that it inherits under the same numbers.
    """
    run = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {call.partition('(')[0]}; {call}"
    return subprocess.Popen(
        [sys.executable, "-c", run],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=given,
        start_new_session=True,  # Ctrl-C reaches all processes of a session; the parent alone answers
    )


def harmless() -> None:
    """From here on, this process writes neither files nor core dumps."""
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))


def bound_memory(own: int, more: int) -> None:
    """From here on, this process gets ``more`` bytes beside its ``own`` address space; no limit where that is 0."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if own:
        resource.setrlimit(resource.RLIMIT_AS, (own + more, hard))


def address_space() -> int:
    """Bytes of this process's address space; 0 where the system does not say (only Linux honours the limit)."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 0


def bound_time(seconds: float) -> None:
    """End this process after so much processor time, unless it is set again before; 0 = never.

    It is processor time, so that the result does not depend on how busy the machine is.
    """
    signal.setitimer(signal.ITIMER_PROF, seconds)


def ending(code: int, spins: str) -> str:
    """How a process ended, by its return code: ``spins`` if :func:`bound_time` ended it, else in words."""
    if code == -signal.SIGPROF:
        return spins
    if code == -signal.SIGKILL:
        return "was killed, perhaps for lack of memory"
    return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended (exit code {code})"
