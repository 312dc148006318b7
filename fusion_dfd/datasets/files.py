"""Files of a data set: listing and reading them, and one clear sentence where something else was expected."""

from __future__ import annotations

import collections
import csv
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence

from fusion_dfd.types import LABELS, DataError, Video

EXTENSIONS = (
    ".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".m2ts", ".3gp",
    ".3g2", ".gif", ".apng", ".vob", ".ogv", ".mxf", ".asf", ".f4v", ".dv", ".h264", ".h265", ".hevc",
)  # fmt: skip
"""What counts as a video file, in any case."""

FRAMES = (".png", ".jpg", ".jpeg")
"""What counts as a frame, where a video is a folder of frames; in any case."""

_log = logging.getLogger(__name__)


def require(root: str, wants: str) -> None:
    """Raise DataError unless ``root`` is a folder; ``wants`` describes the folder that is expected."""
    if not os.path.isdir(root):
        raise DataError(f"{root} is no folder; --root wants {wants}")


def inventory(folder: str) -> str:
    """The first names in a folder, for a message."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "") if names else "nothing"


def is_video(name: str) -> bool:
    """By its extension; hidden files, such as the ``._x.mp4`` that macOS leaves behind, are none."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def video_files(folder: str) -> list[str]:
    """Paths of the video files that lie in a folder, or in its ``videos/`` where some copies put them, sorted."""
    inner = os.path.join(folder, "videos")
    folder = inner if os.path.isdir(inner) else folder
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if is_video(name)]


def is_frame(name: str) -> bool:
    """By its extension, as :func:`is_video`."""
    return name.lower().endswith(FRAMES) and not name.startswith(".")


def is_frame_folder(folder: str, names: Iterable[str] | None = None) -> bool:
    """Is a folder a video, its files (``names``, where known) frames, without a video file among them?"""
    names = list(os.listdir(folder) if names is None else names)
    return any(map(is_frame, names)) and not any(map(is_video, names))


def subfolders(folder: str) -> list[str]:
    """Paths of the folders in a folder, sorted; hidden ones are none."""
    if not os.path.isdir(folder):
        return []
    return sorted(entry.path for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def frame_folders(folder: str) -> list[str]:
    """Paths of the folders in a folder, or in its ``frames/``, that hold a frame, sorted: each is a video."""
    inner = os.path.join(folder, "frames")
    found = subfolders(inner if os.path.isdir(inner) else folder)
    return [path for path in found if any(map(is_frame, os.listdir(path)))]


def walk(root: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As ``os.walk``, also through links to folders, each folder once; the lists may be changed."""
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        if os.path.realpath(folder) in seen:  # a link to a folder above would be followed for ever
            inner.clear()
            continue
        seen.add(os.path.realpath(folder))
        yield folder, inner, names


def videos_below(folder: str) -> list[str]:
    """Paths of the video files at any depth of a folder, sorted; hidden folders are left out."""
    found = []
    for place, inner, names in walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += [os.path.join(place, name) for name in names if is_video(name)]
    return sorted(found)


def locate(folder: str, name: str) -> str:
    """Path of a video that lies in a folder, in its ``videos/``, or, as frames, in its ``frames/``; frames go first."""
    frames, inner = os.path.join(folder, "frames", name), os.path.join(folder, "videos", f"{name}.mp4")
    if os.path.isdir(frames):
        return frames
    return inner if os.path.isfile(inner) else os.path.join(folder, f"{name}.mp4")


def find(
    root: str, name: str, places: Sequence[str] = ("",), advice: str = "check --root, or copy the file there"
) -> str:
    """Path of a file in the first of ``places`` below the root that has it. Raises DataError where none has it."""
    path = next(filter(os.path.isfile, (os.path.join(root, place, name) for place in places)), None)
    if path is None:
        raise DataError(f"{root} holds no {name}, but {inventory(root)}; {advice}")
    return path


def stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def read_text(path: str) -> str:
    """A text file in UTF-8, with or without a byte order mark. Raises DataError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text ({error}); copy or download it again") from error


def read_json(path: str) -> dict:
    """An object from a JSON file. Raises DataError when it is damaged, empty, or anything but an object of objects."""
    try:
        value = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}); copy or download it again") from error
    if not isinstance(value, dict) or not value or not all(isinstance(entry, dict) for entry in value.values()):
        raise DataError(f"{path} does not describe videos by name; check that it is the file of the data set")
    return value


def read_rows(path: str, fields: Sequence[str]) -> list[dict]:
    """Rows of a JSON file that holds a list of objects, each with all of ``fields``. Raises DataError."""
    try:
        rows = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}); copy or download it again") from error
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path} is no list of videos; check that it is the file of the data set")
    for number, row in enumerate(rows, 1):
        if missing := [name for name in fields if name not in row]:
            raise DataError(f"entry {number} of {path} has no {missing[0]}, but {some(row)}; restore the file")
    return rows


def read_pairs(path: str) -> list[tuple[str, str]]:
    """Pairs of names from a JSON file such as ``[["071", "054"]]``. Raises DataError."""
    try:
        pairs = [(a, b) for a, b in json.loads(read_text(path))]
        if not pairs or not all(isinstance(name, str) and name for pair in pairs for name in pair):
            raise ValueError("ids must be strings such as '071'")
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f'{path} is no list of pairs of ids such as [["071", "054"]]: {error}') from error
    return pairs


def read_csv(path: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a CSV file by the names of its first line, in lower case, all without surrounding blanks.

    Columns are separated by commas; by semicolons or tabs where the first line has no comma.

    Raises DataError when one of ``columns`` is missing, a row is longer or shorter than the first, or there is none.
    """
    try:
        text = read_text(path).splitlines()
        first = next(filter(str.strip, text), "")
        comma = next((mark for mark in ",;\t" if mark in first), ",")
        lines = [(n, row) for n, row in enumerate(csv.reader(text, delimiter=comma), 1) if any(row)]
    except csv.Error as error:
        raise DataError(f"{path} is no CSV file ({error}); save it anew as comma-separated text") from error
    names = [name.strip().lower() for name in lines[0][1]] if lines else []
    if missing := [name for name in columns if name not in names]:
        raise DataError(
            f"the first line of {path} must name the columns, but has no {' and no '.join(missing)} among "
            f"{', '.join(names[:6]) or 'nothing'}; begin it with {','.join(columns)}"
        )
    if twice := [name for name, count in collections.Counter(names).items() if count > 1]:
        raise DataError(f"the first line of {path} names {', '.join(twice)} twice; name each column once")
    for number, row in lines[1:]:
        if len(row) != len(names):
            raise DataError(f"line {number} of {path} has {len(row)} columns, the first has {len(names)}; correct it")
    if len(lines) == 1:
        raise DataError(f"{path} lists no video, only the names of its columns; add a line for each video")
    return [dict(zip(names, map(str.strip, row), strict=True)) for _, row in lines[1:]]


def account(root: str, listed: Sequence[Video]) -> None:
    """Warn of listed videos that do not exist; each is reported again when it is read.

    Raises DataError when nothing was listed, or when all real or all fake videos of a split are missing.
    """
    if not listed:
        raise DataError(f"{root} holds no video, but {inventory(root)}; check --root, or complete the download")
    present: dict[str, set[str]] = {}
    for folder in {os.path.dirname(video.path) for video in listed}:
        present[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    missing = [video for video in listed if os.path.basename(video.path) not in present[os.path.dirname(video.path)]]
    kinds = collections.Counter((video.split, video.label) for video in listed)
    gone = collections.Counter((video.split, video.label) for video in missing)
    for kind, count in kinds.items():
        if gone[kind] == count:
            first = next(video.path for video in missing if (video.split, video.label) == kind)
            raise DataError(
                f"none of the {count} {LABELS[kind[1]]} videos of split {kind[0]!r} is under {root} (the first would "
                f"be {first}); check --root, or complete the download"
            )
    if missing:
        names = some(os.path.relpath(video.path, root) for video in missing)
        _log.warning("%d of %d videos are missing under %s: %s", len(missing), len(listed), root, names)


def compare(root: str, title: str, listed: Sequence[Video], reals: int, fakes: int) -> None:
    """Warn where other numbers of real and fake videos are listed than the data set has."""
    have = [sum(video.label == label for video in listed) for label in range(len(LABELS))]
    if have != [reals, fakes]:
        holds = f"{have[0]} real and {have[1]} fake videos"
        advice = "complete the download, or say how many you used"
        _log.warning("%s holds %s, %s has %d and %d: %s", root, holds, title, reals, fakes, advice)


def leave_out(root: str, names: Sequence[str], why: str) -> None:
    """Warn of files that are not used."""
    if names:
        _log.warning("%s: %d left out, %s: %s", root, len(names), why, some(names))


def some(names: Iterable[str], limit: int = 5, separator: str = ", ") -> str:
    """The first names of many, and how many more there are."""
    names = list(names)
    return separator.join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
