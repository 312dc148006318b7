"""The shards of a plan made by an Apache Beam pipeline, on this machine or on a cluster (extra ``beam``).

Only plans travel through Beam: each worker reads its videos and writes its shards itself, so all of them, and the
process that starts the pipeline, need the same folders under the same names. A shard is whole or absent and always the
same bytes, so a worker may be retried or run twice.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from fusion_dfd.shards import process_pool, shard_writer
from fusion_dfd.shards.plan import ShardPlan
from fusion_dfd.types import DataError

POLL = 1.0
"""Seconds between looks at what is finished."""


class Make(beam.DoFn):
    """A shard's plan -> its file name, with one detector per process."""

    def __init__(self, setup: process_pool.Setup):
        self._given = setup
        self._cut = None

    def process(self, entry: ShardPlan) -> Iterator[str]:
        if self._cut is None:
            self._cut = process_pool.cutter(self._given)
        shard_writer.write_shard(entry, self._cut)
        yield entry.path


def runner(name: str, options: Sequence[str] = ()) -> process_pool.Runner:
    """A pipeline on Beam's runner ``name`` (DirectRunner, FlinkRunner, SparkRunner, DataflowRunner) as a runner.

    Args:
      options: Beam's own, as on its command line: ``--flink_master=host:8081``.

    Raises DataError for a runner that Beam does not know, and when the pipeline fails.
    """

    def run(entries: Sequence[ShardPlan], setup: process_pool.Setup, report: process_pool.Report) -> None:
        try:
            with _watched(entries, report), beam.Pipeline(name, PipelineOptions(list(options))) as pipeline:
                # Without the reshuffle a runner may fuse all plans into one bundle, that is into one worker.
                pipeline | beam.Create(list(entries)) | beam.Reshuffle() | beam.ParDo(Make(setup))
        except Exception as error:  # each runner has its own
            last = str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__
            raise DataError(f"the Beam pipeline on {name} failed ({last}); finished shards are kept") from error

    return run


@contextlib.contextmanager
def _watched(entries: Sequence[ShardPlan], report: process_pool.Report) -> Iterator[None]:
    """Report shards as their files appear: workers elsewhere cannot call back."""
    left, stop = list(entries), threading.Event()

    def look() -> None:
        for entry in list(left):
            if index := shard_writer.valid(entry):
                left.remove(entry)
                for video, found in zip(entry.videos, index["about"]["videos"], strict=True):
                    report(video.key, found)

    def watch() -> None:
        while not stop.wait(POLL):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        look()
