"""From a folder of real videos to real and forged ones, in the layout of FaceForensics++.

    out/original_sequences/youtube/c23/videos/0007.mp4              a passage of a real video
    out/manipulated_sequences/blend/c23/videos/0007_0012.mp4        its forgery by a forger; what it takes of another
                                                                    person is of 0012, or of that one's group
    out/manipulated_sequences/blend/masks/videos/0007_0012.mp4      white where pixels were replaced
    out/original_sequences/regions/c23/videos/0007_0012.mp4         the real half, where the forger makes one
    out/train.json  val.json  test.json                             pairs of ids
    out/sources.csv  segments.csv  skipped.csv                      origins; which frames are forged; what failed
    out/forge.json  out/forged/                                     options; what is finished

Both halves of a pair are decoded, put together and encoded by the same code with the same options. Every video appears
when it is complete, so a killed run continues. The same videos and options give the same bytes.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import functools
import io
import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fusion_dfd import atomic, cache, config, process_pool, terminal
from fusion_dfd.datasets import faceforensics, files, folder
from fusion_dfd.datasets.splits import SPLITS, draw_splits
from fusion_dfd.faces import detector, recode
from fusion_dfd.forge import autoencoder, passages, registry
from fusion_dfd.forge.forger import Face, NotApplicable
from fusion_dfd.forge.passages import Passage
from fusion_dfd.types import ORIGINAL, DataError, Video

OPTIONS, WORK = "forge.json", "forged"
VERSION = 1
"""Must be raised when the same options give other videos."""
SKIPPED = "skipped.csv"
MARKED = 0.1
"""Share of a pixel that must be replaced to be marked in the mask."""
MASK_CRF = 10
"""Rate factor of mask videos."""
LEARNT = 8
"""Faces of each passage that autoencoders are trained on."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What is to be forged."""

    forgers: tuple[str, ...] = tuple(registry.FORGERS)
    per_video: int = 1
    """Passages of each video."""
    frames: int = 240
    """Maximum length of a passage."""
    crf: int = 23
    """Rate factor of libx264, of real and forged videos alike; 23 is what FaceForensics++ calls c23."""
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Take:
    """A passage with the id under which it is written."""

    id: str
    passage: Passage
    group: str
    split: str
    team: str = ""
    """Groups that are forged with each other are a team: the group of the videos that are written."""
    partner: str = ""
    """The other id of its pair; its own where there is no other."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """What is in the folder after a run."""

    reals: int
    """Passages of real videos."""
    forged: dict[str, int]
    """Forged videos by method."""
    skipped: list[tuple[str, str, str]]
    """Video, method (``original`` where no face was found) and reason."""

    def __str__(self) -> str:
        by_name = ", ".join(f"{name} {count}" for name, count in self.forged.items())
        lines = [f"{self.reals} real passages and {sum(self.forged.values())} forged videos ({by_name})"]
        unread = [(video, reason) for video, method, reason in self.skipped if method == ORIGINAL]
        if unread:
            lines.append(f"{len(unread)} videos not used: {files.some((one for _, one in unread), 3, '; ')}")
        for name in self.forged:
            if reasons := [reason for _, method, reason in self.skipped if method == name]:
                different = files.some(dict.fromkeys(reasons), 3, "; ")
                lines.append(f"{name} could not be applied to {len(reasons)} passages: {different}")
        return "\n".join(lines)


def forge(
    root: str, out: str, options: Options, workers: int | None = None, train_autoencoders: bool = False
) -> Summary:
    """Forge the faces of real videos. Run again, it continues; progress goes to standard error.

    Args:
      root: folder, .zip or table of real videos (:func:`fusion_dfd.datasets.folder.reals`).
      out: folder, made if it is missing.
      options: the same in every run of a folder.
      workers: processes; None takes one per core, 0 works in this one.
      train_autoencoders: first train those of ``rerender`` anew, on faces of the split train.

    A video without a face, and a forger that cannot be applied to a passage, are counted and named in the summary.
    Raises DataError where a split would stay empty, ``out`` lies in ``root`` or belongs to other videos or options.
    """
    registry.get(options.forgers)
    listed = folder.reals(root)
    inside, above = os.path.realpath(out), os.path.realpath(root)
    if os.path.isdir(root) and os.path.commonpath([inside, above]) == above:
        raise DataError(f"{out} lies in {root}, and would be read as real videos; choose a folder outside")
    _claim(out, listed, options)
    count = process_pool.cores() if workers is None else workers
    found = _scan(listed, out, options, count)
    takes = _takes(listed, found)
    _write_lists(takes, out)
    if train_autoencoders:
        autoencoder.train(_aligned(takes), autoencoder.folder(), options.seed)
    _make(takes, out, options, count)
    return _finish(takes, [reason for _, reason in found], listed, out, options)


def compression(out: str) -> str:
    """Name of the compression of a folder that :func:`forge` wrote. Raises DataError for any other folder."""
    path = os.path.join(out, OPTIONS)
    try:
        return f"c{json.loads(files.read_text(path))['crf']}"
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); forge into another folder") from error


def _claim(out: str, listed: Sequence[Video], options: Options) -> None:
    """Write down options and videos, or compare them with those of the run before."""
    sizes = [[one.id, one.group, os.path.getsize(one.path) if os.path.isfile(one.path) else -1] for one in listed]
    wanted = json.loads(json.dumps({"version": VERSION, **dataclasses.asdict(options), "videos": sizes}))
    path = os.path.join(out, OPTIONS)
    try:
        before = json.loads(files.read_text(path)) if os.path.isfile(path) else None
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); choose another folder") from error
    if before is None:
        if files.inventory(out) != "nothing":
            raise DataError(f"{out} holds {files.inventory(out)}; choose a new folder")
        atomic.write_text(path, json.dumps(wanted, indent=1))
    elif changed := sorted(name for name in wanted if before.get(name) != wanted[name]):
        raise DataError(f"{out} was forged with other {', '.join(changed)}; choose another folder or delete that one")


# First step: where the faces are.


def _scan(listed: Sequence[Video], out: str, options: Options, count: int) -> list[tuple[list[Passage], str]]:
    """The passages of each video, or the reason why there is none."""
    kept = [os.path.join(out, WORK, f"{number:05d}.npz") for number in range(len(listed))]
    tasks = [(one.path, file) for one, file in zip(listed, kept, strict=True) if not os.path.isfile(file)]
    work = functools.partial(
        _scan_one, faces=config.Faces(clips=options.per_video, clip_length=options.frames, mesh=True)
    )
    with terminal.progress("videos", transient=False) as bar:
        shown = bar.add_task("finding faces", total=len(listed), completed=len(listed) - len(tasks))
        for (_, file), result in process_pool.run(work, tasks, min(count, len(tasks))):
            if isinstance(result, process_pool.Died):
                passages.save(file, [], process_pool.DIED)
            bar.advance(shown)
    return [passages.load(file, one.path) for one, file in zip(listed, kept, strict=True)]


@functools.cache
def _detector() -> detector.Detector:
    """This process's detector."""
    cache.keep_programs()
    return detector.build(config.Faces())


def _scan_one(task: tuple[str, str], report: process_pool.Report, faces: config.Faces) -> None:
    path, file = task
    report(path)
    try:
        found, reason = passages.find(path, faces, _detector()), ""
    except DataError as error:
        found, reason = [], str(error)
    passages.save(file, found, reason)


# Second step: who is forged with whom.


def _takes(listed: Sequence[Video], found: Sequence[tuple[list[Passage], str]]) -> list[Take]:
    """The passages with ids, splits and partners."""
    usable = [(video, some) for video, (some, _) in zip(listed, found, strict=True) if some]
    if not usable:
        raise DataError(f"no video of {len(listed)} can be used; the first: {found[0][1]}")
    if not usable[0][0].split:
        drawn = draw_splits([video for video, _ in usable])
        usable = [(video, some) for video, (_, some) in zip(drawn, usable, strict=True)]
    if lacking := [split for split in SPLITS if split not in {video.split for video, _ in usable}]:
        groups = len({video.group for video, _ in usable})
        raise DataError(
            f"{', '.join(lacking)} would have no video: {len(usable)} of {len(listed)} videos can be used, of {groups} "
            "groups, want one at least for each of train, val and test; add videos of other people"
        )
    parts = [(video, passage) for video, some in usable for passage in some]
    digits = max(4, len(str(len(parts))))
    takes = [Take(f"{n:0{digits}d}", one, video.group, video.split) for n, (video, one) in enumerate(parts)]
    return [
        paired
        for split in SPLITS
        for team in _teams([take for take in takes if take.split == split])
        for paired in _pairs(team)
    ]


def _teams(takes: Sequence[Take]) -> list[list[Take]]:
    """The takes of two groups each, of about as many takes; where the number of groups is odd, one team has three."""
    by_group = collections.defaultdict(list)
    for take in takes:
        by_group[take.group].append(take)
    groups = [by_group[name] for name in sorted(by_group)]
    groups.sort(key=len, reverse=True)
    teams = [list(itertools.chain(*groups[k : k + 2])) for k in range(0, len(groups), 2)]
    if len(groups) % 2 and len(teams) > 1:
        last = teams.pop()
        teams[-1] += last
    return teams


def _pairs(team: Sequence[Take]) -> list[Take]:
    """Takes with partners: of another group and about as long, where none is left of the same, or else itself."""
    waiting = sorted(team, key=lambda take: (len(take.passage), take.id))
    partner = {}
    while waiting:
        sizes = [sum(other.group == take.group for other in waiting) for take in waiting]
        first = waiting.pop(int(np.argmax(sizes)))  # the largest group first, so that few are left among themselves
        others = [take for take in waiting if take.group != first.group] or waiting
        second = min(others, key=lambda take: abs(len(take.passage) - len(first.passage)), default=first)
        partner |= {first.id: second.id, second.id: first.id}
        waiting = [take for take in waiting if take is not second]
    name = min(take.group for take in team)
    return [dataclasses.replace(take, team=name, partner=partner[take.id]) for take in team]


def _write_lists(takes: Sequence[Take], out: str) -> None:
    for split in SPLITS:
        pairs = sorted({tuple(sorted((take.id, take.partner))) for take in takes if take.split == split})
        atomic.write_text(os.path.join(out, f"{split}.json"), json.dumps(pairs, indent=1))
    rows = [
        (one.id, one.team, one.split, at.path, at.start, at.start + len(at), *at.square)
        for one in sorted(takes, key=lambda take: take.id)
        for at in [one.passage]
    ]
    names = ("id", "group", "split", "path", "start", "stop", "x", "y", "side")
    _write_table(os.path.join(out, faceforensics.SOURCES), names, rows)


def _write_table(path: str, names: Sequence[str], rows: Sequence[Sequence]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([names, *rows])
    atomic.write_text(path, text.getvalue())


def _aligned(takes: Sequence[Take]) -> Iterator[np.ndarray]:
    """Some faces of each take of train, for the autoencoders."""
    for take in takes:
        if take.split == "train":
            face = take.passage.face(take.group)
            some = np.unique(np.linspace(0, len(face) - 1, LEARNT).round().astype(int))
            yield from autoencoder.aligned(Face(face.frames[some], face.mesh[some]), autoencoder.SIDE)


# Third step: the videos.


def _make(takes: Sequence[Take], out: str, options: Options, count: int) -> None:
    teams = collections.defaultdict(list)
    for take in takes:
        teams[take.split, take.team].append(take)
    tasks = [(take, teams[take.split, take.team]) for take in takes if not os.path.isfile(_record(out, take))]
    work = functools.partial(_make_one, out=out, options=options)
    with terminal.progress("passages", transient=False) as bar:
        shown = bar.add_task("forging", total=len(takes), completed=len(takes) - len(tasks))
        for (take, _), result in process_pool.run(work, tasks, min(count, len(tasks))):
            if isinstance(result, process_pool.Died):
                raise DataError(
                    f"a process died while {take.passage.path} was forged, probably for lack of memory; run the same "
                    "command again with fewer --workers: what was finished is kept"
                )
            bar.advance(shown)


def _make_one(task: tuple[Take, Sequence[Take]], report: process_pool.Report, out: str, options: Options) -> None:
    """Write the real video of a take of a team, its forgeries and, last, a record of them."""
    take, team = task

    def write(place: str, frames: Iterator[np.ndarray], crf: int) -> None:
        recode.write(os.path.join(out, place), frames, take.passage.rate, crf)

    report(take.id)
    write(_place(ORIGINAL, take.id, options.crf), take.passage.frames(), options.crf)
    face = take.passage.face(take.group)
    name = f"{take.id}_{take.partner}"
    record = {"segments": [], "skipped": []}
    for method in options.forgers:
        report(take.id)
        rng = np.random.default_rng([options.seed, zlib.crc32(method.encode()), int(take.id)])
        try:
            forged = registry.FORGERS[method](face, _donor(take, team, rng), rng)
        except NotApplicable as error:
            record["skipped"].append([take.passage.path, method, str(error)])
            continue
        marked = np.where(forged.mask > MARKED, np.uint8(255), np.uint8(0))[..., None].repeat(3, -1)
        write(_place(method, name, options.crf), take.passage.pasted(forged.frames), options.crf)
        write(_place(method, name), take.passage.pasted(marked, 0), MASK_CRF)
        if forged.partner is not None:
            half = os.path.join("original_sequences", method, f"c{options.crf}", "videos", f"{name}.mp4")
            write(half, take.passage.pasted(forged.partner), options.crf)
        record["segments"] += [[name, method, *run] for run in _runs(marked.any((1, 2, 3)))]
    atomic.write_text(_record(out, take), json.dumps(record))


def _donor(take: Take, team: Sequence[Take], rng: np.random.Generator) -> Callable[[], Face]:
    """Draws the partner, or where that is the same person another one of the team, at least as long as ``take``.

    A shorter clip runs forwards and backwards in turn.
    """
    others = [other for other in team if other.group != take.group]
    others = [other for other in others if other.id == take.partner] or others

    def draw() -> Face:
        if not others:
            raise NotApplicable(f"nobody else in split {take.split}")
        other = others[int(rng.integers(len(others)))]
        found = other.passage.face(other.group)
        there_and_back = np.abs((np.arange(len(take.passage)) + len(found) - 1) % (2 * len(found) - 2) - len(found) + 1)
        index = np.arange(len(found)) if len(found) >= len(take.passage) else there_and_back
        return Face(found.frames[index], found.mesh[index], found.group)

    return draw


def _place(method: str, name: str, crf: int | None = None) -> str:
    """Path below the root of a video in FaceForensics++; without ``crf`` that of its mask."""
    if method == ORIGINAL:
        return os.path.join("original_sequences", "youtube", f"c{crf}", "videos", f"{name}.mp4")
    kind = "masks" if crf is None else f"c{crf}"
    return os.path.join("manipulated_sequences", method, kind, "videos", f"{name}.mp4")


def _runs(here: np.ndarray) -> list[tuple[int, int]]:
    """First and one beyond the last place of each run of True in bool [t]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], here.astype(int), [0]])))
    return [(start, stop) for start, stop in edges.reshape(-1, 2).tolist()]


def _record(out: str, take: Take) -> str:
    """Path of what is known of a finished take."""
    return os.path.join(out, WORK, f"{take.id}.json")


def _finish(
    takes: Sequence[Take], reasons: Sequence[str], listed: Sequence[Video], out: str, options: Options
) -> Summary:
    takes = sorted(takes, key=lambda take: take.id)
    records = [json.loads(files.read_text(_record(out, take))) for take in takes]
    skipped = [(one.path, ORIGINAL, reason) for one, reason in zip(listed, reasons, strict=True) if reason]
    skipped += [tuple(row) for record in records for row in record["skipped"]]
    _write_table(os.path.join(out, SKIPPED), ("video", "method", "reason"), skipped)
    segments = [row for record in records for row in record["segments"]]
    _write_table(os.path.join(out, faceforensics.SEGMENTS), ("video", "method", "start", "stop"), segments)
    lost = collections.Counter(method for _, method, _ in skipped)
    return Summary(len(takes), {name: len(takes) - lost[name] for name in options.forgers}, skipped)
