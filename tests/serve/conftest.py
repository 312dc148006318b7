"""A server's parts with a score that does what a test says, and a tiny run (``barcodes``: of tests/faces)."""

import dataclasses
import os
import pathlib
import threading
import time
from collections.abc import Callable

import pytest
from barcodes import barcode, write

from fusion_dfd import config as c
from fusion_dfd.predict.verdict import Face, Verdict
from fusion_dfd.serve.scoring import ModelFacts

FACE = Face(0, "fake", 0.9, {"micro": 0.8}, 4, 48, 120.0, None, ((0, 0.1), (1, 0.95)))


class Clock:
    """Tells the time that a test sets, in seconds."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Scripted:
    """A score of ten windows. ``held``: it waits after each until :meth:`step` lets it go on."""

    def __init__(self):
        self.held = False
        self.error: Callable[[str], Exception] | None = None
        self.page: str | None = None
        self.verdict = Verdict("", "fake", 0.9, (FACE,), None, 2.0)
        self.seen: list[bytes] = []
        self._steps = threading.Semaphore(0)

    def step(self, count: int = 1) -> None:
        self._steps.release(count)

    def __call__(self, path, directory, told):
        self.seen.append(pathlib.Path(path).read_bytes())
        for window in range(10):
            told(path, window + 1, 10)
            if self.held:
                assert self._steps.acquire(timeout=60)
        if self.error:
            raise self.error(path)
        page = None
        if self.page is not None:
            page = str(pathlib.Path(directory, "page.html"))
            pathlib.Path(page).write_text(self.page.format(path, os.path.basename(path)))
        return dataclasses.replace(self.verdict, path=path, reason=f"{path}: a reason"), page


@pytest.fixture
def score() -> Scripted:
    return Scripted()


@pytest.fixture(scope="session")
def facts() -> ModelFacts:
    digest = "0123456789abcdef" * 4
    notices = ("A score is evidence, not proof.",)
    return ModelFacts("tiny", digest, "tiny", "0", "fusion", 0.5, (0.4, 0.6), ("sample/c23",), notices)


@pytest.fixture(scope="session")
def eventually():
    """``eventually(ask)``: the first truthy answer."""

    def wait(ask):
        end = time.monotonic() + 60
        while not (answer := ask()):
            assert time.monotonic() < end, "never came true"
            time.sleep(0.01)
        return answer

    return wait


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> pathlib.Path:
    """The system's folder for temporary files, of this test alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def stored(temporary):
    """What servers of this test have stored of videos at the moment: files."""
    return lambda: [
        path
        for folder in ("incoming", "jobs")
        for path in temporary.rglob(f"fusion_dfd_serve_*/{folder}/**/*")
        if path.is_file()
    ]


@pytest.fixture(scope="session")
def video(tmp_path_factory):
    """``video(frames)``: a file of 25 frames a second, without a face."""
    folder = tmp_path_factory.mktemp("videos")
    return lambda frames: pathlib.Path(write(folder / f"{frames}.mp4", map(barcode, range(frames)))).read_bytes()


@pytest.fixture(scope="session")
def clip(video) -> bytes:
    return video(50)


@pytest.fixture(scope="session")
def config() -> c.Config:
    return c.Config(
        faces=c.Faces(every=10, size=32, clip_length=10, clips=1),
        data=c.Data(frames=5, size=32),
        model=c.Model(
            branches=("spatial", "temporal"),
            backbone=c.Backbone("resnet18", width=4, stages=1),
            recurrent=(4,),
            dense=(4,),
            head=(4,),
            token=4,
        ),
    ).validate()


@pytest.fixture(scope="session")
def run(config, tmp_path_factory) -> str:
    """A run folder of fresh weights that says it was trained on the synthetic data."""
    import jax

    from fusion_dfd.runs.run import Run
    from fusion_dfd.training import checkpoint, state

    folder = str(tmp_path_factory.mktemp("runs") / "tiny")
    params, stats = jax.jit(lambda: state.variables(config.model, 0))()
    checkpoints = checkpoint.Checkpoints(folder, config)
    checkpoints.save_best(state.TrainState(1, params, stats, (), {"params": params, "stats": stats}), {})
    checkpoints.close()
    part = {"sets": ["sample/c23"], "methods": [], "groups": []}
    Run(folder).save_training_data({"train": part, "val": part, "excluded": []})
    return folder
