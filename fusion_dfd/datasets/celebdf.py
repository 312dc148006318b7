"""Celeb-DF v1 and v2 (Li et al., CVPR 2020) and Celeb-DF++ (Li et al., 2025): swapped, reenacted, talking celebrities.

    root/Celeb-real/idA_NNNN.mp4                    clip NNNN of person A
    root/YouTube-real/NNNNN.mp4                     more people; who they are is not published
    root/Celeb-synthesis/idA_idB_NNNN.mp4           the face of B on clip NNNN of A
    root/Celeb-synthesis/<scenario>/<method>/       in ++: 22 methods in three scenarios; swaps and reenactments are
                                                    named alike, a talking face idA_NNNN_test_<clip that drives it>
    root/List_of_testing_videos.txt                 lines "<1 real, 0 fake> <folder>/<file>", no header

Some copies put the videos of a folder into ``videos/`` inside it; both are read. Labels come from the folders; the
lines of the list must agree with them.

The official list is only a test set: most of its fakes have their target clip outside it (234 of v2's 340), so the
remaining videos are no training set for it. ``protocol="official"`` gives the list alone, for comparison with papers;
``protocol="identity_disjoint"`` splits all videos by whole components of the swap graph, for training.

++ compares scenarios (its GF-eval): ``methods`` takes scenarios as well as methods, and the protocol ``celebdf_pp`` has
a row for each. The method of v1 and v2 lies in ``Celeb-DF``, in some copies in ``Celeb-DF-v2``; both are ``Celeb-DF``
here. That v1's list has the form of v2's is [from memory]. Where the name of a talking face says who drives it, that
person counts as being in the video, so that no person's motion lies in two splits.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import os
import re
from collections.abc import Sequence

from fusion_dfd.datasets import files
from fusion_dfd.datasets.grouping import components
from fusion_dfd.datasets.splits import FRACTIONS, SPLITS, draw_splits
from fusion_dfd.types import LABELS, ORIGINAL, DataError, Video

LIST = "List_of_testing_videos.txt"
CELEBRITIES, STRANGERS, FAKES = "Celeb-real", "YouTube-real", "Celeb-synthesis"
METHOD = "Celeb-DF"
"""Name in Celeb-DF++ of the method of v1 and v2."""
PROTOCOLS = ("official", "identity_disjoint")
SCENARIOS = {
    "FaceSwap": (METHOD, "BlendFace", "GHOST", "HifiFace", "InSwapper", "MobileFaceSwap", "SimSwap", "UniFace"),
    "FaceReenact": ("DaGAN", "FSRT", "HyperReenact", "LIA", "LivePortrait", "MCNET", "TPSMM"),
    "TalkingFace": ("AniTalker", "EchoMimic", "EDTalk", "FLOAT", "IP_LAP", "Real3DPortrait", "SadTalker"),
}
"""Methods of Celeb-DF++."""

_METHODS = {"Celeb-DF-v2": METHOD}
_PERSON, _CLIP = re.compile(r"id\d+"), re.compile(r"_(\d{4})(?!\d)")
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Release:
    name: str
    title: str
    reals: int
    fakes: int | None = None
    listed: int | None = None
    """Number of lines of the official list; None where unknown."""


V1 = Release("celebdf_v1", "Celeb-DF v1", 408, 795)
V2 = Release("celebdf_v2", "Celeb-DF v2", 890, 5639, 518)
PP = Release("celebdf_pp", "Celeb-DF++", 890, listed=5278)


def videos(
    release: Release,
    root: str,
    protocol: str = "official",
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    methods: Sequence[str] = (),
) -> list[Video]:
    """The videos of a protocol, sorted by split, label, method and id.

    Args:
      release: V1, V2 or PP.
      root: the folder that holds ``Celeb-real``, ``YouTube-real`` and ``Celeb-synthesis``.
      protocol: ``official``, all of it in split ``test``, or ``identity_disjoint``.
      seed: of the draw of the identity-disjoint splits.
      fractions: of train, val, test in that draw. Components are few and large, so the shares come out roughly.
      methods: of ++, manipulations or scenarios of :data:`SCENARIOS` to take; empty takes all.

    Listed videos that do not exist stay in the list; a warning counts them. Raises DataError when a
    folder or the list is missing, a line or a file is not as described above, list and folders disagree, or there are
    more videos than the release has, or a method is unknown.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"{release.title} has no protocol {protocol!r}; it has {', '.join(PROTOCOLS)}")
    wanted = _wanted(release, methods)
    files.require(root, f"the one that holds {CELEBRITIES}, {STRANGERS} and {FAKES}")
    present = _scan(release, root)
    if protocol == "official":
        known = {_place(os.path.relpath(video.path, root)): video for video in present}
        chosen = [known.get(place) or _video(release, root, place) for place in listed(root)]
        if len(chosen) != (release.listed or len(chosen)):
            said = f"{os.path.join(root, LIST)} lists {len(chosen)} videos"
            _log.warning("%s, that of %s has %d: is it the right one?", said, release.title, release.listed)
    else:
        _count(release, root, present)
        chosen = present
    groups = components(people(video.id) for video in (*present, *chosen))
    chosen = [dataclasses.replace(video, group=groups[people(video.id)[0]]) for video in chosen]
    chosen = [video for video in chosen if not (video.label and wanted) or video.method in wanted]
    chosen = chosen if protocol == "official" else draw_splits(chosen, seed, fractions)
    chosen.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, chosen)
    return chosen


v1, v2, pp = (functools.partial(videos, release) for release in (V1, V2, PP))


def _scan(release: Release, root: str) -> list[Video]:
    """Every video under the root; groups are left empty."""
    folders = [os.path.join(root, name) for name in (CELEBRITIES, STRANGERS, FAKES)]
    if missing := [folder for folder in folders if not os.path.isdir(folder)]:
        raise DataError(
            f"{missing[0]} is missing ({root} holds {files.inventory(root)}); check --root, or unpack it there"
        )
    *reals, fakes = folders
    flat, scenarios = (
        files.video_files(fakes),
        [path for path in files.subfolders(fakes) if not path.endswith("videos")],
    )
    if (flat and release is PP) or (scenarios and release is not PP):
        holds, other = ("videos", f"{V1.name} or {V2.name}") if flat else ("folders", PP.name)
        raise DataError(f"{fakes} holds {holds}, so this is not {release.title}: choose --dataset {other}")
    methods = [method for scenario in scenarios for method in files.subfolders(scenario)]
    paths = [path for folder in (*reals, *methods) for path in files.video_files(folder)] + flat
    return [_video(release, root, _place(os.path.relpath(path, root)), path) for path in paths]


def _place(path: str) -> str:
    """Path of a video below the root as in the list, that is without ``videos/``."""
    *folders, name = path.replace("\\", "/").split("/")
    return "/".join([folder for folder in folders if folder != "videos"] + [name])


def _video(release: Release, root: str, place: str, path: str | None = None) -> Video:
    """What the place of a video means; ``path`` is where it was found, None where it is missing."""
    folder, *methods, name = place.split("/")
    name = files.stem(name)
    person, clip = _PERSON.search(name), _CLIP.search(name)
    if folder != STRANGERS and not (person and clip):
        example = "id0_0000.mp4" if folder == CELEBRITIES else "id0_id1_0000.mp4"
        raise DataError(
            f"{os.path.join(root, place)} is not named as in {release.title}, such as {example}; move it away"
        )
    fake = folder == FAKES
    return Video(
        id=name,
        path=path or os.path.join(root, *place.split("/")),
        label=int(fake),
        dataset=release.name,
        method=_METHODS.get(methods[-1], methods[-1]) if fake and methods else METHOD if fake else ORIGINAL,
        compression="",
        split="test",
        group="",
        source=f"{person[0]}_{clip[1]}" if fake else name,
        attributes=() if fake else (("footage", folder),),
    )


def people(name: str) -> list[str]:
    """Who is in the video of a name; a stranger is known by the video."""
    return _PERSON.findall(name) or [f"youtube_{name}"]


def _wanted(release: Release, methods: Sequence[str]) -> set[str]:
    """Names of methods, scenarios replaced by their methods."""
    known = {*SCENARIOS, *(name for names in SCENARIOS.values() for name in names)} if release is PP else {METHOD}
    if odd := sorted(set(methods) - known):
        raise DataError(f"{release.title} has no method {', '.join(odd)}; it has {', '.join(sorted(known))}")
    return {name for method in methods for name in SCENARIOS.get(method, (method,))}


def listed(root: str) -> list[str]:
    """Places of the videos of the official list."""
    path = os.path.join(root, LIST)
    if not os.path.isfile(path):
        raise DataError(f"{path} is missing; copy it from the download, or choose --protocol identity_disjoint")
    places, labels = [], {CELEBRITIES: "1", STRANGERS: "1", FAKES: "0"}
    for number, line in enumerate(files.read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        label, _, place = line.strip().partition(" ")
        place = _place(place.strip())
        folder = place.partition("/")[0]
        if label not in labels.values() or folder not in labels or not files.is_video(place):
            raise DataError(f'line {number} of {path} is {line.strip()!r}, want such as "0 {FAKES}/id0_id1_0000.mp4"')
        if label != labels[folder]:
            kind = LABELS[folder == FAKES]
            raise DataError(f"line {number} of {path} has label {label}, but {folder} holds {kind} videos; restore it")
        places.append(place)
    if twice := [place for place, count in collections.Counter(places).items() if count > 1]:
        raise DataError(f"{path} lists {files.some(twice)} twice; restore it from the download")
    return places


def _count(release: Release, root: str, present: Sequence[Video]) -> None:
    """Is it all there, and not more than that?"""
    reals, fakes = (sum(video.label == label for video in present) for label in range(len(LABELS)))
    holds = f"{root} holds {reals} real and {fakes} fake videos"
    has = f"{release.title} has {release.reals}" + (f" and {release.fakes}" if release.fakes else " real ones")
    if reals > release.reals or fakes > (release.fakes or fakes):
        raise DataError(f"{holds}, but {has}: choose the --dataset that it is")
    if reals < release.reals or fakes < (release.fakes or 0):
        _log.warning("%s, %s: the download is not complete", holds, has)
