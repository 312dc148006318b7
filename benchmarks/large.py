"""Sets of the size of the largest: seconds of processor time and memory, nothing decoded.

    python benchmarks/large.py [--videos 900000] [--rows 50000]

Planned is a list of videos whose files do not exist, so that what is measured is the plan and not the file system: the
leak audit, the assignment to shards, and the fingerprints. Summarised is a table of scores, one row a video, with 1000
resamples behind every interval. Each measurement has a process of its own; memory is the most it held, less what it
held when the package was imported (getrusage).
"""

import argparse
import json
import multiprocessing
import resource
import time

import numpy as np

from fusion_dfd import config
from fusion_dfd.datasets import splits
from fusion_dfd.evaluation.summary import summarise
from fusion_dfd.faces import detector
from fusion_dfd.shards import plan
from fusion_dfd.types import ORIGINAL, Score, Video

PERSON = 30
"""Videos that show one person."""


def video(number: int) -> Video:
    """A real video and its three forgeries in turn, in the naming of AV-Deepfake1M++."""
    person, take, kind = number // PERSON, number // 4, number % 4
    name = f"vox_celeb_2/id{person:05d}/{take:07d}/{('real', 'both', 'visual', 'audio')[kind]}"
    split = "train" if person % 10 < 8 else "val" if person % 10 == 8 else "test"
    method = f"method{kind}" if kind else ORIGINAL
    source = f"vox_celeb_2/id{person:05d}/{take:07d}/real"
    return Video(name, f"/sets/{name}.mp4", int(kind > 0), "large", method, "", split, f"id{person:05d}", source)


def planned(count: int) -> dict:
    detector.identity = lambda faces: "none"  # it is not needed to plan
    before = peak()
    listed, list_seconds = timed(lambda: [video(number) for number in range(count)])
    of_list = peak() - before
    _, audit = timed(lambda: splits.audit(listed))
    made, whole = timed(lambda: plan.make(listed, "/out", config.Faces(), "large"))
    return {
        "what": f"{count:,} videos planned",
        "seconds": round(list_seconds + whole, 1),
        "of them leak audit": round(audit, 1),
        "peak MB": round(peak() - before),
        "of them the list": round(of_list),
        "shards": len(made.shards),
    }


def summarised(count: int) -> dict:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        one = video(number)
        logit = float(rng.normal(2.0 * one.label - 1.0))
        rows.append(Score(one.key, 0, 0, one.dataset, one.method, "", one.group, one.label, logit))
    before = peak()
    made, seconds = timed(lambda: summarise(rows, bootstrap=1000))
    assert made["units"]["video"]["overall"]["counts"]["rows"] == count
    return {"what": f"{count:,} rows summarised", "seconds": round(seconds, 1), "peak MB": round(peak() - before)}


def timed(work):
    begun = time.process_time()
    return work(), time.process_time() - begun


def peak() -> float:
    """Most memory that this process held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=900_000)
    parser.add_argument("--rows", type=int, default=50_000)
    given = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found = []
    for work, count in ((planned, given.videos), (summarised, given.rows)):
        with context.Pool(1) as pool:
            found.append(pool.apply(work, (count,)))
    print(json.dumps({"large sets": found}))


if __name__ == "__main__":
    main()
