"""Thousands of videos: processes that score them, and a file that grows by a line per verdict and survives a kill.

Files of ``--out name.csv``::

    name.jsonl   the verdicts with their records, one JSON object per line, each on disk before the next video is read
    name.html    a page with the most suspicious first (:mod:`fusion_dfd.explain.listing`), rewritten from time to time
    name.csv     the table, written at the end; or name.parquet. Without either of them, --out is name.jsonl

Memory does not grow with what is in the file, except by the place of each line.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from fusion_dfd import atomic, process_pool
from fusion_dfd.evaluation import scores
from fusion_dfd.faces import frame_folder
from fusion_dfd.predict import record
from fusion_dfd.predict.detector import DeepfakeDetector, OnProgress
from fusion_dfd.predict.record import DetectorFacts
from fusion_dfd.predict.verdict import COLUMNS, ScoredVideo, Verdict, table_row
from fusion_dfd.types import DataError

HANG = 900.0
"""Seconds without a sign of life after which a process is ended and its video has no verdict. A process gives one after
each clip it has read, so videos of any length are scored."""
KINDS = (".jsonl", ".csv", ".parquet")
EVERY = 60.0
"""Least seconds between two pages while verdicts come in."""
SHARE = 20
"""At least as many times as long as the last page took: then pages take at most a twentieth of the time."""
GROUP = 1000
"""Rows of a group in a Parquet file, and rows in memory."""


class Opener(Protocol):
    """A hashable value that can be sent to a process and opens a scorer there."""

    def __hash__(self) -> int: ...

    def __call__(self) -> Callable[[Sequence[str], OnProgress], Iterator[Verdict]]:
        """``predict_many`` of a detector, or of what also writes pages."""
        ...


@functools.cache
def _opened(opener: Opener):
    """Once per process."""
    return opener()


def _score(opener: Opener, path: str, report: process_pool.Report) -> Verdict:
    (verdict,) = _opened(opener)([path], lambda *step: report(step))
    return verdict


def predict_many(
    opener: Opener, detector: DeepfakeDetector, count: int, paths: Sequence[str], on_progress: OnProgress
) -> Iterator[Verdict]:
    """Verdicts in the order in which they are found.

    Args:
      opener: opens the scorer of each process.
      detector: the same detector, in this process; it speaks for videos whose process died.
      count: processes, at least 1. They compute on the CPU, with one thread each.
      paths: of videos.
      on_progress: is not called, because several videos are in progress at once.
    """
    del on_progress
    work = functools.partial(_score, opener)
    for path, found in process_pool.run(work, paths, count, patience=HANG):
        if isinstance(found, process_pool.Died):
            died = ScoredVideo(path, time.monotonic(), stamp=record.stamp(path), reason=process_pool.DIED)
            yield detector.verdict(dataclasses.replace(died, file=record.file_facts(path)))
        else:
            yield found


@dataclasses.dataclass(frozen=True)
class _Line:
    """Where the newest verdict on a video stands."""

    offset: int
    bytes: int | None
    """Size of the video."""


class Results:
    """The verdicts of one detector with one set of options, in a file that is made or continued.

    Args:
      path: ends in one of :data:`KINDS`.
      detector: whose verdicts are added.
      options: that they are made with, as in the record.
      summarise: writes the page ``(path, verdicts)``, where verdicts are JSON values; called from time to time.

    Raises DataError for another ending, a file that holds no verdicts, verdicts of another detector or with other
    options, and where the table of that kind cannot be written. A last line that was being written when the process was
    killed is cut off.
    """

    def __init__(
        self,
        path: str,
        detector: DetectorFacts,
        options: Mapping[str, Any],
        summarise: Callable[[str, Iterable[dict[str, Any]]], Any],
    ):
        stem, kind = os.path.splitext(path)
        if kind not in KINDS:
            raise DataError(f"{path}: results are written as {', '.join(KINDS)}; give a name that ends so")
        if kind == ".parquet":
            scores.parquet_library(path)
        self._table = path if kind != ".jsonl" else None
        self._kind = kind
        self.lines, self.page = f"{stem}.jsonl", f"{stem}.html"
        self._summarise = summarise
        self._wanted = {"detector": detector.digest, "options": dict(options)}
        self._places: dict[str, _Line] = {}
        self._open()

    def __len__(self) -> int:
        """How many videos it holds a verdict on."""
        return len(self._places)

    def remaining(self, paths: Sequence[str]) -> list[str]:
        """Those without a verdict, and those whose file has another size than then."""
        return [path for path in paths if path not in self._places or self._places[path].bytes != _size(path)]

    def keep(self, verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
        """The verdicts, each once it is on disk; pages from time to time, page and table at the end."""
        due = time.monotonic() + EVERY
        with open(self.lines, "ab") as file:
            for verdict in verdicts:
                self._places[verdict.path] = _Line(file.tell(), verdict.record.file.bytes)
                self._write(file, verdict)
                yield verdict
                if (began := time.monotonic()) > due:
                    self._summarise(self.page, self)
                    due = time.monotonic() + max(EVERY, SHARE * (time.monotonic() - began))
        self._summarise(self.page, self)
        if self._table:
            {".csv": _write_csv, ".parquet": _write_parquet}[self._kind](self._table, map(table_row, self))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The newest verdict on each video, as JSON values, in the order of the file."""
        with open(self.lines, "rb") as file:
            for line in sorted(self._places.values(), key=lambda line: line.offset):
                file.seek(line.offset)
                yield json.loads(file.readline())

    def _write(self, file: io.BufferedWriter, verdict: Verdict) -> None:
        try:
            file.write(verdict.to_json().encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            again = "make room, then run the same command again: the verdicts before it are kept"
            raise DataError(f"cannot write {self.lines}: {error.strerror}; {again}") from error

    def _open(self) -> None:
        try:
            os.makedirs(os.path.dirname(self.lines) or ".", exist_ok=True)
            with open(self.lines, "a+b") as file:
                file.seek(0)
                whole = 0
                for number in itertools.count(1):
                    line = file.readline()
                    if not line.endswith(b"\n"):
                        break
                    self._take(line, whole, number)
                    whole = file.tell()
                file.truncate(whole)
        except OSError as error:
            raise DataError(f"{self.lines} cannot be opened ({error.strerror}); give --out another name") from error

    def _take(self, line: bytes, offset: int, number: int) -> None:
        place = f"{self.lines}, line {number}"
        try:
            value = json.loads(line)
            path, kept = value["path"], value["record"]
            made = {"detector": kept["detector"]["digest"], "options": kept["options"]}
            self._places[path] = _Line(offset, kept["file"]["bytes"])
            table_row(value)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{place} is no verdict of this version ({error!r}); give --out another name") from error
        if wrong := next((name for name in self._wanted if made[name] != self._wanted[name]), None):
            raise DataError(
                f"{place} is a verdict with another {wrong.rstrip('s')} ({made[wrong]}, not {self._wanted[wrong]}); "
                "give --out another name"
            )


def _size(path: str) -> int | None:
    try:
        return frame_folder.size(path)
    except (OSError, ValueError, DataError):
        return None


def _text(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose texts can be encoded: names of files may hold bytes that are no text."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _write_csv(path: str, rows: Iterable[dict[str, Any]]) -> None:
    with atomic.binary(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_text, rows))
        text.detach()


def _write_parquet(path: str, rows: Iterable[dict[str, Any]]) -> None:
    pyarrow, files = scores.parquet_library(path)
    kinds = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])
    with atomic.binary(path) as file, files.ParquetWriter(file, schema) as writer:
        texts = map(_text, rows)
        while group := list(itertools.islice(texts, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema))
