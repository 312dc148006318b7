"""What makes the shards of a plan: processes of this machine, each with one core and one detector."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from fusion_dfd import cache, config, process_pool
from fusion_dfd.process_pool import DIED, Died
from fusion_dfd.shards import shard_writer
from fusion_dfd.shards.plan import ShardPlan
from fusion_dfd.types import DataError, Video

Report = Callable[[str, dict | None], None]
"""Called with a video's key: with None before the video is read, with what the sidecar says of it after."""

Runner = Callable[[Sequence[ShardPlan], "Setup", Report], None]
"""Makes all shards of a list, somewhere: returns when they are complete, raises DataError when they cannot be made."""


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a process needs before its first shard; picklable."""

    faces: config.Faces
    extract: shard_writer.Extract | None
    """None takes the package's own, with the detector of ``faces``."""
    patience: float
    """Seconds after which a process that is still at one video is ended from outside. The extraction itself keeps
    ``faces.time_limit``; this is for code that never returns to check the clock."""


def local(count: int | None = None) -> Runner:
    """A runner on this machine, in ``count`` spawned processes: None takes one per core, 0 works in this process."""
    return functools.partial(_run, process_pool.cores() if count is None else count)


def _run(count: int, shards: Sequence[ShardPlan], setup: Setup, report: Report) -> None:
    """Make all shards.

    A process that dies or hangs does not end the run. The video that it was reading is tried alone; if it kills again,
    it is recorded with the reason ``DIED``, and its shard is made again without it. Raises DataError for what ends the
    whole run, such as a full disk.
    """
    if not count:
        extract = extractor(setup)
        for shard in shards:
            shard_writer.write_shard(shard, extract, report)
        return
    deadly: dict[str, str] = {}
    while shards := [shard for shard in shards if not shard_writer.valid(shard)]:
        work = functools.partial(_make_shard, setup=setup, deadly=deadly)
        results = process_pool.run(work, shards, count, lambda message: report(*message), setup.patience)
        deaths = [result for _, result in results if isinstance(result, Died)]
        if not deaths:
            return
        read = {death.last[0] for death in deaths if death.last is not None and death.last[1] is None}
        suspects = [video for shard in shards for video in shard.videos if video.key in read]
        if not (found := _killers(suspects, setup)):
            raise DataError(f"a worker died, probably for lack of memory; run again with fewer workers than {count}")
        deadly |= dict.fromkeys(found, DIED)


def _killers(suspects: Sequence[Video], setup: Setup) -> list[str]:
    """Keys of the videos that end a process which reads nothing else."""
    tries = process_pool.run(functools.partial(_read_alone, setup=setup), suspects, 1, patience=setup.patience)
    return [video.key for video, result in tries if isinstance(result, Died)]


_own: dict[str, Callable] = {}
"""The extractor of this worker process."""


def _make_shard(shard: ShardPlan, report: process_pool.Report, setup: Setup, deadly: Mapping[str, str]) -> None:
    shard_writer.write_shard(shard, _extractor(setup), lambda key, about: report((key, about)), deadly)


def _read_alone(video: Video, report: process_pool.Report, setup: Setup) -> None:
    """Return, whatever extraction raises: asked is only whether the process survives."""
    extract = _extractor(setup)
    report(video.key)
    # A decoder may raise anything over a broken file. The error is recorded with its reason when the shard is made.
    with contextlib.suppress(Exception):
        extract(video.path, video.mask)


def _extractor(setup: Setup) -> Callable[[str, str], shard_writer.Extracted]:
    if "extract" not in _own:
        _own["extract"] = extractor(setup)
    return _own["extract"]


def extractor(setup: Setup) -> Callable[[str, str], shard_writer.Extracted]:
    """``(path, mask) -> Extraction`` with this process's own detector."""
    if setup.extract is not None:
        return lambda path, mask: setup.extract(path, setup.faces, None, mask)
    cache.keep_programs()
    from fusion_dfd.faces import detector, extract, mesh  # slow to import; not needed where setup.extract is given

    built = detector.build(setup.faces)
    if setup.faces.mesh:
        mesh.identity()  # or every video would fail by itself
    return lambda path, mask: extract.extract(path, setup.faces, built, mask)
