"""A small tree of every data set, laid out as the real one; each video file holds its own path."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterable

Path = pathlib.Path


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def write(root: Path, name: str, text: str | dict | list) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))


PAIRS = {"train": [["071", "054"], ["087", "081"]], "val": [["720", "672"]], "test": [["953", "974"]]}


def faceforensics(root: Path, compression: str = "c23", methods: Iterable[str] = ("Deepfakes", "FaceShifter")) -> dict:
    for split, pairs in PAIRS.items():
        write(root, f"{split}.json", pairs)
        for a, b in pairs:
            touch(root, *(f"original_sequences/youtube/{compression}/videos/{name}.mp4" for name in (a, b)))
            for method in methods:
                place = f"manipulated_sequences/{method}/{compression}/videos"
                touch(root, f"{place}/{a}_{b}.mp4", f"{place}/{b}_{a}.mp4")
    touch(root, "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4")
    return {}


def dfd(root: Path) -> dict:
    reals = "original_sequences/actors/c23/videos"
    fakes = "manipulated_sequences/DeepFakeDetection/c23/videos"
    touch(root, *(f"{reals}/{name}.mp4" for name in ("01__kitchen_pan", "02__kitchen_pan", "03__hugging_happy")))
    touch(root, f"{fakes}/01_02__kitchen_pan__YVGY8LOK.mp4", f"{fakes}/03_04__hugging_happy__0XUW13RW.mp4")
    touch(root, "manipulated_sequences/DeepFakeDetection/masks/videos/01_02__kitchen_pan__YVGY8LOK.mp4")
    return {}


CELEB_REALS = (
    "Celeb-real/id0_0000.mp4",
    "Celeb-real/id1_0003.mp4",
    "Celeb-real/id2_0000.mp4",
    "YouTube-real/00170.mp4",
)
CELEB_FAKES = ("id0_id1_0000.mp4", "id1_id0_0003.mp4", "id2_id3_0000.mp4", "id10_id2_0001.mp4")
CELEB_LIST = "1 YouTube-real/00170.mp4\n1 Celeb-real/id1_0003.mp4\n0 Celeb-synthesis/{}id0_id1_0000.mp4\n"


def celebdf(root: Path) -> dict:
    touch(root, *CELEB_REALS, *(f"Celeb-synthesis/{name}" for name in CELEB_FAKES))
    write(root, "List_of_testing_videos.txt", CELEB_LIST.format(""))
    return {}


def celebdf_pp(root: Path) -> dict:
    methods = ("FaceSwap/Celeb-DF", "FaceReenact/DaGAN", "TalkingFace/FLOAT")
    touch(root, *CELEB_REALS, *(f"Celeb-synthesis/{method}/{name}" for method in methods for name in CELEB_FAKES))
    lists = CELEB_LIST.format("FaceReenact/DaGAN/") + "0 Celeb-synthesis/FaceSwap/Celeb-DF/id0_id1_0000.mp4\n"
    write(root, "List_of_testing_videos.txt", lists)
    return {}


def described(root: Path, place: str, *clips: str) -> None:
    """A folder of DFDC: of each clip the real video and two fakes."""
    metadata = {f"{clip}.mp4": {"label": "REAL", "split": "train"} for clip in clips}
    fakes = {f"{clip}{n}.mp4": clip for clip in clips for n in "xy"}
    metadata |= {name: {"label": "FAKE", "split": "train", "original": f"{clip}.mp4"} for name, clip in fakes.items()}
    touch(root, *(f"{place}/{name}" for name in metadata))
    write(root, f"{place}/metadata.json", metadata)


def dfdc(root: Path) -> dict:
    for number, clips in {0: "ab", 34: "c", 35: "d", 40: "ef"}.items():
        described(root, f"dfdc_train_part_{number:02d}/dfdc_train_part_{number}", *clips)
    return {}


def dfdc_sample(root: Path) -> dict:
    described(root, "train_sample_videos", *"abcdefghij")
    return {}


def dfdc_test(root: Path) -> dict:
    touch(root, "videos/aassnaulhq.mp4", "videos/aayfryxljh.mp4")
    write(root, "labels.csv", "filename,label\naassnaulhq.mp4,0\naayfryxljh.mp4,1\n")
    return {}


def dfdc_preview(root: Path) -> dict:
    index = {}
    for split, a, b in (("train", "101", "102"), ("train", "103", "104"), ("test", "201", "202")):
        for target, face in ((a, b), (b, a)):
            real = {"label": "real", "set": split, "target_id": target, "swapped_id": None, "augmentations": []}
            fake = real | {"label": "fake", "swapped_id": face}
            index[f"original_videos/{target}/{target}_A_001.mp4"] = real
            index[f"method_A/{target}/{target}_A/{face}_{target}_A_001.mp4"] = fake
    touch(root, *index)
    write(root, "dataset.json", index)
    return {}


def uadfv(root: Path) -> dict:
    touch(root, *(f"real/{n:04d}.mp4" for n in range(3)), *(f"fake/{n:04d}_fake.mp4" for n in range(3)))
    return {}


def deeperforensics(root: Path) -> dict:
    lists = {"train": ["000_M101", "001_M101"], "val": ["002_W102"], "test": ["003_M004"]}
    faceforensics(root / "faceforensics")
    for split, names in lists.items():
        write(root, f"lists/splits/{split}.txt", "".join(f"{name}.mp4\n" for name in names))
        touch(root, *(f"manipulated_videos/end_to_end/{name}.mp4" for name in names))
        touch(root, *(f"faceforensics/original_sequences/youtube/c23/videos/{name[:3]}.mp4" for name in names))
    return {"originals": str(root / "faceforensics")}


def folder(root: Path) -> dict:
    touch(root, *(f"real/{n}.mp4" for n in "abcdefghij"), *(f"fake/{n}_fake.mov" for n in "abcdefghij"))
    return {}


TREES: dict[str, Callable[[Path], dict]] = {
    "faceforensics": faceforensics,
    "dfd": dfd,
    "celebdf_v1": celebdf,
    "celebdf_v2": celebdf,
    "celebdf_pp": celebdf_pp,
    "dfdc": dfdc,
    "dfdc_sample": dfdc_sample,
    "dfdc_test": dfdc_test,
    "dfdc_preview": dfdc_preview,
    "uadfv": uadfv,
    "deeperforensics": deeperforensics,
    "folder": folder,
}
"""Makes the tree of each adapter; returns the options that the adapter needs."""
