"""A reader's afternoon: every command of the tutorial, then of all other pages, typed in one folder, in order.

The configurations are small ones of the same names (``stage.py``). Only in the environment of ``make test-docs``, for
it takes minutes; commands of ``make`` are what CI itself consists of.
"""

import glob
import os
import pathlib
import subprocess
import sys

import pytest
from stage import lay_out
from written import PAGES, ROOT, blocks, commands, is_mention

pytestmark = pytest.mark.docs

pytest.importorskip("myst_nb", reason="the docs are walked through by make test-docs")

ELSEWHERE = {
    "import-keras": "tests/parity/test_imported.py, which has Keras",
    "onnx:FILE": "tests/peers/test_score_libraries.py, which writes one",
    "audit --protocol": "tests/runs/test_protocol_lists.py, which has trees of the data sets",
    "I/N": "tests/commands/test_prepare.py",
    "--process": "tests/training/test_distributed.py",
    "fusion-dfd serve": "tests/serve, which has FastAPI",
    "fusion-dfd key": "tests/serve, which has FastAPI",
    "fusion-dfd forge": "tests/forge/test_videos.py, which has faces with a mesh",
    "fusion-dfd stills": "tests/synthetic/test_stills.py, which has photographs",
    "selfforged.py": "tests/runs/test_experiment_selfforged.py, which has faces with a mesh",
    "gend.py:clip": "tests/runs/test_experiment_gend.py, which has thin encoders",
}
"""Commands that want what a reader has and this folder has not, and who runs them."""
PLACEHOLDERS = {
    "data SHARDS": "data shards",
    "dir=SHARDS": "dir=shards",
    "root DIR_ZIP_OR_CSV": "root {sample}",
    "root DIR": "root {sample}",
    "root REAL": "root videos",
    "root videos.csv": "root videos",
    "out SHARDS": "out out/{number}",
    "out CHECK": "out out/{number}",
    "A.csv": "runs/fusion/report/scores.csv",
    "B.csv": "runs/micro/report/scores.csv",
    "C.csv": "runs/slow/report/scores.csv",
    # The tutorial's own run was evaluated on other videos than `score` is asked about here.
    "rescore runs/fusion/report peers": "evaluate --checkpoint runs/fusion --data shards --out own; "
    "fusion-dfd rescore own peers",
    "rescore FILE": "rescore runs/fusion/report/scores.csv",
    "checkpoint RUN": "checkpoint runs/fusion",
    "verify RECORD VIDEO": "predict clip.mp4 --checkpoint runs/fusion --json > v.json; fusion-dfd verify v.json *.mp4",
    "checkpoint runs/selfforged": "checkpoint runs/fusion",
    "data DIR": "data shards",
    "name NAME": "name in_dataset",
    "VIDEO_OR_FOLDER": "{sample}/original_sequences",
    " SECRET ": " salt ",
    " ...": "",
    "--trials 20": "--trials 2",
    "train.steps=300": "train.steps=4",
    "train.steps=200 --config.train.eval_every=50": "train.steps=4",
    " --config.train.steps=60 --config.train.eval_every=20": "",
    "--pairs 8,3,3": "--pairs 4,2,2 --frames 24 --size 96",
    "synthetic.frames=250": "synthetic.frames=60",
    "pairs=16,6,8 --config.faces.clip_length=240": "pairs=2,2,2",
    "train.steps=400 --config.train.eval_every=200": "train.steps=4",
    "--size 80 --clip_length 48": "--size 48 --clip_length 12",
}
FINE = {"predict": {0, 10, 11}}
"""Exit codes of success, by a word of the command: a verdict is one."""


def in_order() -> list[str]:
    tutorial = ROOT / "docs" / "TUTORIAL.md"
    found = [one for page in (tutorial, *PAGES) for one in commands(page)]
    typed = [one for one in dict.fromkeys(found) if not one.startswith("make ") and not is_mention(one)]
    return [one for one in typed if not any(word in one for word in ELSEWHERE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    made = tmp_path_factory.mktemp("reader")
    lay_out(made)
    for command in blocks(ROOT / "docs" / "PREDICT.md", "")[2].splitlines()[1:]:  # those that make keys
        subprocess.run(command.split(), cwd=made, check=True)
    return made


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    paths = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    # A reader's CPU is one device. Compiled programs are those that the other tests keep.
    return os.environ | {"PATH": paths, "COLUMNS": "80", "JAX_NUM_CPU_DEVICES": "1"}


def lay_clip(folder: pathlib.Path) -> None:
    """The reader's own video: a rendered one, once there are some."""
    rendered = sorted(folder.glob("data/sample-*/original_sequences/**/*.mp4"))
    if rendered and not (folder / "clip.mp4").exists():
        (folder / "clip.mp4").symlink_to(rendered[0])


@pytest.mark.parametrize(("number", "command"), list(enumerate(in_order())))
def test_command_runs(number, command, folder, environment):
    for placeholder, meaning in PLACEHOLDERS.items():
        sample = (glob.glob("data/sample-*", root_dir=folder) or ["none yet"])[0]
        command = command.replace(placeholder, meaning.format(sample=sample, number=number))
    lay_clip(folder)
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    fine = {0}.union(*(codes for word, codes in FINE.items() if word in command))
    assert done.returncode in fine, f"{command}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_python_runs(page, folder, environment):
    """After the commands: the pages speak of what those made."""
    lay_clip(folder)
    code = "\n".join(blocks(page, "python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
