"""The log of a run: JSON lines, TensorBoard, and a progress bar on the terminal."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import tensorboardX
from rich.console import Console

from fusion_dfd import atomic, terminal


class Silent:
    """The log of processes other than process 0: it does nothing."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Write one row of numbers."""

    def show(self, step: int, text: str) -> None:
        """Move the progress bar."""

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""

    def close(self) -> None:
        """End the display and the files."""


class Writer(Silent):
    """Log of one run: ``log.jsonl`` and ``tensorboard/`` in the run folder, and the terminal.

    A resumed run appends. Rows after the step that it resumes from are removed first, because it repeats those steps.
    """

    def __init__(self, workdir: str, start: int, steps: int, resumed: bool = False):
        self._path = os.path.join(workdir, "log.jsonl")
        kept = [row for row in read_log(workdir) if row["step"] <= start] if resumed else []
        atomic.write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
        self._board = tensorboardX.SummaryWriter(os.path.join(workdir, "tensorboard"), purge_step=start)
        self.console = Console()
        self._progress = terminal.progress(
            "{task.fields[text]}",
            transient=False,
            speed_estimate_period=120,
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._progress.add_task("training", total=steps, completed=start, text="compiling")
        self._progress.start()

    def log(self, step: int, values: dict[str, float]) -> None:
        with open(self._path, "a") as file:
            file.write(json.dumps({"step": step, "time": round(time.time(), 3), **values}) + "\n")
        for name, value in values.items():
            if value is not None:
                self._board.add_scalar(name, value, step)

    def show(self, step: int, text: str) -> None:
        self._progress.update(self._task, completed=step, text=text)

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False)

    def close(self) -> None:
        self._progress.stop()
        self._board.close()


def read_log(workdir: str) -> list[dict[str, Any]]:
    """Rows of ``log.jsonl``, without a half-written last line of a killed run; empty if there is no file."""
    path = os.path.join(workdir, "log.jsonl")
    if not os.path.exists(path):
        return []
    rows = []
    with open(path) as file:
        for line in file:
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return rows
