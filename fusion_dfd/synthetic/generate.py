"""Writes the synthetic data set: talking faces and forgeries of them, as H.264 videos in the layout of FaceForensics++.

::

    root/original_sequences/youtube/c23/videos/000.mp4
    root/manipulated_sequences/<family>/c23/videos/000_001.mp4     target_source
    root/train.json  val.json  test.json                           pairs of ids; a pair (a, b) gives a, b, a_b and b_a
    root/segments.csv                                              forged frames, where only a stretch of them is
    root/sample.json                                               the options; written last
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator

from fusion_dfd import atomic, process_pool, terminal
from fusion_dfd.config import Synthetic
from fusion_dfd.datasets import faceforensics
from fusion_dfd.synthetic import take
from fusion_dfd.types import DataError

VERSION = 1
"""Must be raised when the same options give other videos."""
SPLITS = ("train", "val", "test")
MARKER, STARTED = "sample.json", "sample.started.json"
"""Options of a finished and of an unfinished data set. The names stay: data sets of earlier versions have them."""


def pairs(options: Synthetic) -> dict[str, list[tuple[int, int]]]:
    """Numbers of the persons paired in each split; no person occurs twice."""
    out, first = {}, 0
    for split, count in zip(SPLITS, options.pairs, strict=True):
        out[split] = [(first + 2 * k, first + 2 * k + 1) for k in range(count)]
        first += 2 * count
    return out


def generate(root: str, options: Synthetic, workers: int | None = None) -> str:
    """Render the videos of the data set under ``root`` that do not exist yet.

    Args:
      root: folder; made if it is missing.
      options: seed, pairs, frames, size and rate factor. The same options give the same bytes.
      workers: number of processes; None takes one per core. The result does not depend on it.

    Returns:
      ``root``.

    Raises:
      DataError: ``root`` holds a data set of other options, or other data, or cannot be written.
    """
    if options.size % 2:
        raise DataError(
            f"synthetic.size={options.size} is odd, which H.264 in 4:2:0 cannot store: choose an even number."
        )
    made = json.loads(json.dumps({"version": VERSION, **dataclasses.asdict(options)}))
    if options.stretch == 1:  # data sets of earlier versions do not have the option
        del made["stretch"]
    if _agrees(root, MARKER, made):
        return root
    _agrees(root, STARTED, made)
    try:
        _begin(root, options, made)
        _render(root, [task for task in _tasks(root, options) if task.wanted], workers)
        atomic.write_text(os.path.join(root, MARKER), json.dumps(made, indent=1))
        os.remove(os.path.join(root, STARTED))
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: {error.strerror or error}; make room or choose another folder, then run again."
        ) from error
    return root


def _agrees(root: str, name: str, made: dict | list) -> bool:
    """Whether the file ``name`` exists and holds ``made``. Raises DataError if it holds anything else."""
    path = os.path.join(root, name)
    try:
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); delete the folder to make the data set again.") from error
    if stored == made:
        return True
    raise DataError(
        f"{path} belongs to a data set made with {stored}, wanted {made}: choose another folder or delete it."
    )


def _begin(root: str, options: Synthetic, made: dict) -> None:
    """Make the folders and write the options and the split files."""
    os.makedirs(root, exist_ok=True)
    splits = {
        os.path.join(root, f"{split}.json"): [[take.name(a, options), take.name(b, options)] for a, b in members]
        for split, members in pairs(options).items()
    }
    for path, members in splits.items():
        if os.path.exists(path):
            _agrees(root, os.path.basename(path), members)
    atomic.write_text(os.path.join(root, STARTED), json.dumps(made, indent=1))
    for path, members in splits.items():
        atomic.write_text(path, json.dumps(members, indent=1))
    if options.stretch < 1:
        rows = "".join(_segments(root, options))
        atomic.write_text(os.path.join(root, faceforensics.SEGMENTS), f"video,method,start,stop\n{rows}")
    for method in (take.ORIGINAL, *take.FAMILIES):
        os.makedirs(os.path.join(root, take.folder(method)), exist_ok=True)


def _segments(root: str, options: Synthetic) -> Iterator[str]:
    """The lines of the table of forged stretches."""
    for one in _tasks(root, options):
        video = f"{take.name(one.target, options)}_{take.name(one.source, options)}"
        for method in take.FAMILIES:
            where = take.forged_frames(options, one.target, one.source, method)
            yield f"{video},{method},{where.start},{where.stop}\n"


def _tasks(root: str, options: Synthetic) -> list[take.RenderTask]:
    swaps = [swap for members in pairs(options).values() for a, b in members for swap in ((a, b), (b, a))]
    return [take.plan(root, options, target, source) for target, source in swaps]


def _render(root: str, tasks: list[take.RenderTask], workers: int | None) -> None:
    total = sum(len(task.wanted) for task in tasks)
    count = min(workers or process_pool.cores(), len(tasks))
    with terminal.progress("videos") as bar:
        shown = bar.add_task("rendering the synthetic data set", total=total)
        for task, result in process_pool.run(take.shoot, tasks, count if count > 1 else 0):
            if isinstance(result, process_pool.Died):
                raise DataError(f"{root}: a worker process died, probably for lack of memory; run again to continue.")
            bar.advance(shown, len(task.wanted))
