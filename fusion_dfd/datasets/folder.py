"""Any collection of videos: a folder of real and fake ones, a .zip of such a folder, or a table of paths and labels.

In a *folder* the names of its subfolders give the labels, in any usual spelling: ``real/ fake/``, ``REAL/ FAKE/``,
``0_real/ 1_fake/``, ``DFD_REAL/ DFD_FAKE/``, ``original_sequences/ manipulated_sequences/``. The outermost subfolder
named real or fake decides. There may be real videos only: a training then forges its own. If every video also lies in
a folder ``train``, ``val`` or ``test`` (or ``valid``, ``validation``, ``dev``), these are the splits; otherwise splits
are drawn.

A folder does not say who is in a video, so groups follow names (:func:`fusion_dfd.datasets.grouping.by_name`). Videos
of equal content are a group, too. **Other videos of one person are not recognised**: if there are any, list the videos
in a table, with their groups.

A *table* is a CSV file whose first line names its columns: ``path`` (or ``file``, ``filename``, ``video``; relative to
the table) and ``label`` (real, fake, 0, 1). The columns ``group``, ``method``, ``compression``, ``split`` and ``id``
are optional.

A folder below ``real/`` or ``fake/`` that holds PNG or JPEG files and no video is a video itself: its frames. A path of
a table may name such a folder, too. A ``.zip`` is unpacked once, beside itself, video files only.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence

from fusion_dfd import archives, atomic
from fusion_dfd.datasets import files, grouping
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

NAME = "folder"
METHOD = "fake"
"""``method`` of fakes of unknown origin."""
WORDS = (
    frozenset({"real", "reals", "original", "originals", "pristine", "genuine"}),
    frozenset({"fake", "fakes", "manipulated", "deepfake", "deepfakes", "forged", "synthesis", "synthetic"}),
)
"""Words in the name of a folder of real videos, and of fake ones."""
SKIPPED = ("masks", "__MACOSX")
"""Folders without videos of people: FaceForensics++'s masks, and what macOS adds to archives."""

PATH = ("path", "file", "filename", "video")
"""Names of the column of paths; they are relative to the folder of the table."""
OPTIONAL = ("group", "method", "compression", "split", "id")
LABEL_NAMES = {"real": 0, "0": 0, "fake": 1, "1": 1}
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), SPLITS[0]),
    **dict.fromkeys(("val", "valid", "validation", "dev"), SPLITS[1]),
    **dict.fromkeys(("test", "testing"), SPLITS[2]),
}
"""Names of the splits in tables and folders, in lower case."""

_log = logging.getLogger(__name__)


def videos(root: str, seed: int = 0, fractions: Sequence[float] = FRACTIONS) -> list[Video]:
    """The videos of a folder, archive or table, sorted by split, label, method and id.

    Args:
      root: the folder, or the .zip (unpacked beside itself), or the .csv.
      seed: of the draw of the splits, where none are given.
      fractions: of train, val, test in that draw.

    Raises DataError when there is no video, no real or no fake one, two videos have the same name, a file is listed as
    real and as fake, only some videos have a split, or a row of the table is not as described above.
    """
    kind = os.path.splitext(root)[1].lower() if os.path.isfile(root) else ""
    if kind == ".csv":
        listed = read_list(root, NAME, METHOD)
    else:
        listed = _tree(unpack(root) if kind == ".zip" else root)
    _check(listed)
    listed = grouping.by_content(_grouped(listed))
    listed = listed if listed[0].split else draw_splits(listed, seed, fractions)
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(os.path.dirname(os.path.abspath(root)) if os.path.isfile(root) else root, listed)
    return listed


def _check(listed: list[Video]) -> None:
    for what, key in (("name", lambda video: video.key), ("path", lambda video: os.path.abspath(video.path))):
        count = collections.Counter(map(key, listed))
        if twice := sorted(video.path for video in listed if count[key(video)] > 1):
            raise DataError(
                f"{files.some(twice)} have the same {what}, so they cannot be distinguished; rename or remove one"
            )
    if len({bool(video.split) for video in listed}) > 1:
        first = next(video.path for video in listed if not video.split)
        raise DataError(f"some videos have a split, but {first} has none; give one to all or to none")


def _grouped(listed: list[Video]) -> list[Video]:
    """Groups of the table, where it has any; otherwise by names. A video without a group is a group of its own."""
    named = grouping.by_name(listed)
    if not any(video.group for video in listed):
        return named
    return [
        dataclasses.replace(other, group=video.group or f"{video.method}/{video.id}")
        for video, other in zip(listed, named, strict=True)
    ]


def reals(root: str) -> list[Video]:
    """The real videos of a folder, archive or table, by name; ``split`` is empty where none are given.

    A folder that says no label holds real videos: ``root`` may be a plain folder of them. Raises DataError when there
    is none, and as :func:`videos` does otherwise.
    """
    kind = os.path.splitext(root)[1].lower() if os.path.isfile(root) else ""
    if kind == ".csv":
        listed = read_list(root, NAME, METHOD)
    else:
        top = unpack(root) if kind == ".zip" else root
        files.require(top, "a folder of videos of real faces, a .zip of one, or a .csv with the columns path,label")
        listed = [
            _unlabelled_video(path, parts) if depth is None else _tree_video(path, parts, depth)
            for path, parts, depth in _walk(top)
        ]
    found = sorted((video for video in listed if not video.label), key=lambda video: video.id)
    if not found:
        raise DataError(f"{root} holds no real video, but {files.inventory(root)}; give a folder that does")
    _check(found)
    return grouping.by_content(_grouped(found))


def _tree(root: str) -> list[Video]:
    files.require(root, "a folder that holds real/ and fake/, a .zip of one, or a .csv with the columns path,label")
    labelled, unlabelled = [], []
    for path, parts, depth in _walk(root):
        if depth is None:
            unlabelled.append(os.path.relpath(path, root))
        else:
            labelled.append(_tree_video(path, parts, depth))
    if not any(video.label == 0 for video in labelled):
        raise DataError(
            f"no folder under {root} is named for {LABELS[0]} videos ({root} holds {files.inventory(root)}); name the "
            f"two folders {' and '.join(LABELS)}"
        )
    if all(video.label == 0 for video in labelled):
        _log.warning(
            "no folder under %s is named for %s videos: a training has to forge its own (data.forge)", root, LABELS[1]
        )
    if unlabelled:
        _log.warning(
            "%d videos lie in no folder named real or fake and are left out: %s",
            len(unlabelled),
            files.some(unlabelled),
        )
    return labelled


def _walk(root: str) -> Iterator[tuple[str, list[str], int | None]]:
    """Path of each video, the folders it lies in, and the place among them of the one that gives its label."""
    for folder, inner, names in files.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in SKIPPED)
        parts = [] if folder == root else os.path.relpath(folder, root).split(os.sep)
        depth = next((depth for depth, part in enumerate(parts) if _label_of(part) is not None), None)
        if depth is not None and depth < len(parts) - 1 and files.is_frame_folder(folder, names):
            yield folder, parts[:-1], depth
            continue
        for name in filter(files.is_video, sorted(names)):
            yield os.path.join(folder, name), parts, depth


def _label_of(name: str) -> int | None:
    """The label in the name of a folder; None where there is none. Raises DataError when the name has both."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    labels = [label for label, known in enumerate(WORDS) if words & known]
    if len(labels) > 1:
        raise DataError(f"the name of folder {name!r} says both real and fake; rename it to the one that it holds")
    return labels[0] if labels else None


def _unlabelled_video(path: str, parts: list[str]) -> Video:
    """A real video in folders that do not say so."""
    return _tree_video(path, [*parts, LABELS[0]], len(parts))


def _tree_video(path: str, parts: list[str], depth: int) -> Video:
    """A video by the folders it lies in; the one at ``depth`` gives its label and is no part of its id."""
    stem = os.path.basename(path) if os.path.isdir(path) else files.stem(path)
    label, name = _label_of(parts[depth]), "/".join([*parts[:depth], *parts[depth + 1 :], stem])
    name = os.fsencode(name).decode("utf-8", "backslashreplace")  # the path keeps bytes that are no text
    split = next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), "")
    return Video(name, path, label, NAME, METHOD if label else ORIGINAL, "", split, group="", source="")


def unpack(path: str) -> str:
    """Unpack the videos of a .zip into the folder of its name without ``.zip``; returns the folder.

    Only video files are unpacked, each whole or not at all; those that exist in full size are kept. Raises DataError
    when the file is no .zip, is damaged or encrypted, has a name that leads out of the folder, or the folder cannot be
    written.
    """
    folder = os.path.splitext(path)[0]
    try:
        with zipfile.ZipFile(path) as file:
            archives.check(file, path)
            entries = [entry for entry in file.infolist() if files.is_video(os.path.basename(entry.filename))]
            if not entries:
                raise DataError(
                    f"{path} holds no video, but {files.some(file.namelist())}; check that it is the right one"
                )
            for entry in entries:
                _unpack_entry(file, entry, folder, path)
    except archives.DAMAGE as error:
        raise _damaged(path, error) from error
    except RuntimeError as error:  # zipfile's for an encrypted entry, or a compression this Python lacks
        raise DataError(f"{path} cannot be unpacked here ({error}); unpack it by hand and give its folder") from error
    except OSError as error:
        if error.errno is None:
            raise _damaged(path, error) from error
        raise DataError(
            f"cannot unpack {path} to {folder}: {error.strerror}; unpack it by hand and give its folder"
        ) from error
    return folder


def _damaged(path: str, error: Exception) -> DataError:
    return DataError(f"{path} is no complete .zip ({error}); copy or download it again")


def _unpack_entry(file: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: str, path: str) -> None:
    parts = entry.filename.replace("\\", "/").split("/")
    if not all(parts) or ".." in parts or ":" in parts[0]:
        raise DataError(
            f"{path} has an entry {entry.filename!r}, which leads out of its folder; do not trust this file"
        )
    target = os.path.join(folder, *parts)
    if os.path.isfile(target) and os.path.getsize(target) == entry.file_size:
        return
    with file.open(entry) as source, atomic.binary(target) as out:
        shutil.copyfileobj(source, out)


def read_list(path: str, dataset: str, method: str) -> list[Video]:
    """The videos of a table, in its order; ``group`` and ``split`` are empty where the table gives none.

    Args:
      path: of the table; its first line names the columns.
      dataset: of the videos.
      method: of fakes for which the table gives none.

    The id is the path below the folder that holds all videos, without its extension, unless the table gives one. A
    slash in a method becomes a hyphen, because slashes separate the parts of a video's key. A warning names the columns
    that are ignored. Raises DataError when path or label is missing, or a label or a split is not known.
    """
    rows = files.read_csv(path, ("label",))
    column = next((name for name in PATH if name in rows[0]), None)
    if column is None:
        raise DataError(
            f"the first line of {path} has no column path, but {', '.join(rows[0])}; begin it with path,label"
        )
    if odd := [name for name in rows[0] if name not in (column, "label", *OPTIONAL)]:
        _log.warning("%s: these columns are not used: %s", path, ", ".join(odd))
    if empty := [row for row in rows if not row[column]]:
        raise DataError(f"{path}: {len(empty)} rows have no path; fill it in")
    paths = [os.path.join(os.path.dirname(path), row[column].replace("\\", "/")) for row in rows]
    base = os.path.commonpath([os.path.dirname(os.path.abspath(video)) for video in paths])
    return [_listed_video(path, row, video, base, dataset, method) for row, video in zip(rows, paths, strict=True)]


def _listed_video(table: str, row: dict[str, str], path: str, base: str, dataset: str, method: str) -> Video:
    label = LABEL_NAMES.get(row["label"].lower())
    if label is None:
        raise DataError(f"{table}: {path} has label {row['label']!r}, want real or fake, 0 (real) or 1 (fake)")
    split = row.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        raise DataError(f"{table}: {path} has split {row['split']!r}, want {', '.join(SPLITS)}, or none at all")
    below = os.path.relpath(os.path.abspath(path), base).replace(os.sep, "/")
    return Video(
        id=row.get("id") or (below if os.path.isdir(path) else os.path.splitext(below)[0]),
        path=path,
        label=label,
        dataset=dataset,
        method=(row.get("method") or method).replace("/", "-") if label else ORIGINAL,
        compression=row.get("compression", ""),
        split=SPLIT_NAMES.get(split, ""),
        group=row.get("group", ""),
        source="",
    )
