"""Serve a page in the browser: drop a video, watch progress, see the verdict. Wants the extra app.

fusion-dfd serve --checkpoint runs/fusion [--port 8000]

Nothing leaves the machine it runs on; docs/SERVE.md tells more. Ctrl-C ends it.
For a team, with a folder that outlives the server, keys and workers: docs/OPERATE.md.
"""

from __future__ import annotations

import os
import re

from absl import flags

from fusion_dfd.commands import source
from fusion_dfd.config import ConfigError

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def define(values: flags.FlagValues) -> None:
    whole = flags.DEFINE_integer
    runs = f"{source.RUN}; NAME=RUN gives it a name for requests; repeat it for several, the first is the usual one"
    flags.DEFINE_multi_string("checkpoint", None, runs, required=True, flag_values=values)
    address = "address to listen on; others may reach 0.0.0.0"
    flags.DEFINE_string("host", "127.0.0.1", address, flag_values=values)
    names = "another name by which requests may call a server without keys, e.g. that of a proxy; repeat it for several"
    flags.DEFINE_multi_string("allow_host", [], names, flag_values=values)
    whole("port", 8000, "port to listen on; 0 = any that is free", 0, 65535, flag_values=values)
    whole("max_mb", 200, "largest upload, megabytes", 1, 1_000_000, flag_values=values)
    whole("max_seconds", 600, "longest video, seconds", 1, 1_000_000, flag_values=values)
    whole("time_limit", 300, "seconds that the scoring of one video may take", 1, 86400, flag_values=values)
    whole("queue", 8, "videos that may wait", 1, 1_000_000, flag_values=values)
    whole(
        "workers",
        1,
        "processes that score, each with every detector in memory",
        1,
        source.MOST_PROCESSES,
        flag_values=values,
    )
    data = "folder for videos and results that outlive the server; without it all is deleted at the end"
    flags.DEFINE_string("data", None, data, flag_values=values)
    store = "database of the jobs, as SQLAlchemy names it, with --data; without it SQLite in that folder"
    flags.DEFINE_string("store", None, store, flag_values=values)
    flags.DEFINE_string("keys", None, "file of API keys, of fusion-dfd key; without it none", flag_values=values)
    whole("keep_minutes", 30, "minutes that a result is kept", 1, 100_000_000, flag_values=values)
    whole("keep_most", 100, "most results that are kept, the oldest give way", 1, 100_000_000, flag_values=values)
    videos = "keep a scored video as long as its result, so that it can be scored again by another detector"
    flags.DEFINE_boolean("keep_videos", False, videos, flag_values=values)
    private = "let callbacks go to private addresses too"
    flags.DEFINE_boolean("private_callbacks", False, private, flag_values=values)
    flags.DEFINE_boolean("json_log", False, "log events as lines of JSON on standard error", flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> int:
    try:
        from fusion_dfd.serve import request_guard, server, service, upload
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'fusion-dfd[app]'") from error
    if given.store and not given.data:
        raise ConfigError("--store wants --data, the folder of the videos that belong to it")
    options = service.Options(
        keep=given.keep_minutes * 60.0,
        keep_most=given.keep_most,
        keep_videos=given.keep_videos,
        private_callbacks=given.private_callbacks,
        loopback=request_guard.is_loopback(given.host),
        hosts=(*([] if request_guard.is_address(given.host) else [given.host]), *given.allow_host),
    )
    setup = server.Setup(
        detectors=_named(given.checkpoint),
        host=given.host,
        port=given.port,
        limits=upload.Limits(given.max_mb, given.max_seconds, given.time_limit, given.queue),
        options=options,
        data=given.data,
        store=given.store,
        keys=given.keys,
        workers=given.workers,
        json_log=given.json_log,
    )
    server.serve(setup)
    return 0


def _named(words: list[str]) -> list[tuple[str, str]]:
    """Names and runs. A run without a name is called as its folder."""
    found = []
    for word in words:
        name, equals, run = word.partition("=")
        if not equals or not re.fullmatch(NAME, name):
            name, run = os.path.basename(os.path.abspath(word)), word
        if name in dict(found):
            raise ConfigError(f"--checkpoint {word}: two detectors are called {name!r}; write NAME=RUN")
        found.append((name, run))
    return found
