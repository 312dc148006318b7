"""``fusion-dfd serve`` with detectors that do what a test says, in processes as real as the real ones.

python tests/support/scripted_server.py serve --checkpoint=usual ... A detector's digest is that of its run's name; the
one called ``strict`` calls everything fake, the others real. Scoring takes ``SCRIPTED_SECONDS``, and every video that
was scored adds a line to the file ``SCRIPTED_LOG``. A video that holds CRASH kills its worker.
"""

import functools
import hashlib
import os
import pathlib
import signal
import time

from fusion_dfd import cli
from fusion_dfd.predict.verdict import Verdict
from fusion_dfd.serve import server, worker
from fusion_dfd.serve.scoring import ModelFacts
from fusion_dfd.serve.workers import Workers

STEPS = 10


def score(name: str, path: str, directory: str, told) -> tuple[Verdict, str]:
    content = pathlib.Path(path).read_bytes()
    for step in range(STEPS):
        told(path, step + 1, STEPS)
        time.sleep(float(os.environ["SCRIPTED_SECONDS"]) / STEPS)
    if b"CRASH" in content:
        os.kill(os.getpid(), signal.SIGKILL)
    with open(os.environ["SCRIPTED_LOG"], "a") as file:
        file.write(f"{hashlib.sha256(content).hexdigest()} {name} {os.getpid()}\n")
    page = os.path.join(directory, "page.html")
    pathlib.Path(page).write_text("<p>report")
    fake = name == "strict"
    return Verdict(path, "fake" if fake else "real", 0.9 if fake else 0.1, (), None, 1.0), page


def detectors(plan: worker.Plan) -> list[worker.Detector]:
    return [
        worker.Detector(
            ModelFacts(name, hashlib.sha256(run.encode()).hexdigest(), run, "0", "fusion", 0.5, None, (), ("Said.",)),
            functools.partial(score, name),
        )
        for name, run in plan.detectors
    ]


def main(plan: worker.Plan, name: str, told) -> None:
    worker.main(plan, name, told, detectors)


if __name__ == "__main__":
    server.Workers = functools.partial(Workers, main=main)
    cli.main()
