"""Memory of one ``predict`` over thousands of videos: what the process holds after 200 of them and after the last.

    python benchmarks/bulk.py --run RUN [--clips 2000] [VIDEO ...]

From the videos (without any, ten of rendered faces), clips are cut that are all different: FRAMES frames from another
place each, HEIGHT pixels high, H.264. ``fusion-dfd predict FOLDER --out results.jsonl`` scores them in one process, and
is killed once on the way, after three tenths, and started again. Its resident memory is read from /proc while it runs.
The second process scores seven tenths of the clips, and its memory is compared after 200 of its own and at the end.
Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import cv2
import memory

from fusion_dfd import config
from fusion_dfd.faces import recode
from fusion_dfd.faces.video import Decoder, probe
from fusion_dfd.synthetic import generate

FRAMES, HEIGHT = 12, 96
PROGRAM = [sys.executable, "-c", "from fusion_dfd.cli import main; main()", "predict"]


def rendered(folder: str) -> list[str]:
    """The videos of one pair of persons."""
    generate.generate(folder, config.Synthetic(0, (1, 0, 0), 100))
    return sorted(map(str, pathlib.Path(folder).rglob("*.mp4")))


def cut(folder: pathlib.Path, videos: list[str], count: int) -> None:
    """Make ``count`` clips, a like number of each video."""
    made = 0
    for position, video in enumerate(videos):
        wanted = count // len(videos) + (position < count % len(videos))
        last = min(probe(video).frames, 400)
        step = max((last - FRAMES) // wanted, 1)
        pictures = {}
        for index, picture in Decoder(video, range(last)):
            frame = picture.rgb()
            width = round(frame.shape[1] * HEIGHT / frame.shape[0] / 2) * 2
            pictures[index] = cv2.resize(frame, (width, HEIGHT), interpolation=cv2.INTER_AREA)
        for k in range(wanted):
            start = k * step % (last - FRAMES)
            crf = 20 + k * step // (last - FRAMES)  # a place that comes again is compressed otherwise
            shown = [pictures[index] for index in range(start, start + FRAMES) if index in pictures]
            recode.write(str(folder / f"{made:05}.mp4"), shown, 25, crf)
            made += 1


def lines(path: pathlib.Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def watch(command: list[str], out: pathlib.Path, marks: list[int], end: int | None) -> dict[int, int]:
    """Bytes that the process holds once ``out`` has as many lines as each of the marks; killed at ``end`` lines."""
    held = {}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        count = lines(out)
        for mark in marks:
            if count >= mark and mark not in held:
                held[mark] = memory.resident(process=process.pid)
        if end and count >= end:
            process.kill()
            process.wait()
            return held
        time.sleep(0.05)
    assert process.returncode in (0, 10, 11), process.returncode
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--clips", type=int, default=2000)
    parser.add_argument("videos", nargs="*")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name, "clips")
        folder.mkdir()
        cut(folder, given.videos or rendered(f"{name}/rendered"), given.clips)
        out = pathlib.Path(name, "results.jsonl")
        command = [*PROGRAM, str(folder), "--checkpoint", given.run, "--out", str(out)]
        killed = 3 * given.clips // 10
        watch(command, out, [], killed)
        before, begun = lines(out), time.monotonic()
        marks = [before + 200, (before + given.clips) // 2, given.clips - 1]
        held = watch(command, out, marks, None)
        took = time.monotonic() - begun
        verdicts = [json.loads(line) for line in out.read_text().splitlines()]
        scored = [verdict["path"] for verdict in verdicts]
        assert len(set(scored)) == len(scored) == given.clips, "lost or doubled"
        found = {
            "clips": given.clips,
            "clip megabytes": round(sum(path.stat().st_size for path in folder.iterdir()) / 1e6, 1),
            "killed after": before,
            "resident MiB after clips": {str(mark - before): round(held[mark] / 2**20, 1) for mark in held},
            "clips per s": round((given.clips - before) / took, 1),
            "results megabytes": round(out.stat().st_size / 1e6, 1),
            "page kilobytes": round(os.path.getsize(out.with_suffix(".html")) / 1e3),
            "with a face": sum(verdict["verdict"] != "none" for verdict in verdicts),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
