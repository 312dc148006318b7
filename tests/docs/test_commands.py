"""Every command in README and docs names a verb, flags and options that exist."""

import itertools
import operator
import re
import shlex

import pytest
from written import PAGES, ROOT, commands, flags_of

from fusion_dfd import cli
from fusion_dfd.commands import configurations
from fusion_dfd.config import Config

FOUND = sorted({command for page in PAGES for command in commands(page)})


def check_option(word: str) -> None:
    name = word.removeprefix("--config.").split("=")[0]
    operator.attrgetter(name)(Config())


def test_there_are_commands_of_every_verb():
    assert {command.split()[1] for command in FOUND if command.startswith("fusion-dfd ")} >= set(cli.VERBS)


@pytest.mark.parametrize("command", [one for one in FOUND if not one.startswith("make ")])
def test_flags_exist(command):
    words = shlex.split(command.replace("...", "").replace("|", " "))
    for word in words[1:]:
        if word.startswith("--config."):
            check_option(word)
        elif word.startswith("--") and words[1] != "--help":
            known = flags_of(words[1])
            name = word.removeprefix("--").split("=")[0]
            assert name in known or name.removeprefix("no") in known or name == "help", name
    for flag, value in itertools.pairwise(words):
        if flag == "--config":
            configurations.find_config(value)


@pytest.mark.parametrize("command", [one for one in FOUND if one.startswith("make ")])
def test_targets_exist(command):
    target = shlex.split(command)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


PAGE = ROOT / "docs" / "TROUBLESHOOTING.md"
MESSAGES = [
    told
    for row in re.findall(r"^\| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    for told in re.findall(r"`([^`]+)`", row)
]
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "fusion_dfd").rglob("*.py")))
ELSEWHERE = {"python3 -m venv", "rendezvous ... may be stuck"}
"""A command, and a message of XLA."""


@pytest.mark.parametrize("message", [one for one in MESSAGES if one not in ELSEWHERE])
def test_messages_are_those_of_the_program(message):
    """``...`` stands for anything that a message fills in; the source may break a text over two lines."""
    source = re.sub(r'"\s*\n\s*f?"', "", SOURCE)
    form = r"[^\n]*?".join(re.escape(part) for part in message.split("..."))
    assert re.search(form, source), message
