"""DF40 (Yan et al., NeurIPS 2024): 40 ways of forging; here its 22 that make videos, as folders of cropped frames.

    root/<method>/ff/frames/TTT_SSS/NNN.png                  on the test clips of FaceForensics++ (older copies: ffpp)
    root/<method>/cdf/frames/idA_idB_NNNN/NNN.png            on the test clips of Celeb-DF v2 (older copies: cdfv2)
    root/{deepfacelab,heygen}/{fake,real}/<video>/NNN.png    other sources, with their own real videos
    root/DF40_train/<method>/ff/frames/TTT_SSS/NNN.png       on the training clips of FaceForensics++

``root`` may hold the methods in ``DF40/`` beside ``DF40_train/``. All but two methods come without real videos: they
are those of FaceForensics++ (``originals``) and Celeb-DF v2 (``celebdf``), whose lists also say what is train and test.
DF40's authors crop those too, into ``frames/``; such frames are taken where they are. Real videos that were not cropped
alike can be told from the fakes by their size and encoding alone, so a warning is logged.

The other 18 methods make single images, which have no motion: they are left out. The protocols are those of the paper:

    ff           1: train on some methods, test on others, all on FaceForensics++ (train and val need ``DF40_train``)
    cdf          2: the same methods on Celeb-DF v2, test only
    unknown      3: DeepFaceLab and HeyGen, test only
    one_vs_all   4: train on the one method of ``methods``, test on all, on FaceForensics++

Which frame of the video a frame was is not known, so its frames need not be consecutive.
"""

from __future__ import annotations

import collections
import logging
import os
import re
from collections.abc import Iterable, Sequence

from fusion_dfd.datasets import celebdf, faceforensics, files, grouping
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

NAME = "df40"
SWAPS = ("fsgan", "faceswap", "simswap", "inswap", "blendface", "uniface", "mobileswap", "e4s", "facedancer")
REENACTMENTS = (
    *("fomm", "facevid2vid", "wav2lip", "mraa", "one_shot_free", "pirender", "tpsm", "lia", "danet", "sadtalker"),
    *("mcnet", "hyperreenact"),
)
UNKNOWN = ("deepfacelab", "heygen")
"""Methods on videos of neither data set."""
METHODS = SWAPS + REENACTMENTS
DOMAINS = {"ff": ("ff", "ffpp"), "cdf": ("cdf", "cdfv2")}
PROTOCOLS = ("ff", "cdf", "unknown", "one_vs_all")
TRAIN = "DF40_train"

_FF = re.compile(r"\d{3}(?:_\d{3})?")
_log = logging.getLogger(__name__)


def videos(
    root: str, protocol: str = "ff", originals: str = "", celebdf: str = "", methods: Sequence[str] = ()
) -> list[Video]:
    """The videos of a protocol, sorted by split, label, method and id.

    Args:
      root: the folder that holds the folders of methods, or ``DF40`` and ``DF40_train``.
      protocol: of ``PROTOCOLS``.
      originals: root of FaceForensics++, for ``ff`` and ``one_vs_all``.
      celebdf: root of Celeb-DF v2, for ``cdf``.
      methods: manipulations to take; empty takes all. With ``one_vs_all`` the one to train on.

    A warning names the videos that one method lacks and others have. Raises DataError when the root holds no method,
    the real videos are not given, a folder of frames has the name of another domain, or a method is unknown.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"DF40 has no protocol {protocol!r}; it has {', '.join(PROTOCOLS)}")
    files.require(root, f"the one that holds folders of methods such as {METHODS[0]}/")
    known = UNKNOWN if protocol == "unknown" else METHODS
    if odd := sorted(set(methods) - set(known)):
        raise DataError(
            f"DF40 has no videos of {', '.join(odd)} in protocol {protocol}; it has {', '.join(known)}, and other "
            "methods make single images"
        )
    inner = os.path.join(root, "DF40")
    tests = _methods(inner if os.path.isdir(inner) else root, known)
    if protocol == "unknown":
        listed = _unknown(tests, methods or known)
    elif protocol == "cdf":
        listed = _celebdf(tests, celebdf, methods or known)
    else:
        listed = _faceforensics(root, tests, originals, methods, alone=protocol == "one_vs_all")
    if not any(video.label for video in listed):
        raise DataError(
            f"{root} has no video of protocol {protocol}, but {files.inventory(root)}; complete the download"
        )
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, listed)
    return listed


def _methods(root: str, known: Sequence[str]) -> dict[str, str]:
    """Folder of each known method under a root; their spelling differs between copies."""
    found = {os.path.basename(path).lower(): path for path in files.subfolders(root)}
    if not found.keys() & {*METHODS, *UNKNOWN}:
        raise DataError(
            f"{root} holds no method of DF40 such as {METHODS[0]}, but {files.inventory(root)}; check --root, or "
            "unpack the test data there"
        )
    return {name: found[name] for name in known if name in found}


def _frames(methods: dict[str, str], domain: str, names: re.Pattern) -> dict[tuple[str, str], str]:
    """Folder of frames of each (method, video) of a domain. Raises DataError for a name of another domain."""
    found = {}
    for method, folder in methods.items():
        place = next((p for p in (os.path.join(folder, d) for d in DOMAINS[domain]) if os.path.isdir(p)), "")
        paths = files.frame_folders(place)
        if odd := [path for path in paths if not names.fullmatch(os.path.basename(path))]:
            raise DataError(f"{odd[0]} is not named as the videos of DF40's domain {domain}; move it to its own")
        found.update({(method, os.path.basename(path)): path for path in paths})
    by_name = collections.defaultdict(set)
    for method, name in found:
        by_name[name].add(method)
    holders = {method for method, _ in found}
    lacking = [f"{method}/{name}" for name, have in by_name.items() for method in sorted(holders - have)]
    if lacking:
        _log.warning(
            "DF40, domain %s: %d videos of other methods are absent: %s", domain, len(lacking), files.some(lacking)
        )
    return found


def _faceforensics(root: str, tests: dict, originals: str, methods: Sequence[str], alone: bool) -> list[Video]:
    if not originals:
        raise DataError(f"{root} has no real videos: give --originals, the root of FaceForensics++ with its lists")
    if alone and len(methods) != 1:
        raise DataError("protocol one_vs_all trains on one method: name it with --methods, such as --methods simswap")
    folder = os.path.join(originals, "original_sequences", "youtube", "c23")
    pairs = {split: faceforensics.read_pairs(originals, split) for split in SPLITS}
    split_of = {name: split for split in SPLITS for pair in pairs[split] for name in pair}
    found = {"test": _frames({m: p for m, p in tests.items() if alone or not methods or m in methods}, "ff", _FF)}
    train = os.path.join(root, TRAIN)
    if os.path.isdir(train):
        trained = {m: p for m, p in _methods(train, METHODS).items() if not methods or m in methods}
        found["train"] = _frames(trained, "ff", _FF)
    elif alone:
        raise DataError(f"{train} is missing, and protocol one_vs_all trains on it; unpack DF40's training data there")
    fakes, elsewhere = [], []
    for part, paths in found.items():
        for (method, name), path in paths.items():
            places = {split_of.get(clip) for clip in name.split("_")}
            split = next(iter(places))
            if len(places) == 1 and split and (split == "test") == (part == "test"):
                fakes.append((method, name, path, split))
            else:
                elsewhere.append(f"{method}/{name}")
    files.leave_out(root, elsewhere, "because FaceForensics++ lists their clips in another split")
    splits = {split for *_, split in fakes}
    groups = grouping.components([*(p for of in pairs.values() for p in of), *(n.split("_") for _, n, *_ in fakes)])
    reals = [name for split in SPLITS if split in splits for pair in pairs[split] for name in pair]
    listed = [_real(name, files.locate(folder, name), split_of[name], groups[name]) for name in reals]
    listed += [_fake(*fake, groups[fake[1][:3]], fake[1][:3]) for fake in fakes]
    _same_crops(listed)
    return listed


def _celebdf(tests: dict, root: str, methods: Sequence[str]) -> list[Video]:
    if not root:
        raise DataError("DF40 has no real videos of Celeb-DF v2: give --celebdf, its root with its list of test videos")
    found = _frames(
        {m: p for m, p in tests.items() if m in methods}, "cdf", re.compile(r"id\d+_(?:id\d+_)?\d{4}|\d{5}")
    )
    listed = [place for place in celebdf.listed(root) if not place.startswith(celebdf.FAKES)]
    reals = {files.stem(place): os.path.join(root, place.partition("/")[0]) for place in listed}
    groups = grouping.components(map(celebdf.people, (*reals, *(name for _, name in found))))
    groups = {name: groups[celebdf.people(name)[0]] for name in (*reals, *(name for _, name in found))}
    videos = [_real(name, files.locate(folder, name), "test", groups[name]) for name, folder in reals.items()]
    for (method, name), path in found.items():
        first, *rest = name.split("_")
        videos.append(_fake(method, name, path, "test", groups[name], "_".join([first, *rest[-1:]])))
    _same_crops(videos)
    return videos


def _unknown(tests: dict, methods: Sequence[str]) -> list[Video]:
    listed = []
    for method, folder in tests.items():
        if method not in methods:
            continue
        found = []
        for label, name in enumerate(LABELS):
            paths = files.frame_folders(os.path.join(folder, name))
            if not paths:
                raise DataError(
                    f"{folder}/{name} holds no frames ({folder} holds {files.inventory(folder)}); unpack it"
                )
            kind = method if label else ORIGINAL
            found += [
                Video(f"{method}/{os.path.basename(path)}", path, label, NAME, kind, "", "test", group="", source="")
                for path in paths
            ]
        listed += grouping.by_name(found)
    return listed


def _same_crops(listed: Iterable[Video]) -> None:
    if any(not video.label and not os.path.isdir(video.path) for video in listed):
        _log.warning(
            "the real videos are files, DF40's fakes are frames that its authors cropped: prepare the real ones from "
            "frames/ too, or a detector may tell them apart by size and encoding"
        )


def _real(name: str, path: str, split: str, group: str) -> Video:
    return Video(name, path, 0, NAME, ORIGINAL, "", split, group=group, source=name)


def _fake(method: str, name: str, path: str, split: str, group: str, source: str) -> Video:
    return Video(name, path, 1, NAME, method, "", split, group=group, source=source)
