"""Every command in README and docs names a script, flags and options that exist."""

import functools
import itertools
import operator
import re
import shlex
import subprocess
import sys

import pytest
from written import PAGES, ROOT, commands

from fusion_dfd import cli
from fusion_dfd.config import Config

FOUND = sorted({command for page in PAGES for command in commands(page)})


@functools.cache
def help_of(*program: str) -> str:
    done = subprocess.run([*program, "--helpfull"], capture_output=True, text=True, cwd=ROOT)
    return done.stdout + done.stderr


def flags_of(words: list[str]) -> str:
    if words[0] == "fusion-dfd":
        return help_of(sys.executable, "-c", "from fusion_dfd import cli; cli.main()", words[1])
    return help_of(sys.executable, words[1])


def check_option(word: str) -> None:
    name = word.removeprefix("--config.").split("=")[0]
    operator.attrgetter(name)(Config())


def test_there_are_commands_of_every_script():
    named = {command.split()[1] for command in FOUND if command.startswith("python scripts/")}
    assert named == {f"scripts/{path.name}" for path in (ROOT / "scripts").glob("*.py")}


@pytest.mark.parametrize("command", [one for one in FOUND if not one.startswith("make ")])
def test_flags_exist(command):
    words = shlex.split(command.replace("...", "").replace("|", " "))
    given = [word for word in words if word.startswith("--")]
    for word in given:
        if word.startswith("--config."):
            check_option(word)
        else:
            name = word.removeprefix("--").split("=")[0]
            assert re.search(rf"--(\[no\])?{name}\b", flags_of(words)), name
    for flag, value in itertools.pairwise(words):
        if flag == "--config":
            cli.find_config(value)


@pytest.mark.parametrize("command", [one for one in FOUND if one.startswith("make ")])
def test_targets_exist(command):
    target = shlex.split(command)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
