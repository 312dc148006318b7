"""The program ``fusion-dfd``: its verbs, their help, and how errors reach a person.

A verb is a module of :mod:`fusion_dfd.commands`: its docstring is the help, ``define(values)`` its flags and
``main(words, values)`` its work, whose result is the exit code. ``WORDS`` says what words beside flags mean, of which
one at least must be given; without it there are none. The scripts of the same names run the same verbs.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import re
import shutil
import sys
import textwrap
from logging import Formatter
from types import ModuleType
from typing import NoReturn

from absl import flags, logging

from fusion_dfd import __version__
from fusion_dfd.commands import configurations
from fusion_dfd.config import Config, ConfigError
from fusion_dfd.options import walk
from fusion_dfd.types import DataError

VERBS = (
    "sample", "stills", "forge", "audit", "check", "prepare", "train", "evaluate", "calibrate", "protocol",
    "score", "rescore", "robustness", "ablate", "tune", "import-keras", "export", "predict", "verify", "serve",
    "key", "options",
)  # fmt: skip
GONE = 141
"""Exit code where the reader of standard output is gone, as of a program that SIGPIPE ended."""
HELP = ("-h", "--help", "-help", "--helpfull", "--helpshort")
MOVED = {
    ("evaluate", "scores"): "rescore FILE ...",
    ("evaluate", "calibrate"): "calibrate --checkpoint RUN --data SHARDS",
    ("evaluate", "protocol"): "protocol --name NAME --checkpoint RUN --data SHARDS",
    ("prepare", "check"): "check --dataset NAME --root DIR --out CHECK",
}
"""Flags of earlier versions that are verbs of their own now."""

_NEEDED = "must have a value other than None"
"""Absl's words for a flag that is required."""
_WITHOUT = "options of a configuration (add --config FILE to see its defaults):"
_KEPT = "\0"
"""A space at which no line ends."""
_LESS = "take less at a time (batch_size, workers, size or frames) or a machine with more"
_WARNING = Formatter("warning: %(message)s")
"""How a warning reaches a person: without time, process and line."""


def main() -> None:
    """The program ``fusion-dfd``: its first word is a verb."""
    verb, *words = sys.argv[1:] or [""]
    if verb == "help" and words:
        verb, words = words[0], [HELP[0]]
    if verb in (*HELP, "help"):
        _show(overview())
    if verb == "--version":
        print(f"fusion_dfd {__version__}")
        sys.exit(0)
    if not verb:
        print(overview(), file=sys.stderr)
        sys.exit(2)
    if verb not in VERBS:
        near = configurations.meant(verb, VERBS)
        _fail(f"no command {verb!r}; {near or 'there are ' + ', '.join(VERBS)}", 2)
    run(verb, words)


def _show(text: str) -> NoReturn:
    """Print and exit; a pager that is closed early is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at exit
    sys.exit(0)


def command(verb: str) -> None:
    """Run a verb on the command line of a script."""
    run(verb, sys.argv[1:])


def run(verb: str, words: list[str]) -> NoReturn:
    """Parse ``words``, do the work of the verb, exit.

    A user's mistake is one sentence on stderr and exit code 2 (flags, configuration) or 1 (data); Ctrl-C is 130.
    """
    module = load(verb)
    try:
        _check_moved(verb, words)
        words = configurations.resolved(words)
        configurations.check_options(words)
        if any(word in HELP for word in words):
            _show(help_text(verb, configurations.named(words)))
    except ConfigError as error:
        _fail(error, 2)
    values = flags.FlagValues()
    rest = _parse(module, values, [f"fusion-dfd {verb}", *words])
    sys.exit(_guarded(module, rest, values))


def load(verb: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"fusion_dfd.commands.{verb.replace('-', '_')}")


def overview() -> str:
    """The verbs, with a line for each."""
    said = {verb: load(verb).__doc__.splitlines()[0].split(". ")[0].rstrip(".") for verb in VERBS}
    lines = [_filled(text, f"  {verb:13} ", " " * 16) for verb, text in said.items()]
    return "\n".join(
        ["usage: fusion-dfd COMMAND ...", "", *lines, "", "fusion-dfd COMMAND --help lists what a command takes."]
    )


def help_text(verb: str, config: Config | None = None) -> str:
    """What ``--help`` prints: the docstring, every flag, and where there is ``--config`` every option of ``config``."""
    module, values = load(verb), flags.FlagValues()
    module.define(values)
    entries = [_entry(*_flag(values[name])) for name in values]
    parts = [_docstring(module.__doc__), "", "flags:", *entries]
    if configurations.FLAG in values:
        parts += ["", "options of the configuration:" if config else _WITHOUT]
        parts += [
            _entry(f"--config.{one.name}", f"{one.described} Default: {one.value!r}.")
            for one in walk(config or Config())
        ]
    return "\n".join(parts)


def is_required(flag: flags.Flag) -> bool:
    """Whether a command ends in an error without the flag."""
    return any(_NEEDED in one.message for one in flag.validators)


def _flag(flag: flags.Flag) -> tuple[str, str]:
    """How a flag is written, and its help with range and default."""
    parser = flag.parser
    said = re.sub(r"^<.*?>: |;\s+repeat this option.*", "", flag.help, flags=re.DOTALL)  # what absl adds
    said = said if said.endswith(".") else f"{said}."
    if choices := getattr(parser, "enum_values", None):
        said += f" Range: {', '.join(choices)}."
    elif low_high := _bounds(parser):
        said += f" Range: {low_high}."
    if is_required(flag):
        said += " Required."
    elif flag.default not in (None, "", []):
        default = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
        said += f" Default: {default}."
    return (f"--[no]{flag.name}" if flag.boolean else f"--{flag.name}"), said


def _bounds(parser: flags.ArgumentParser) -> str:
    low, high = getattr(parser, "lower_bound", None), getattr(parser, "upper_bound", None)
    if low is None and high is None:
        return ""
    return f"{low} .. {high}" if high is not None else f"{low} or more"


def _docstring(text: str) -> str:
    """A verb's docstring in lines that the terminal has room for; a command and what it does stay apart."""
    parts = []
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.splitlines()
        if not lines[0].startswith("fusion-dfd "):
            parts.append(_filled(" ".join(lines)))
            continue
        shown = []
        for line in lines:
            command, *meaning = [line] if len(line) <= _width() else re.split(r" {3,}", line)
            command = re.sub(r"\[[^][]*\]", lambda found: found[0].replace(" ", _KEPT), command)
            shown += [_filled(command, "", " " * 4), *(_filled(one, " " * 4, " " * 4) for one in meaning)]
        parts.append("\n".join(shown).replace(_KEPT, " "))
    return "\n\n".join(parts)


def _entry(name: str, said: str) -> str:
    return f"  {name}\n{_filled(said, ' ' * 6, ' ' * 6)}"


def _filled(text: str, first: str = "", later: str = "") -> str:
    return textwrap.fill(
        text,
        _width(),
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 100)


def _check_moved(verb: str, words: list[str]) -> None:
    for word in words:
        if now := MOVED.get((verb, word.lstrip("-").partition("=")[0])) if word.startswith("-") else None:
            raise ConfigError(f"{word.partition('=')[0]} is a command of its own: fusion-dfd {now}")


def _parse(module: ModuleType, values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Define and parse the flags; the words that are none."""
    sys.argv = argv  # where ml_collections looks for changes of single options
    flags.FLAGS.mark_as_parsed()  # those of libraries keep their defaults
    module.define(values)
    try:
        _, *rest = values(argv)
    except flags.UnrecognizedFlagError as error:
        near = configurations.meant(error.flagname, list(values), "--")
        _fail(f"no flag --{error.flagname}; {near or f'see {argv[0]} --help'}", 2)
    except (flags.Error, KeyError, TypeError, ValueError, AttributeError) as error:
        # ml_collections reports an error inside a configuration file as a whole traceback: its last line says it.
        last = str(error.args[0] if error.args else error).strip().splitlines()[-1]
        if _NEEDED in last:
            last = f"give {last.removeprefix('flag ').partition('=')[0]}; see {argv[0]} --help"
        _fail(last.removeprefix("fusion_dfd.options.ConfigError: "), 2)
    wanted = getattr(module, "WORDS", None)
    if rest and wanted is None:
        _fail(f"unexpected argument {rest[0]!r}; see {argv[0]} --help", 2)
    if not rest and wanted is not None:
        _fail(f"give at least one {wanted}; see {argv[0]} --help", 2)
    return rest


def _guarded(module: ModuleType, words: list[str], values: flags.FlagValues) -> int:
    logging.use_absl_handler()
    logging.set_verbosity(logging.WARNING)  # Orbax tells its whole life at INFO
    logging.get_absl_handler().setFormatter(_WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold bytes that are no text
    try:
        code = module.main(words, values) or 0
        sys.stdout.flush()  # a reader that is gone or a full disk must be noticed here, not while Python ends
        return code
    except (ConfigError, DataError) as error:
        _fail(error, 2 if isinstance(error, ConfigError) else 1)
    except BrokenPipeError:
        _forget_output()
        return GONE
    except MemoryError:
        _fail(f"out of memory; {_LESS}", 1)
    except RuntimeError as error:  # JAX's own is one
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _fail(f"the device is out of memory; {_LESS}", 1)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _forget_output()
        _fail(f"no space left on the disk ({error.filename or 'standard output'}); free some and start again", 1)
    except KeyboardInterrupt:
        _fail("interrupted; what was finished is kept", 130)


def _forget_output() -> None:
    """Write what is still buffered for standard output nowhere, as Python's documentation advises."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: object, code: int) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)
