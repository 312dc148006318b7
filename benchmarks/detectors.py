"""Faces found in pictures that show one each, and processor time per picture, for every detector; one JSON line.

    JAX_PLATFORMS=cpu python benchmarks/detectors.py [--media FOLDER] [--weights FILE]

``media`` is a folder with ``faces.csv`` (column ``file``) and the pictures; without it, synthetic faces.
``weights`` is a file of RetinaFace's weights, which otherwise is left out. Each picture is scaled to 256 pixels a side.
Ratios within one run can be trusted, times of different runs cannot.
"""

import argparse
import csv
import json
import pathlib
import tempfile
import time

import cv2
import numpy as np

from fusion_dfd import config
from fusion_dfd.faces import detector
from fusion_dfd.synthetic import generate

SIDE = 256
PAIRS = 8
THRESHOLD = 0.9


def pictures(media: pathlib.Path) -> np.ndarray:
    """uint8 [n, SIDE, SIDE, 3], RGB, black where a picture is not square."""
    with open(media / "faces.csv", newline="") as file:
        names = [row["file"] for row in csv.DictReader(file)]
    frames = np.zeros((len(names), SIDE, SIDE, 3), np.uint8)
    for frame, name in zip(frames, names, strict=True):
        picture = cv2.imread(str(media / name), cv2.IMREAD_COLOR_RGB)
        scale = SIDE / max(picture.shape[:2])
        size = [max(1, round(side * scale)) for side in picture.shape[1::-1]]
        frame[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return frames


def rendered(pairs: int) -> np.ndarray:
    """The first picture of every video of so many pairs of persons, uint8 [n, SIDE, SIDE, 3], RGB."""
    with tempfile.TemporaryDirectory() as folder:
        generate.generate(folder, config.Synthetic(0, (pairs, 0, 0), 2, SIDE))
        paths = sorted(map(str, pathlib.Path(folder).rglob("*.mp4")))
        return np.stack([cv2.cvtColor(cv2.VideoCapture(path).read()[1], cv2.COLOR_BGR2RGB) for path in paths])


def measure(options: config.Faces, frames: np.ndarray) -> dict:
    finder = detector.build(options)
    finder.detect(frames[:8])  # compiles
    start = time.process_time()
    found = finder.detect(frames)
    spent = time.process_time() - start
    counts = [int((faces.scores >= THRESHOLD).sum()) for faces in found]
    return {
        "detector": detector.identity(options),
        "none": counts.count(0),
        "one": counts.count(1),
        "several": sum(count > 1 for count in counts),
        "ms_per_picture": round(1000 * spent / len(frames), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--media", type=pathlib.Path)
    parser.add_argument("--weights")
    given = parser.parse_args()
    frames = pictures(given.media) if given.media else rendered(PAIRS)
    asked = [config.Faces(min_size=24)]
    if given.weights:
        asked.append(config.Faces(min_size=24, detector="retinaface", weights=given.weights))
    print(json.dumps({"pictures": len(frames), "detectors": [measure(options, frames) for options in asked]}))


if __name__ == "__main__":
    main()
