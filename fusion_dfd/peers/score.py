"""Scores of other people's detectors on prepared faces: in a process of its own, resumable, reported as a run's are.

``predictions.jsonl`` in the output folder holds what the detector said: a line that says which detector, faces and
options it is of, then a line for each video. It is written while the detector works, so a stopped run goes on where it
was, and a finished one is reported again without asking the detector. Videos that the detector failed on are asked
about again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from fusion_dfd import atomic, config, process_pool, terminal
from fusion_dfd.evaluation.calibrate import logit
from fusion_dfd.evaluation.evaluate import attributes, frame_rows, stretches, unscored, window_facts
from fusion_dfd.evaluation.summary import Unscored, summarise
from fusion_dfd.peers import worker
from fusion_dfd.peers.worker import Answers, Chunk, Setup
from fusion_dfd.process_pool import Died
from fusion_dfd.reports import evaluation_page
from fusion_dfd.reports.evaluation_page import AboutRun
from fusion_dfd.reports.terminal import print_summary
from fusion_dfd.runs import protocols
from fusion_dfd.runs.evaluation import thumbnails
from fusion_dfd.shards import clip_index
from fusion_dfd.types import DataError, Score

PREDICTIONS = "predictions.jsonl"
VERSION = 2
"""Of that file."""
CHUNK = 8
"""Videos of a task: few, because those of a task are tried one by one where the detector fails."""
PATIENCE = 900.0
"""Seconds after which a detector that is still at one task is ended."""
HOPELESS = 20
"""Videos that a detector may fail on before the first that it does not."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """What is written, and how the detector did."""

    reports: list[str]
    """Paths of the page, and of the protocol's table where one was asked for."""
    videos: int
    failed: dict[str, str]
    """Why, by key, of the videos that the detector failed on."""


def score(setup: Setup, out: str, options: config.Evaluate, protocol: str | None = None, own: bool = True) -> Scored:
    """Score a split of prepared folders with a detector; print and write the report.

    Args:
      setup: which detector, and which windows of which shards.
      out: folder of the report; made, or continued.
      options: aggregation and number of resamples.
      protocol: write its table too, of :data:`fusion_dfd.runs.protocols.PROTOCOLS`.
      own: give the detector a process of its own; without, what kills it ends everything.

    Raises :class:`DataError` for shards that cannot be read or share a video, a folder with the predictions of another
    detector or of other faces, whatever :func:`worker.work` raises, and a detector that fails on all videos.
    """
    splits = [clip_index.open_split(folder, setup.split) for folder in setup.folders]
    videos = _videos(splits)
    kept = _Predictions(os.path.join(out, PREDICTIONS))
    chunks = list(_chunks(videos, kept.found))
    failed: dict[str, str] = {}
    with terminal.progress() as bar, contextlib.closing(_ask(setup, chunks, own)) as answers:
        done = bar.add_task(f"scoring videos with {setup.name}", total=len(videos), completed=len(kept.found))
        for found in answers:
            if "stated" in found:
                kept.begin(_header(setup, found))
                continue
            failed |= {video: answer for video, answer in found.items() if isinstance(answer, str)}
            kept.add({video: answer for video, answer in found.items() if not isinstance(answer, str)})
            bar.advance(done, len(found))
            if len(failed) >= HOPELESS and not kept.found:
                break
    if not kept.found:
        raise DataError(f"{setup.name} gave no score for any of {len(failed)} videos; the first: {_first(failed)}")
    return _report(setup, out, options, protocol, splits, kept, failed)


def _videos(splits: Sequence[clip_index.Split]) -> dict[str, int]:
    """The folder of each video that has a clip, in the order of the shards."""
    found: dict[str, int] = {}
    for folder, split in enumerate(splits):
        own = dict.fromkeys(split.table.video[split.table.track == 0].tolist(), folder)
        if both := sorted(set(own) & set(found)):
            raise DataError(f"{both[0]} is in two of the folders; give each data set once")
        found |= own
    return found


def _chunks(videos: Mapping[str, int], done: Mapping[str, Any]) -> Iterator[Chunk]:
    for folder in sorted(set(videos.values())):
        left = [video for video, of in videos.items() if of == folder and video not in done]
        for first in range(0, len(left), CHUNK):
            yield Chunk(folder, tuple(left[first : first + CHUNK]))


def _ask(setup: Setup, chunks: Sequence[Chunk], own: bool) -> Iterator[dict[str, Any]]:
    """``{"stated": ...}`` first, then the answers, or reasons, by video."""
    work = functools.partial(worker.work, setup)
    results = process_pool.run(work, [None, *chunks], int(own), patience=PATIENCE, threads=None)
    alone = []
    for task, result in results:
        if task is None and isinstance(result, Died):
            raise DataError(f"{setup.name}: its process died while it was loaded; load it alone to see why")
        if task is None:
            yield {"stated": result}
        elif not isinstance(result, Died):
            yield result
        elif len(task.videos) > 1:
            alone += [Chunk(task.folder, (video,)) for video in task.videos]
        else:
            yield {task.videos[0]: "the process of the detector died or hung"}
    for task, result in process_pool.run(work, alone, int(own), patience=PATIENCE, threads=None):
        yield {task.videos[0]: "the process of the detector died or hung"} if isinstance(result, Died) else result


def _header(setup: Setup, found: Mapping[str, Any]) -> dict[str, Any]:
    """Which detector, faces and windows predictions are of."""
    about = dataclasses.asdict(setup) | {"folders": [_content(folder) for folder in setup.folders]}
    return json.loads(json.dumps({"version": VERSION, **about, **found}))


def _content(folder: str) -> str:
    """The hash of a folder of shards; its path where the manifest has none."""
    try:
        with open(os.path.join(folder, clip_index.MANIFEST), encoding="utf-8") as file:
            return str(json.load(file)["content"])
    except (OSError, ValueError, KeyError, TypeError):
        return os.path.abspath(folder)


class _Predictions:
    """The file of predictions, read at the start and appended to."""

    def __init__(self, path: str):
        self._path = path
        self.header: dict[str, Any] | None = None
        self.found: dict[str, Answers] = {}
        lines = _lines(path)
        if lines:
            self.header, *rest = lines
            self.found = {line["video"]: line["windows"] for line in rest}

    def begin(self, header: dict[str, Any]) -> None:
        """Write the header, and again what there is, without a line that was cut short.

        Raises :class:`DataError` where it is of something else.
        """
        if self.header not in (None, header):
            names = [name for name in header if self.header.get(name) != header[name]]
            raise DataError(f"{self._path} is of another {', '.join(names)}; choose another --out, or delete it")
        self.header = header
        atomic.write_text(self._path, json.dumps(header) + "\n" + _text(self.found))

    def add(self, found: Mapping[str, Answers]) -> None:
        self.found |= found
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(_text(found))


def _text(found: Mapping[str, Answers]) -> str:
    return "".join(json.dumps({"video": video, "windows": windows}) + "\n" for video, windows in found.items())


def _lines(path: str) -> list[dict]:
    """The whole lines of a file; none where there is no file."""
    if not os.path.exists(path):
        return []
    found = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


def _report(
    setup: Setup,
    out: str,
    options: config.Evaluate,
    protocol: str | None,
    splits: Sequence[clip_index.Split],
    kept: _Predictions,
    failed: Mapping[str, str],
) -> Scored:
    stated = kept.header["stated"]
    tables = {str(video): split.table for split in splits for video in split.table.video}
    rows, frames = [], []
    for video, windows in kept.found.items():
        for row, start, probabilities, contiguous, forged in windows:
            facts = window_facts(tables[video], row, start, len(forged), contiguous, forged)
            rows.append(Score(**facts, logit=float(logit([np.mean(probabilities)])[0])))
            if stated["input"] == "frame":
                frames += frame_rows(facts, forged, logit(probabilities).tolist())
    lost = [one for folder in setup.folders for one in unscored(folder, setup.split)]
    lost += [_lost(tables[video], video, reason) for video, reason in failed.items()]
    facts = {key: of for folder in setup.folders for key, of in attributes(folder).items()}
    summary = summarise(
        rows,
        frame_scores=frames,
        unscored=lost,
        bootstrap=options.bootstrap,
        rule=options.aggregate,
        tracks=options.tracks,
        stretches={key: of for split in splits for key, of in stretches(split.table).items()},
        attributes=facts,
    )
    about = AboutRun(
        command=" ".join(sys.argv),
        config_json=json.dumps(kept.header, indent=2),
        warnings=[_sentence(setup, stated, failed)],
        thumbnails=_pictures(splits, stated),
    )
    reports = [evaluation_page.write(out, summary, rows, frames or None, about)]
    Console().print(about.warnings[0], highlight=False, markup=False)
    print_summary(summary)
    if protocol:
        name = setup.name.replace(os.sep, "-")
        given = protocols.Submission(name, rows, lost, options=options, attributes=facts)
        reports.append(protocols.publish(out, protocol, [given]))
    return Scored(reports, len(kept.found), dict(failed))


def _lost(table: clip_index.ClipTable, video: str, reason: str) -> Unscored:
    row = int(np.flatnonzero(table.video == video)[0])
    names = ("dataset", "method", "compression", "group")
    facts = {name: str(getattr(table, name)[row]) for name in names}
    return Unscored(video, **facts, label=int(table.label[row]), kind="failed", reason=reason)


def _sentence(setup: Setup, stated: Mapping[str, Any], failed: Mapping[str, str]) -> str:
    digest = f" (SHA-256 {stated['digest'][:12]})" if stated["digest"] else ""
    crop = f"crops of {stated['scale']:g} face boxes" if stated["scale"] else "crops as they are stored"
    where = f" on {stated['device']}" if stated["device"] else ""
    trouble = f" It failed on {len(failed)} videos; the first: {_first(failed)}." if failed else ""
    return (
        f"Not a detector of this package: {setup.name}{digest}, judging {stated['input']}s of {stated['size']} pixels, "
        f"{crop}, {stated['batch']} at once{where}; windows of {stated['frames']} frames.{trouble}"
    )


def _first(failed: Mapping[str, str]) -> str:
    return next((f"{video}: {reason}" for video, reason in failed.items()), "none")


def _pictures(splits: Sequence[clip_index.Split], stated: Mapping[str, Any]):
    """A function from a score to frames of its window."""
    data = config.Data(frames=stated["frames"], size=stated["size"])
    of_split = [(set(split.table.video.tolist()), thumbnails(split, data)) for split in splits]
    return lambda row: next(strip for known, strip in of_split if row.video in known)(row)
