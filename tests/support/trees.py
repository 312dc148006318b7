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
CELEB_TALKING = ("id0_0000_test_00170", "id2_0000_test_00012")
CELEB_LIST = "1 YouTube-real/00170.mp4\n1 Celeb-real/id1_0003.mp4\n0 Celeb-synthesis/{}id0_id1_0000.mp4\n"


def celebdf(root: Path) -> dict:
    touch(root, *CELEB_REALS, *(f"Celeb-synthesis/{name}" for name in CELEB_FAKES))
    write(root, "List_of_testing_videos.txt", CELEB_LIST.format(""))
    return {}


def celebdf_pp(root: Path) -> dict:
    methods = ("FaceSwap/Celeb-DF", "FaceReenact/DaGAN")
    touch(root, *CELEB_REALS, *(f"Celeb-synthesis/{method}/{name}" for method in methods for name in CELEB_FAKES))
    talking = [f"Celeb-synthesis/TalkingFace/FLOAT/{name}.mp4" for name in CELEB_TALKING]
    touch(root, *talking)
    lists = CELEB_LIST.format("FaceReenact/DaGAN/") + "0 Celeb-synthesis/FaceSwap/Celeb-DF/id0_id1_0000.mp4\n"
    lists += f"0 {talking[0]}\n"
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


def frames(root: Path, *names: str, numbers: Iterable[int] = (0, 4, 9)) -> None:
    """Videos as folders of frames; those between are absent."""
    touch(root, *(f"{name}/{number:03d}.png" for name in names for number in numbers))


def df40(root: Path) -> dict:
    faceforensics(root / "faceforensics")
    frames(root / "faceforensics/original_sequences/youtube/c23/frames", "953", "974")
    for method in ("simswap", "MRAA"):
        frames(root, f"{method}/ff/frames/953_974", f"{method}/ff/frames/974_953")
    frames(root, "uniface/ffpp/frames/953_974", "uniface/ffpp/frames/974_953")
    frames(root, "sd2.1/ff/frames/953", "simswap/cdf/frames/id0_id1_0000")
    touch(root, "simswap/ff/landmarks/953_974/000.npy")
    for method in ("heygen", "deepfacelab"):
        frames(root, *(f"{method}/{name}" for name in ("real/0001", "fake/0001_fake", "real/0002", "fake/0002_fake")))
    return {"originals": str(root / "faceforensics")}


def wilddeepfake(root: Path) -> dict:
    for split in ("train", "test"):
        for label in ("real", "fake"):
            frames(root, *(f"{label}_{split}/6/{label}/{n}" for n in (54, 55)), f"{label}_{split}/7/{label}/1")
    return {}


def ffiw(root: Path) -> dict:
    for split in ("train", "val", "test"):
        names = [f"{split}_{n:08d}" for n in range(2)]
        touch(root, *(f"{kind}/{split}/{n}.mp4" for kind in ("source", "target", "target_mask") for n in names))
        write(root, f"splits/{split}.json", [[f"{name}.mp4", f"{name}.mp4"] for name in names])
    return {}


EVAL_HEADER = "Filename,Date,Ground Truth,Public Comments,Finetuning Set\n"


def deepfake_eval(root: Path) -> dict:
    rows = [
        ("a1.mp4", "Real", "Train"),
        ("a2.mp4", "Fake", "Train"),
        ("b1.mp4", "Real", "Test"),
        ("b2.mp4", "Fake", "Test"),
    ]
    touch(root, *(f"video-data/{name}" for name, *_ in rows))
    table = "".join(f'{name},2024-03-01,{truth},"looks odd, see link",{part}\n' for name, truth, part in rows)
    write(root, "video-metadata-publish.csv", EVAL_HEADER + table)
    return {}


AVCELEB_HEADER = "source,target1,target2,method,category,type,race,gender,path,\n"
AVCELEB = {
    "RealVideo-RealAudio": ("00109", "real"),
    "RealVideo-FakeAudio": ("00109_fake", "rtvc"),
    "FakeVideo-RealAudio": ("00109_id00098_wavtolip", "wav2lip"),
    "FakeVideo-FakeAudio": ("00109_2_id00098_wavtolip", "faceswap-wav2lip"),
}
"""Name and method of a video of each type."""


def fakeavceleb(root: Path) -> dict:
    table = AVCELEB_HEADER
    for person in ("id00076", "id00098", "id00166", "id00391"):
        for number, (kind, (name, method)) in enumerate(AVCELEB.items()):
            place = f"{kind}/African/men/{person}"
            touch(root, f"{place}/{name}.mp4")
            table += f"{person},-,-,{method},{'ABCD'[number]},{kind},African,men,{name}.mp4,FakeAVCeleb/{place}\n"
    write(root, "meta_data.csv", table)
    return {}


SPEAKERS = "identity,split\n10,train\n11,train\n20,test\n21,test\n"


def deepspeak_v1(root: Path) -> dict:
    touch(root, *(f"videos/{n}.mp4" for n in ("10-4100", "11-4897", "20-1", "21-2")))
    touch(root, "videos/facefusion_live--10-11--4100-4897--0.mp4", "videos/wav2lip--20-21--1-2--0.mp4")
    write(root, "annotations-split-def.csv", SPEAKERS)
    return {}


def deepspeak_v2(root: Path) -> dict:
    touch(root, *(f"deepspeak-v2-0/{n}.mp4" for n in ("10-4100", "11-4897", "20-1", "21-2")))
    touch(root, "deepspeak-v2-1/diff2lip-4100-4897-playht.mp4", "deepspeak-v2-1/memo-1-2-real.mp4")
    write(root, "annotations-split-def.csv", SPEAKERS)
    table = "video-file,kind,engine,identity-source,identity-target,recording-source,recording-target,audio-config\n"
    table += "diff2lip-4100-4897-playht.mp4,lip-sync,diff2lip,10,11,4100,4897,playht\n"
    write(root, "annotations-fake.csv", table + "memo-1-2-real.mp4,avatar,memo,20,21,1,2,real\n")
    return {}


def av_rows(split: str, person: str) -> list[dict]:
    """A clip and its three forgeries, as AV-Deepfake1M++'s metadata describe them."""
    place = f"vox_celeb_2/{person}/1nA/00030"
    pieces = {
        "real": ([], []),
        "audio_modified": ([], [[1.2, 1.8]]),
        "visual_modified": ([[1.2, 1.8]], []),
        "both_modified": ([[1.2, 1.8]], [[1.2, 1.8]]),
    }
    return [
        {
            "file": f"{place}/{kind}.mp4",
            "original": "VoxCeleb2/dev/mp4/x.mp4" if kind == "real" else f"{place}/real.mp4",
            "split": split,
            "modify_type": kind,
            "video_model": "Talklip" if visual else None,
            "fake_segments": visual or audio,
            "visual_fake_segments": visual,
            "audio_fake_segments": audio,
            "video_frames": 200,
        }
        for kind, (visual, audio) in pieces.items()
    ]


def av_deepfake1m(root: Path) -> dict:
    for split, person in (("train", "id01"), ("val", "id02")):
        rows = av_rows(split, person)
        touch(root, *(f"{split}/{row['file']}" for row in rows))
        write(root, f"{split}_metadata.json", rows)
    write(root, "test_files.txt", "a.mp4\n")
    return {}


def lav_df(root: Path) -> dict:
    rows = []
    for split in ("train", "dev", "test"):
        for number, (video, audio) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
            forged = video or audio
            names = {"file": f"{split}/{split}{number}.mp4", "original": f"{split}/{split}0.mp4" if forged else None}
            periods = [[0.5, 1.0]] if forged else []
            rows.append(names | {"split": split, "modify_video": video, "modify_audio": audio, "fake_periods": periods})
    touch(root, *(row["file"] for row in rows))
    write(root, "metadata.json", rows)
    return {}


def kodf(root: Path) -> dict:
    actors = [f"{n}" * 6 for n in range(6)] + ["0123456789abcdef0123"]
    touch(root, *(f"original/{actor}/{actor}_{n:03d}.mp4" for actor in actors for n in range(2)))
    for number, method in enumerate(("dfl", "dffs", "fsgan", "fo", "audio-driven"), 1):
        target, face = actors[number], actors[number - number % 2]
        touch(root, f"synthesized/{method}/20210101/{target}/{target}_{face}_{number}_0001.mp4")
    return {}


def dfdm(root: Path) -> dict:
    celebdf(root / "celebdf")
    for crf in (0, 10, 23):
        for model, tag in (("DFaker", "4dfaker"), ("DFL-H128", "5dfl")):
            names = ("id0_id1_0000", "id1_id0_0003", "id2_id3_0000")
            touch(root, *(f"DFDM_crf{crf}/{model}/{name}_{tag}.mp4" for name in names))
    return {"celebdf": str(root / "celebdf")}


def idforge(root: Path) -> dict:
    kinds = ("pristine", "face_tts", "lip_tts_textgen", "rvc_textmismatch", "tts_textgen")
    for number, split in enumerate(("train", "val", "test")):
        names = [
            f"{kind}/{person}/{person}_0{number}/{person}_scene_0014.mp4"
            for kind in kinds
            for person in ("id00", "id01")
        ]
        touch(root, *names)
        write(root, f"{split}.csv", "".join(f"{name}\n" for name in names))
    return {}


def polyglotfake(root: Path) -> dict:
    clips = [f"{language}_{n}" for language in ("en", "ja") for n in range(4)]
    touch(root, *(f"real/{clip}.mp4" for clip in clips), *(f"fake/fr/{clip}_to_fr_Xtts.mp4" for clip in clips))
    for language in ("en", "ja"):
        described = [
            {"filename": f"{language}_{n}.mp4", "source": f"talk {n // 2}", "characters": [{"age": 30, "sex": "male"}]}
            for n in range(4)
        ]
        write(root, f"real_json_files/{language}.json", {"language": language, "videos": described})
    return {}


def talkingheadbench(root: Path) -> dict:
    faceforensics(root / "faceforensics")
    drivers = {"Train": "-aTrain_1", "Val": "bVal_2", "Test": "cTest_3"}
    for split, driver in drivers.items():
        folder = f"fake/Hallo2/{split.lower()}"
        touch(root, f"celebvhq/{driver}.mp4", f"{folder}/00198--{driver.lstrip('-')}--Hallo2.mp4")
    touch(root, "fake/additional_dataset/MAGI-1/12.mp4", "fake/additional_dataset/Hallo3/3-cTest_3.mp4")
    reals = {"Train": "071", "Val": "720", "Test": "953"}
    blocks = {s: {"FaceForensics++": [f"{reals[s]}.mp4"], "CelebV-HQ": [f"{drivers[s]}.mp4"]} for s in drivers}
    write(root, "real/real_dataset_split_official_ff++.json", blocks)
    return {"originals": str(root / "faceforensics"), "celebvhq": str(root / "celebvhq")}


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
    "df40": df40,
    "wilddeepfake": wilddeepfake,
    "ffiw": ffiw,
    "deepfake_eval_2024": deepfake_eval,
    "fakeavceleb": fakeavceleb,
    "deepspeak_v1": deepspeak_v1,
    "deepspeak_v2": deepspeak_v2,
    "av_deepfake1m": av_deepfake1m,
    "lav_df": lav_df,
    "kodf": kodf,
    "dfdm": dfdm,
    "idforge": idforge,
    "polyglotfake": polyglotfake,
    "talkingheadbench": talkingheadbench,
    "folder": folder,
}
"""Makes the tree of each adapter; returns the options that the adapter needs."""
