"""TalkingHeadBench (Xiong et al., 2025): portraits that talk, by eight generators, driven by clips of CelebV-HQ.

    root/fake/<generator>/{train,val,test}/<n>--<driver>--<generator>.mp4
    root/fake/additional_dataset/Hallo3/<n>-<driver>.mp4                    and MAGI-1/<n>.mp4: never trained on
    root/real/real_dataset_split_official_ff++.json                         {"Train": {"CelebV-HQ": [...], ...}, ...}
    originals/original_sequences/youtube/<compression>/videos/NNN.mp4       the real half, which does not come with it
    celebvhq/<clip>.mp4                                                     its other part, with the driving clips

A group is a driving clip and what it drives; whose portrait was used is not published. A fake follows its driver's
split in the list, whatever folder it lies in, and its folder where the list does not name the driver. MAGI-1 and Hallo3
are test; a fake of Hallo3 whose driver is in train or val would leak motion and is left out. Names of drivers lost
their leading hyphen in fakes; it is put back where only that clip is listed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from fusion_dfd.datasets import faceforensics, files
from fusion_dfd.datasets.splits import SPLITS
from fusion_dfd.types import ORIGINAL, DataError, Video

NAME = "talkingheadbench"
GENERATORS = ("LivePortrait", "AniPortraitAudio", "AniPortraitVideo", "Hallo", "Hallo2", "EmoPortrait")
HELD_OUT = ("MAGI-1", "Hallo3")
LIST = "real_dataset_split_official_ff++.json"
FACEFORENSICS, CELEBVHQ = "FaceForensics++", "CelebV-HQ"


def videos(root: str, originals: str = "", celebvhq: str = "", compression: str = "c23") -> list[Video]:
    """The fakes that are there and the listed real videos, sorted by split, label, method and id.

    Args:
      root: the folder that holds ``fake`` and ``real``.
      originals: root of FaceForensics++.
      celebvhq: folder of the videos of CelebV-HQ; without it, only those of FaceForensics++ are real videos.
      compression: of the videos of FaceForensics++.

    Raises DataError when the list or the fakes are missing, a fake is not named as above, or the real videos are not
    given.
    """
    files.require(root, "the one that holds fake/ and real/")
    path = files.find(root, LIST, ("real", ""))
    split_of = _listed(path)
    fakes, leaks = [], []
    for generator in (*GENERATORS, *HELD_OUT):
        for folder in (
            os.path.join(root, "fake", generator),
            os.path.join(root, "fake", "additional_dataset", generator),
        ):
            for place in files.videos_below(folder):
                video = _fake(place, generator, split_of[CELEBVHQ])
                (fakes if video else leaks).append(video or place)
    if not fakes:
        holds = files.inventory(os.path.join(root, "fake"))
        raise DataError(f"{root}/fake holds no video of {', '.join(GENERATORS)}, but {holds}; unpack them there")
    files.leave_out(root, leaks, "because the clips that drive them are listed in train or val")
    if not originals:
        raise DataError(f"{root} has no real videos: give --originals, the root of FaceForensics++, and --celebvhq")
    reals = faceforensics.folder(originals, os.path.join("original_sequences", "youtube"), compression)
    listed = [_real(os.path.join(reals, f"{name}.mp4"), split) for name, split in split_of[FACEFORENSICS].items()]
    if celebvhq:
        files.require(celebvhq, "(of --celebvhq) the one that holds the videos of CelebV-HQ")
        listed += [_real(files.locate(celebvhq, name), split) for name, split in split_of[CELEBVHQ].items()]
    listed += fakes
    listed.sort(key=lambda video: (SPLITS.index(video.split), video.label, video.method, video.id))
    files.account(root, listed)
    return listed


def _listed(path: str) -> dict[str, dict[str, str]]:
    """The split of each real video, by its source and stem."""
    found: dict[str, dict[str, str]] = {FACEFORENSICS: {}, CELEBVHQ: {}}
    try:
        blocks = json.loads(files.read_text(path))
        for split in SPLITS:
            for source, names in found.items():
                for name in blocks[split.capitalize()].get(source, []):
                    if names.setdefault(files.stem(name), split) != split:
                        raise DataError(
                            f"{path} lists {name} in {names[files.stem(name)]} and {split}; restore the file"
                        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} does not list real videos by split ({error!r}); copy or download it again") from error
    if not found[FACEFORENSICS]:
        raise DataError(f"{path} lists no video of {FACEFORENSICS}; copy or download it again")
    return found


def _fake(path: str, generator: str, drivers: dict[str, str]) -> Video | None:
    """A fake; None where its driver lies in another split than it must."""
    name = files.stem(path)
    driver = _driver(name, path, generator, drivers)
    listed = drivers.get(driver)
    split = listed or os.path.basename(os.path.dirname(path))
    if generator in HELD_OUT:
        if listed not in (None, "test"):
            return None
        split = "test"
    if split not in SPLITS:
        raise DataError(f"{path} lies in no folder {', '.join(SPLITS)}, and {LIST} does not list {driver}; move it")
    return Video(name, path, 1, NAME, generator, "", split, group=driver, source=driver)


def _driver(name: str, path: str, generator: str, drivers: Sequence[str]) -> str:
    """The clip that drives a fake; for MAGI-1, which does not say, a name of its own."""
    if generator == "MAGI-1":
        return f"{generator}/{name}"
    parts = name.split("-", 1) if generator == "Hallo3" else name.split("--")
    if len(parts) != (2 if generator == "Hallo3" else 3):
        wanted = "<n>-<driver>" if generator == "Hallo3" else f"<n>--<driver>--{generator}"
        raise DataError(f"{path} is not named {wanted}.mp4; move it away")
    return next((clip for clip in (parts[1], f"-{parts[1]}") if clip in drivers), parts[1])


def _real(path: str, split: str) -> Video:
    name = files.stem(path)
    return Video(name, path, 0, NAME, ORIGINAL, "", split, group=name, source=name)
