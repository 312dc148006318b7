"""A server at twice the load that it can bear, with a bad file every second: is a job lost or doubled?

python benchmarks/soak.py RUN [--minutes 5] [--workers 2] [--seconds 8] [--kill]

Rendered videos of ``--seconds``, each another one, are scored one by one first: that rate is what the workers bear.
Then they are sent twice as fast. With ``--kill``, a worker is killed after a third of the time, the server at a half.
A refusal because the queue is full (503) is counted and is no loss: the job was never accepted. One line of JSON.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import numpy as np

from fusion_dfd.config import Synthetic
from fusion_dfd.synthetic import take

PROGRAM = [sys.executable, "-c", "from fusion_dfd import cli; cli.main()", "serve"]
PROBES = 3
"""Videos whose scoring says what load is borne."""
RATE = 25
QUEUE = 20


class Service:
    """A server process on one folder, which may be killed and started again."""

    def __init__(self, program: list[str], run: str, folder: str, workers: int):
        flags = [f"--checkpoint={run}", "--port=0", f"--data={folder}/data", f"--workers={workers}", f"--queue={QUEUE}"]
        self._command = [*program, *flags, "--keep_minutes=10000", "--keep_most=1000000"]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().split()[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)

    def ask(self, path: str, body: bytes | None = None) -> tuple[int, dict]:
        """Status and answer; status 0 where nobody answers."""
        request = urllib.request.Request(self.address + path, body, {"Content-Type": "video/mp4"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, {}
        except OSError:
            return 0, {}

    def metric(self, name: str) -> list[float]:
        try:
            with urllib.request.urlopen(f"{self.address}metrics", timeout=60) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return []
        return [float(line.split()[-1]) for line in lines if line.startswith(name)]

    def a_worker(self) -> int:
        """Process id of one."""
        threads = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [pid for thread in threads for pid in thread.read_text().split()]
        return next(int(pid) for pid in children if b"spawn_main" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())


def video(folder: str, seconds: float) -> bytes:
    path = os.path.join(folder, "rendered.mp4")
    take.shoot(take.RenderTask(Synthetic(frames=round(seconds * RATE)), 0, 1, {take.ORIGINAL: path}))
    return pathlib.Path(path).read_bytes()


def probe(service: Service, clip: bytes) -> float:
    """Seconds of scoring a video."""
    took = []
    for number in range(PROBES):
        _, job = service.ask("api/jobs", clip + f"probe {number}".encode())
        while job["state"] not in ("done", "failed"):
            time.sleep(0.2)
            _, job = service.ask(f"api/jobs/{job['id']}")
        took.append(_between(job, "started", "finished"))
    return float(np.median(took))


def soak(service: Service, clip: bytes, every: float, minutes: float, kill: bool) -> dict:
    """Send a new video ``every`` seconds and a bad file each second, then wait for the end of the last job."""
    begun, accepted, answered, memory = time.monotonic(), [], collections.Counter(), []
    sending, lock = [], threading.Lock()
    end = begun + minutes * 60
    kills = [(begun + minutes * 20, "worker"), (begun + minutes * 30, "server")] if kill else []

    def send(body: bytes, kind: str) -> None:
        start = time.monotonic()
        status, job = service.ask("api/jobs", body)
        with lock:
            answered[f"{kind} {status}"] += 1
            if status == 201:
                accepted.append((job["id"], time.monotonic() - start))

    def post(body: bytes, kind: str) -> None:
        sending.append(threading.Thread(target=send, args=(body, kind)))
        sending[-1].start()

    next_good = next_bad = begun
    number = 0
    while (now := time.monotonic()) < end:
        if now >= next_good:
            number += 1
            post(clip + f"video {number}".encode(), "video")
            next_good += every
        if now >= next_bad:
            post(b"no video at all " * 64, "bad")
            next_bad += 1
            memory.append(sum(service.metric("fusion_dfd_worker_memory_bytes{")))
        if kills and now >= kills[0][0]:
            if kills.pop(0)[1] == "worker":
                os.kill(service.a_worker(), signal.SIGKILL)
            else:
                service.kill()
                service.start()
        time.sleep(0.05)
    for thread in sending:
        thread.join()
    sent = time.monotonic() - begun
    found = [_ended(service, one) for one, _ in accepted]
    rows, before = [], None
    while True:
        _, page = service.ask(f"api/jobs?limit=1000{'' if before is None else f'&before={before}'}")
        rows += page["jobs"]
        if (before := page["next"]) is None:
            break
    files = collections.Counter(row["sha256"] for row in rows)
    waits = [job["finished_after"] for job in found if job]
    third = max(1, len(memory) // 3)
    return {
        "minutes": round(sent / 60, 2),
        "answers": dict(sorted(answered.items())),
        "accepted": len(accepted),
        "done": sum(bool(job) and job["state"] == "done" for job in found),
        "lost": sum(job is None for job in found),
        "doubled": sum(count - 1 for count in files.values()),
        "seconds_to_accept": _percentiles([took for _, took in accepted]),
        "seconds_to_verdict": _percentiles(waits),
        "worker_megabytes": [round(float(np.median(part)) / 1e6) for part in (memory[:third], memory[-third:])],
    }


def _ended(service: Service, job_id: str) -> dict | None:
    """A job once it has ended, None if it is lost."""
    while True:
        status, job = service.ask(f"api/jobs/{job_id}")
        if status == 404:
            return None
        if status == 200 and job["finished"]:
            return job | {"finished_after": _between(job, "accepted", "finished")}
        time.sleep(0.5)


def _between(job: dict, first: str, last: str) -> float:
    """Seconds between two times of a job."""
    begun, ended = (datetime.datetime.fromisoformat(job[name]) for name in (first, last))
    return (ended - begun).total_seconds()


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(seconds, q)), 2) for q in (50, 95, 99)} if seconds else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8, help="length of a video")
    parser.add_argument("--kill", action="store_true", help="kill a worker and the server on the way")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = video(folder, given.seconds)
        service = Service(PROGRAM, given.run, folder, given.workers)
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: service.end())
            took = probe(service, clip)
            found = soak(service, clip, took / given.workers / 2, given.minutes, given.kill)
            print(json.dumps({"seconds_per_video": round(took, 2), "workers": given.workers, **found}))


if __name__ == "__main__":
    main()
