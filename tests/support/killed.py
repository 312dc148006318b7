"""``fusion-dfd`` in processes that kill themselves at a given moment, with SIGKILL.

Run as a program, this module imports once what the verbs need. Then it reads a line of JSON per process, forks, and
answers with two lines: the id of the process, and at its end the exit code, negative after a signal. A line holds
``words``, ``root`` (the folder that is watched), ``said`` (file for what the process prints), ``trace`` (file for the
moments that it passes) and ``moment``, at which it dies, or null. Every moment counts once in a process::

    write NAME            half of what is written at once lies in the file
    before NAME           a file or folder is about to be renamed to NAME, a path in the root
    after NAME            it was just renamed
    call MODULE:NAME N    the function is called for the N-th time
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
import importlib.util
import io
import json
import operator
import os
import re
import signal
import sys

DRAWN = {
    r"(?<=checkpoint-)tmp-?\d*": "tmp",
    r"(?<=^incoming/)\w+$": "UPLOAD",
    r"(?<=^jobs/)[\w-]+/[\w-]+$": "JOB",
}
"""Parts of paths that are drawn at random or hold a time, and what stands for them."""


class Moments:
    """The moments that this process passes."""

    def __init__(self, root: str, trace: str, moment: str | None):
        self._root, self._moment, self._passed = os.path.realpath(root), moment, set()
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def reached(self, kind: str, path) -> bool:
        """Whether it is the moment to die."""
        path = os.path.realpath(os.fspath(path))
        if os.path.commonpath([path, self._root]) != self._root:
            return False
        name = os.path.relpath(path, self._root)
        for pattern, word in DRAWN.items():
            name = re.sub(pattern, word, name)
        moment = f"{kind} {name}"
        if moment in self._passed:
            return False
        self._passed.add(moment)
        os.write(self._trace, f"{moment}\n".encode())
        return moment == self._moment

    def watch(self) -> None:
        """From now on."""
        builtins.open = io.open = functools.partial(_opened, self, io.open)
        for name in ("rename", "replace"):
            setattr(os, name, functools.partial(_renamed, self, getattr(os, name)))
        kind, *rest = (self._moment or "none").split()
        if kind == "call":
            _count(rest[0], int(rest[1]))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


class _Raw(io.FileIO):
    """A file of which half a write may be written."""

    def __init__(self, moments: Moments, path, mode: str, opener):
        super().__init__(path, mode, opener=opener)
        self._moments = moments

    def write(self, data) -> int:
        if self._moments.reached("write", self.name):
            with memoryview(data) as view:
                super().write(view[: len(view) // 2])
            die()
        return super().write(data)


def _opened(
    moments: Moments,
    usual,
    file,
    mode="r",
    buffering=-1,
    encoding=None,
    errors=None,
    newline=None,
    closefd=True,
    opener=None,
):
    if isinstance(file, int) or not set(mode) & set("wax+"):
        return usual(file, mode, buffering, encoding, errors, newline, closefd, opener)
    raw = _Raw(moments, file, mode.replace("b", "").replace("t", ""), opener)
    buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    if "b" in mode:
        return raw if buffering == 0 else buffered
    text = io.TextIOWrapper(buffered, encoding, errors, newline)
    text.mode = mode
    return text


def _renamed(moments: Moments, usual, source, target, **rest) -> None:
    if moments.reached("before", target):
        die()
    usual(source, target, **rest)
    if moments.reached("after", target):
        die()


def _count(name: str, left: int) -> None:
    module, _, inside = name.partition(":")
    *above, last = inside.split(".")
    owner = operator.attrgetter(".".join(above))(importlib.import_module(module)) if above else None
    owner = owner or importlib.import_module(module)
    usual, calls = getattr(owner, last), iter(range(1, left))

    @functools.wraps(usual)
    def counted(*args, **kwargs):
        if next(calls, None) is None:
            die()
        return usual(*args, **kwargs)

    setattr(owner, last, counted)


def stand_in() -> None:
    """In place of face detection, of the detectors of a server, and of what takes another time in every run."""
    import synthetic_tracks

    from fusion_dfd.shards import prepare
    from fusion_dfd.training import cost

    cost.measure = lambda config: cost.Cost(1, 1.0, 1.0)
    usual = prepare.prepare
    prepare.prepare = lambda given: usual(dataclasses.replace(given, extract=synthetic_tracks.cut))
    if importlib.util.find_spec("fastapi"):
        import scripted_server

        from fusion_dfd.serve import server

        server.Workers = functools.partial(server.Workers, main=scripted_server.main)


def next_process() -> dict | None:
    """In a new process what it shall do; None in this one, once there are no more lines."""
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            return json.loads(line)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
    return None


def main() -> None:
    from fusion_dfd import cli

    for verb in cli.VERBS:
        cli.load(verb)
    for name in ("evaluation.perturb", "export.bundle", "runs.ablation", "runs.robustness", "runs.search"):
        importlib.import_module(f"fusion_dfd.{name}")
    stand_in()
    if task := next_process():
        said = os.open(task["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        Moments(task["root"], task["trace"], task["moment"]).watch()
        sys.argv = ["fusion-dfd", *task["words"]]
        cli.main()


if __name__ == "__main__":
    main()
