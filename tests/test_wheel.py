"""A wheel, installed outside of the checkout, is the whole product: every verb, the named configurations, the pages."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from fusion_dfd import cli

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[1]
OTHER = ("LICENSE", "README.md", "pyproject.toml")
EVERY_HELP = "from fusion_dfd import cli; print(cli.__file__, *map(cli.help_text, cli.VERBS), sep='\\n')"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> pathlib.Path:
    """A folder with the wheel's content alone, built from a copy: a checkout's build/ may hold old modules."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "fusion_dfd", folder / "copy" / "fusion_dfd", ignore=shutil.ignore_patterns("__pycache__"))
    for name in OTHER:
        shutil.copy(ROOT / name, folder / "copy" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", folder / "copy"]
    subprocess.run([*pip, *build], check=True, timeout=200)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = ["install", "--no-deps", "--no-index", "--target", folder / "site", wheel]
    subprocess.run([*pip, *install], check=True, timeout=200)
    return folder / "site"


@pytest.fixture
def run(site, tmp_path):
    """Runs a program of the wheel in an empty folder."""
    environment = os.environ | {"PYTHONPATH": str(site)}

    def done(*words) -> subprocess.CompletedProcess:
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)

    return done


def test_it_holds_every_file_of_the_package(site):
    wanted = {path.relative_to(ROOT) for path in (ROOT / "fusion_dfd").rglob("*") if path.is_file()}
    wanted = {path for path in wanted if "__pycache__" not in path.parts}
    assert wanted <= {path.relative_to(site) for path in site.rglob("*")}


def test_every_verb_has_its_help(site, run):
    done = run(sys.executable, "-c", EVERY_HELP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert done.stdout.count("\nflags:\n") == len(cli.VERBS)


def test_the_program_lists_its_verbs(site, run):
    done = run(site / "bin" / "fusion-dfd", "--help")
    assert done.returncode == 0, done.stderr
    assert "import-keras" in done.stdout


def test_a_named_configuration_is_found_and_changed(site, run):
    done = run(site / "bin" / "fusion-dfd", "train", "--config", "fusion.py", "--config.train.steps=0")
    assert done.returncode == 2
    assert "train.steps=0: want 1 .. 1000000000" in done.stderr
