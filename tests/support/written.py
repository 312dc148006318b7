"""The commands that README and docs tell people to type."""

from __future__ import annotations

import functools
import pathlib
import re
import shlex

from absl import flags

from fusion_dfd import cli

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

_STARTS = ("python scripts/", "fusion-dfd ", "make ")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_OPTIONAL = re.compile(r"\s\[[^\[\]]*\]")


def commands(page: pathlib.Path) -> list[str]:
    """Every command of a page, in order: lines of its blocks and words in code type that begin as commands do.

    Optional parts, in square brackets, are left out, and so are comments.
    """
    text = page.read_text()
    blocks = [
        line for language, block in _FENCED.findall(text) if language in ("", "sh") for line in block.splitlines()
    ]
    inline = [" ".join(found.split()) for found in _INLINE.findall(_FENCED.sub("", text))]  # also over two lines
    plain = [_OPTIONAL.sub("", found.split("  #")[0]).strip() for found in [*blocks, *inline]]
    return [found for found in plain if found.startswith(_STARTS)]


def blocks(page: pathlib.Path, language: str) -> list[str]:
    """What stands in the fenced blocks of one language, in order."""
    return [block for name, block in _FENCED.findall(page.read_text()) if name == language]


@functools.cache
def flags_of(verb: str) -> dict[str, bool]:
    """The flags of a verb, and whether each is required."""
    values = flags.FlagValues()
    cli.load(verb).define(values)
    return {name: cli.is_required(values[name]) for name in values}


def is_mention(command: str) -> bool:
    """Whether a text only names a command: what the command wants is missing, a flag or any word."""
    script = re.sub(r"^python scripts/(\w+)\.py", lambda found: f"fusion-dfd {found[1].replace('_', '-')}", command)
    program, verb, *words = shlex.split(script)
    if program != "fusion-dfd" or verb.startswith("-") or "--help" in words:
        return False
    if verb.isupper():  # stands for any of them
        return True
    if not words and hasattr(cli.load(verb), "WORDS"):
        return True
    given = {word.removeprefix("--").partition("=")[0] for word in words}
    return not given >= {name for name, required in flags_of(verb).items() if required}
