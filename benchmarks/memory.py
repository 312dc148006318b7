"""What a process holds in memory, as Linux tells it."""

import pathlib

from apart import Unavailable


def resident(line: str = "VmRSS", process: int | str = "self") -> int:
    """Bytes of memory that a process holds, or (``VmHWM``) held at most since it began or :func:`forget_peak`."""
    status = pathlib.Path(f"/proc/{process}/status")
    for text in status.read_text().splitlines():
        if text.startswith(line):
            return 1024 * int(text.split()[1])
    raise Unavailable(f"{status} has no {line}")


def forget_peak() -> None:
    # See proc_pid_clear_refs(5).
    pathlib.Path("/proc/self/clear_refs").write_text("5")
