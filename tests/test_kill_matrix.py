"""Every verb that works for long, killed while it writes, renames, or does neither: in the end all is as without kills.

A case is killed three times, at the first, the middle and the last moment of its kind that an uninterrupted run passes,
each time by the same command, which then runs to its end (:mod:`killed`). Folders have the same paths in all runs,
because files hold them.
"""

import dataclasses
import functools
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import barcodes
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import synthetic_tracks
from waiting import PATIENCE, until

from fusion_dfd import config as c
from fusion_dfd.training import checkpoint

ROOT = pathlib.Path(__file__).parents[1]
TIMES = {"time", "windows_per_second"}
"""Fields of the log that no two runs have in common."""
CONFIG = """
from fusion_dfd import config as c


def get_config(_=""):
    return c.from_json({!r})
"""
MINUTE = rb"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
"""On pages."""
SPACE = """
from fusion_dfd.runs.search_space import Float


def get_space():
    return {"optim.lr": Float(1e-3, 1e-1, log=True)}
"""


@dataclasses.dataclass(frozen=True)
class Verb:
    """What is killed."""

    words: tuple[str, ...]
    """After the verb; ``{root}`` is the folder that is compared, ``{inputs}`` holds what is read."""
    idle: tuple[str, ...]
    """Moments between two writes."""


STEP, SAVE = "call fusion_dfd.training.loop:_Loop._flush", "call fusion_dfd.training.loop:_Loop._save"
VERBS = {
    "prepare": Verb(
        ("--dataset=folder", "--root={inputs}/videos.csv", "--out={root}", "--workers=0"),
        tuple(f"call fusion_dfd.shards.shard_writer:_clips {number}" for number in (1, 8, 5)),
    ),
    "train": Verb(
        ("--config={inputs}/train.py",), (f"{STEP} 2", f"{STEP} 5", "call fusion_dfd.runs.references:learn_all 1")
    ),
    "tune": Verb(
        ("--config={inputs}/tune.py", "--space={inputs}/space.py", "--trials=3", "--sampler=random"),
        (f"{SAVE} 1", "call os:rmdir 3", "call fusion_dfd.runs.search_page:write 1"),
    ),
    "ablate": Verb(
        ("--config={inputs}/ablate.py", "--grid=optim.lr=0.01,0.003"),
        (f"{STEP} 2", "call fusion_dfd.training.cost:measure 1", "call fusion_dfd.runs.evaluation:summarise 1"),
    ),
    "robustness": Verb(
        ("--checkpoint={inputs}/run", "--data={shards}", "--frames=crops", "--only=blur", "--out={root}"),
        tuple(f"call fusion_dfd.runs.robustness:score_split {number}" for number in (1, 3, 4)),
    ),
    "export": Verb(
        ("--checkpoint={inputs}/run", "--out={root}"),
        tuple(f"call fusion_dfd.export.{name} 1" for name in ("runtime:stablehlo", "runtime:onnx", "bundle:_facts")),
    ),
}


class Program:
    """``fusion-dfd`` in processes of their own, one at a time."""

    def __init__(self, folder: pathlib.Path):
        self.said, self._trace = folder / "said", folder / "trace"
        paths = [str(ROOT), str(ROOT / "tests" / "support"), os.environ.get("PYTHONPATH", "")]
        single = dict.fromkeys(("JAX_NUM_CPU_DEVICES", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.scored = folder / "scored"
        scripted = {"SCRIPTED_SECONDS": "0.5", "SCRIPTED_LOG": str(self.scored)}
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "support" / "killed.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | single | scripted | {"PYTHONPATH": os.pathsep.join(paths)},
        )

    def close(self) -> None:
        self._process.communicate()

    def start(self, words: list[str], root: pathlib.Path, moment: str | None = None) -> int:
        """Its process id. With a ``moment`` it dies then."""
        self._trace.unlink(missing_ok=True)
        paths = {"root": str(root), "said": str(self.said), "trace": str(self._trace)}
        print(json.dumps({"words": words, "moment": moment, **paths}), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def end(self, code: int) -> list[str]:
        """Wait for the end, which is as expected; the moments that it passed."""
        found = int(self._process.stdout.readline())
        assert found == code, self.said.read_text()
        return self._trace.read_text().splitlines()

    def run(self, words: list[str], root: pathlib.Path, moment: str | None = None) -> list[str]:
        self.start(words, root, moment)
        return self.end(-signal.SIGKILL if moment else 0)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    made = Program(tmp_path_factory.mktemp("program"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory, configured, shards):
    """A folder with what the verbs read in ``inputs``."""
    base = tmp_path_factory.mktemp("base")
    inputs = base / "inputs"
    inputs.mkdir()
    for name, steps in (("train", 4), ("tune", 2), ("ablate", 2)):
        tiny = configured(base / name)
        tiny.train.steps, tiny.train.eval_every = steps, steps // 2
        (inputs / f"{name}.py").write_text(CONFIG.format(c.to_json(tiny)))
    (inputs / "space.py").write_text(SPACE)
    columns = ("path", "label", "group", "method", "split", "id")
    rows = [[str(getattr(one, column)) for column in columns] for one in synthetic_tracks.videos(inputs / "videos")]
    (inputs / "videos.csv").write_text("".join(",".join(row) + "\n" for row in [columns, *rows]))
    return base


@pytest.fixture(scope="module")
def uninterrupted(program, base, shards):
    """``uninterrupted(verb)``: its command, the folder, what it holds in the end, and the moments that were passed."""

    @functools.cache
    def run(verb: str) -> tuple[list[str], pathlib.Path, dict[str, object], list[str]]:
        if verb in ("robustness", "export") and not (base / "inputs" / "run").exists():
            words, trained, _, _ = run("train")
            program.run(words, trained)
            shutil.copytree(trained, base / "inputs" / "run")
        root = base / verb
        words = [verb, *(word.format(root=root, inputs=base / "inputs", shards=shards) for word in VERBS[verb].words)]
        passed = program.run(words, root)
        found = content(root)
        shutil.rmtree(root)
        return words, root, found, passed

    return run


def content(root: pathlib.Path) -> dict[str, object]:
    """What a folder holds, by path, without what no two runs have in common."""
    found: dict[str, object] = {}
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        name = str(path.relative_to(root))
        if step := re.match(rf"(.*{checkpoint.FOLDER})/(\w+)/(\d+)/", name):
            above, kind, number = step.groups()
            if step[0] not in found:
                found[step[0]] = saved(root / step[0])
                assert not checkpoint._changed(str(root / above[: -len(checkpoint.FOLDER)]), kind, int(number))
        elif name.endswith(checkpoint.DIGESTS):
            found[name] = "compared above"
        elif path.name == "log.jsonl":
            rows = map(json.loads, path.read_text().splitlines())
            found[name] = [{key: value for key, value in row.items() if key not in TIMES} for row in rows]
        elif path.name not in (".lock", "study.db") and "/tensorboard/" not in f"/{name}":
            found[name] = re.sub(MINUTE, b"", path.read_bytes())
    return found


def saved(folder: pathlib.Path) -> dict[str, bytes]:
    """The arrays of a checkpoint, and the JSON beside them."""
    with ocp.PyTreeCheckpointer() as reader:
        kinds = reader.metadata(folder / "state").item_metadata.tree
        plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), kinds)
        tree = reader.restore(folder / "state", restore_args=plain)
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves} | {
        "meta": (folder / "meta" / "metadata").read_bytes()
    }


def chosen(verb: str, kind: str, passed: list[str]) -> tuple[str, ...]:
    """Moments to be killed at."""
    if kind == "idle":
        return VERBS[verb].idle
    if kind == "write":
        moments = [moment for moment in passed if moment.startswith("write ")]
        return moments[0], moments[len(moments) // 2], moments[-1]
    before, after = ([moment for moment in passed if moment.startswith(when)] for when in ("before ", "after "))
    return after[0], before[len(before) // 2], after[-1]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["write", "rename", "idle"])
@pytest.mark.parametrize("verb", VERBS)
def test_killed_and_continued_equals_uninterrupted(program, uninterrupted, verb, kind):
    words, root, wanted, passed = uninterrupted(verb)
    for moment in chosen(verb, kind, passed):
        program.run(words, root, moment)
    program.run(words, root)
    found = content(root)
    shutil.rmtree(root)
    assert sorted(found) == sorted(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []


SERVER = {
    "write": ("write name.0.partial", "write incoming/UPLOAD"),
    "rename": ("before jobs/JOB", "after jobs/JOB", "call fusion_dfd.serve.telemetry:Telemetry.accepted 1"),
    "idle": (None, None),
}
"""Moments to be killed at; the last one of "rename" is that between a job's row and the answer. The two of "idle" are
chosen by the test: while a video is scored, and when nothing is left to do."""


def ask(address: str, path: str, body: bytes | None = None) -> dict | None:
    """The answer; None from a server that is killed meanwhile."""
    request = urllib.request.Request(address + path, body, {"Content-Type": "video/mp4"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        raise
    except (ConnectionError, http.client.HTTPException, urllib.error.URLError):
        return None


@pytest.mark.extras
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", SERVER)
def test_a_killed_server_loses_no_job_and_doubles_none(program, tmp_path, kind):
    pytest.importorskip("fastapi", reason="the extra app is not installed")
    pytest.importorskip("httpcore2", reason="the extra app is not installed")
    root = tmp_path / "data"
    words = ["serve", "--checkpoint=usual", "--port=0", f"--data={root}"]
    barcodes.write(tmp_path / "clip.mp4", map(barcodes.barcode, range(10)))
    clips = [(tmp_path / "clip.mp4").read_bytes() + bytes([number]) * 8 for number in range(3)]
    program.scored.write_text("")
    accepted: dict[bytes, str] = {}

    def start(moment: str | None = None) -> tuple[int, str | None]:
        """Process id and address; no address if it dies before it has one."""
        program.said.write_text("")
        pid = program.start(words, root, moment)
        alive = pathlib.Path(f"/proc/{pid}").exists
        found = until(lambda: re.findall(r"^http://\S+", program.said.read_text(), re.MULTILINE) or not alive())
        return pid, found[0] if isinstance(found, list) else None

    def send(address: str, clip: bytes) -> bool:
        if answer := ask(address, "api/jobs?name=clip.mp4", clip):
            assert accepted.setdefault(clip, answer["id"]) == answer["id"]
        return answer is not None

    def finish(address: str) -> None:
        jobs = [f"api/jobs/{number}" for number in accepted.values()]
        until(lambda: all(ask(address, job)["state"] == "done" for job in jobs))

    for count, moment in enumerate(SERVER[kind]):
        pid, address = start(moment)
        if moment is None:
            assert send(address, clips[count])
            if count:
                finish(address)
            os.kill(pid, signal.SIGKILL)
        elif address:
            assert not all(send(address, clip) for clip in clips)
        program.end(-signal.SIGKILL)

    pid, address = start()
    assert all(send(address, clip) for clip in clips)
    finish(address)
    assert sorted(job["id"] for job in ask(address, "api/jobs")["jobs"]) == sorted(accepted.values())
    os.kill(pid, signal.SIGINT)
    program.end(0)
    scored = {line.split()[0] for line in program.scored.read_text().splitlines()}
    assert scored == {hashlib.sha256(clip).hexdigest() for clip in clips}
    assert list((root / "incoming").iterdir()) == list(root.rglob("*.partial")) == []
    assert {path.name for path in (root / "jobs").iterdir()} == set(accepted.values())
