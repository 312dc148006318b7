"""From videos to a folder of shards: planned, made on all cores, continued where a run was stopped.

out/plan.json                                     written first; a run with other options refuses the folder
out/<name>-<split>.tfrecord-0000i-of-0000n        each whole or absent, with <shard>.index.json beside it
out/dataset_info.json features.json label.labels.txt
out/manifest.json                                 written last; without it, the folder is not opened
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import glob
import json
import os
from collections.abc import Iterator, Sequence

from fusion_dfd import atomic, config, terminal
from fusion_dfd.config import ConfigError
from fusion_dfd.shards import clip_index, manifest, plan, runners, shard_writer, tfds_metadata
from fusion_dfd.shards.manifest import Manifest
from fusion_dfd.types import DataError, Video


@dataclasses.dataclass(frozen=True)
class Preparation:
    """What is to be prepared, where, and how.

    With the same values every machine makes the same files; ``runner`` and ``extract`` say only who does the work.
    """

    videos: Sequence[Video]
    """Of all splits, as a data set's adapter lists them."""
    out: str
    """Folder of the shards; made if it is missing, continued if it is there."""
    faces: config.Faces
    """Options of detection and cropping."""
    name: str
    """Name of the data set, part of the shards' file names: lower-case letters, digits, underscores."""
    runner: runners.Runner | None = None
    """What makes the shards; None takes a pool of one process per core of this machine."""
    extract: shard_writer.Extract | None = None
    """Replaces the package's own extraction; it is called with detector None."""
    videos_per_shard: int | None = None
    """None chooses 8 .. 64."""
    salt: str = ""
    """Secret that hides the names of the source files (:func:`fusion_dfd.shards.plan.anonymous`); ``""`` keeps them."""

    def planned(self) -> plan.Plan:
        """Which video goes into which shard. Raises DataError, see :func:`fusion_dfd.shards.plan.make`."""
        return plan.make(self.videos, self.out, self.faces, self.name, self.videos_per_shard, self.salt)


def prepare(preparation: Preparation) -> Manifest:
    """Find the faces of all videos and store their clips. Shows progress on standard error.

    A video that cannot be read, or has no face, is listed in the manifest with its reason and stops nothing. It is read
    again when its file has another size, or when its shard was deleted.

    Raises DataError when a split leaks into another, the folder was prepared with other options or is in use, the disk
    is full, or no video gave a clip.
    """
    planned, out = preparation.planned(), preparation.out
    with _claimed(out, planned):
        todo = [shard for shard in planned.shards if not shard_writer.valid(shard)]
        done = manifest.load(out)
        if todo or done is None:
            _make(planned, todo, preparation)
            done = _finish(planned, out)
    if not done.counts["total"]["clips"]:
        raise DataError(_no_clip(done, out))
    return done


def prepare_part(preparation: Preparation, part: tuple[int, int]) -> tuple[int, int]:
    """Make the share of array job ``part[0]`` (from 0) of ``part[1]`` in a folder that all jobs write to.

    Returns how many shards of the folder are there and how many there will be. Jobs may run at the same time, on any
    machine that sees the folder, and may be repeated. :func:`prepare` with the same values finishes the folder after
    the last of them.
    """
    job, jobs = part
    if not 0 <= job < jobs:
        raise DataError(f"part {job}/{jobs}: want 0/{jobs} .. {jobs - 1}/{jobs}")
    planned = preparation.planned()
    with _claimed(preparation.out, planned, shared=True):
        if todo := [shard for shard in planned.shards[job::jobs] if not shard_writer.valid(shard)]:
            _make(planned, todo, preparation)
        return sum(shard_writer.valid(shard) is not None for shard in planned.shards), len(planned.shards)


def choose_runner(name: str | None, options: Sequence[str] = (), processes: int | None = None) -> runners.Runner:
    """What makes the shards: Apache Beam's runner ``name`` with its ``options``, or processes of this machine.

    Args:
      name: of a Beam runner; None takes a pool of processes.
      options: of the Beam runner, as on its command line.
      processes: in the pool; None takes one per core, 0 works in this process.

    Raises ConfigError when Beam is not installed, or options are given without a runner.
    """
    if name is None:
        if options:
            raise ConfigError(f"{options[0]} is an option for a Beam runner, but no runner is named: add --runner")
        return runners.local(processes)
    try:
        from fusion_dfd.shards import beam
    except ImportError as error:
        raise ConfigError(f"--runner needs Apache Beam ({error}): pip install 'fusion-dfd[beam]'") from error
    return beam.runner(name, options)


def parse_part(text: str) -> tuple[int, int]:
    """``"I/N"`` as (I, N). Raises ConfigError for anything else."""
    job, _, jobs = text.partition("/")
    if not (job.isdecimal() and jobs.isdecimal() and int(job) < int(jobs)):
        raise ConfigError(f"shard={text}: want I/N with 0 <= I < N, such as 0/8")
    return int(job), int(jobs)


def _make(planned: plan.Plan, todo: Sequence[plan.ShardPlan], preparation: Preparation) -> None:
    """Make the shards ``todo``. The folder cannot be opened while its manifest is missing."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(preparation.out, clip_index.MANIFEST))
    faces = preparation.faces
    setup = runners.Setup(faces, preparation.extract, patience=2 * faces.time_limit + 60)
    with _progress(planned, todo) as report:
        (preparation.runner or runners.local())(todo, setup, report)


def _finish(planned: plan.Plan, out: str) -> Manifest:
    made = manifest.gather(planned)
    tfds_metadata.write(
        out,
        made.name,
        _sizes(planned),
        f"Face clips of {made.name}, prepared by fusion_dfd.",
        bool(planned.options["faces"].get("mesh")),
    )
    manifest.save(made, out)
    return made


@contextlib.contextmanager
def _claimed(out: str, planned: plan.Plan, shared: bool = False) -> Iterator[None]:
    """Lock the folder and write or check its plan; ``shared`` with other jobs."""
    with atomic.locked(out, "preparing", shared):
        _check_plan(out, planned)
        yield


def _check_plan(out: str, planned: plan.Plan) -> None:
    path = os.path.join(out, clip_index.PLAN)
    try:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    except FileNotFoundError:
        if shards := glob.glob(os.path.join(glob.escape(out), "*.tfrecord-?????-of-?????")):
            raise DataError(f"{out} holds shards of unknown origin ({shards[0]}); choose another folder") from None
        atomic.write_text(path, json.dumps(planned.options, indent=2))
        return
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); choose another folder") from error
    if changes := plan.differences(before, planned.options):
        raise DataError(f"{out} was prepared with {'; '.join(changes)}: choose another folder or delete that one")


@contextlib.contextmanager
def _progress(planned: plan.Plan, todo: Sequence[plan.ShardPlan]) -> Iterator[runners.Report]:
    """A bar over videos, with the time left and the number of those that gave no clip."""
    total = sum(len(shard.videos) for shard in planned.shards)
    kept = total - sum(len(shard.videos) for shard in todo)
    read, empty = set(), 0
    with terminal.progress("videos, {task.fields[empty]} without a clip,", transient=False) as bar:
        task = bar.add_task("preparing", total=total, completed=kept, empty=0)

        def report(key: str, about: dict | None) -> None:
            nonlocal empty
            if about is not None and key not in read:
                read.add(key)
                empty += not about["clips"]
                bar.update(task, completed=kept + len(read), empty=empty)

        yield report


def _sizes(planned: plan.Plan) -> dict[str, tfds_metadata.SplitSize]:
    by_split = collections.defaultdict(list)
    for shard in planned.shards:
        index = clip_index.valid_index(shard.path)
        by_split[shard.split].append((len(index["columns"]["offset"]), index["bytes"]))
    return {
        split: tfds_metadata.SplitSize(tuple(length for length, _ in sizes), sum(size for _, size in sizes))
        for split, sizes in by_split.items()
    }


def _no_clip(done: Manifest, out: str) -> str:
    lost = done.failed + done.faceless
    first = lost[0]["reason"] if lost else "there was no video"
    path = os.path.join(out, clip_index.MANIFEST)
    return f"none of {len(lost)} videos gave a clip, the first because: {first}; {path} lists all of them"
