"""What long work shows on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress(text: str = "", count: bool = True, **options) -> Progress:
    """A bar on standard error that goes when the work is done: description, bar, count, text, time taken, time left.

    Args:
      text: shown after the count: what is counted, or a format such as ``"{task.fields[loss]:.3f}"``.
      count: show how much of the total is done.
      options: of :class:`rich.progress.Progress`, in place of these.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        *((MofNCompleteColumn(),) if count else ()),
        *((TextColumn(text),) if text else ()),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
    )
    return Progress(*columns, **{"console": Console(stderr=True), "transient": True, **options})
