"""The shards of a plan made by an Apache Beam pipeline, on this machine or on a cluster (extra ``beam``).

Only plans pass through Beam. Each worker reads its videos and writes its shards itself, so all workers, and the process
that starts the pipeline, need the same folders under the same paths. A shard is complete or absent and always has the
same bytes, so a worker may be retried or run twice.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from fusion_dfd.shards import runners, shard_writer
from fusion_dfd.shards.plan import ShardPlan
from fusion_dfd.types import DataError

POLL = 1.0
"""Seconds between checks for finished shards."""


class Make(beam.DoFn):
    """A shard's plan -> its file name, with one detector per process."""

    def __init__(self, setup: runners.Setup):
        self._options = setup
        self._extract = None

    def process(self, shard: ShardPlan) -> Iterator[str]:
        if self._extract is None:
            self._extract = runners.extractor(self._options)
        shard_writer.write_shard(shard, self._extract)
        yield shard.path


def runner(name: str, options: Sequence[str] = ()) -> runners.Runner:
    """A pipeline on Beam's runner ``name`` (DirectRunner, FlinkRunner, SparkRunner, DataflowRunner) as a runner.

    Args:
      options: Beam's own, as on its command line: ``--flink_master=host:8081``.

    Raises DataError for a runner that Beam does not know, and when the pipeline fails.
    """

    def run(shards: Sequence[ShardPlan], setup: runners.Setup, report: runners.Report) -> None:
        try:
            with _watched(shards, report), beam.Pipeline(name, PipelineOptions(list(options))) as pipeline:
                # Without the reshuffle a runner may fuse all plans into one bundle, that is into one worker.
                pipeline | beam.Create(list(shards)) | beam.Reshuffle() | beam.ParDo(Make(setup))
        except Exception as error:  # each runner has its own
            last = str(error).strip().splitlines()[-1][:300] if str(error).strip() else type(error).__name__
            raise DataError(f"the Beam pipeline on {name} failed ({last}); finished shards are kept") from error

    return run


@contextlib.contextmanager
def _watched(shards: Sequence[ShardPlan], report: runners.Report) -> Iterator[None]:
    """Report shards as their files appear, because workers on other machines cannot call ``report``."""
    left, stop = list(shards), threading.Event()

    def look() -> None:
        for shard in list(left):
            if index := shard_writer.valid(shard):
                left.remove(shard)
                for video, about in zip(shard.videos, index["about"]["videos"], strict=True):
                    report(video.key, about)

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
