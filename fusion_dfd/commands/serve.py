"""Serve a page in the browser: drop a video, watch progress, see the verdict. Wants the extra app.

fusion-dfd serve --checkpoint runs/fusion [--port 8000]

Nothing leaves the machine it runs on; docs/SERVE.md tells more. Ctrl-C ends it.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.commands import source
from fusion_dfd.config import ConfigError


def define(values: flags.FlagValues) -> None:
    whole = flags.DEFINE_integer
    flags.DEFINE_string("checkpoint", None, source.RUN, required=True, flag_values=values)
    address = "address to listen on; others may reach 0.0.0.0"
    flags.DEFINE_string("host", "127.0.0.1", address, flag_values=values)
    whole("port", 8000, "port to listen on; 0 = any that is free", 0, 65535, flag_values=values)
    whole("max_mb", 200, "largest upload, megabytes", 1, flag_values=values)
    whole("max_seconds", 600, "longest video, seconds", 1, flag_values=values)
    whole("time_limit", 300, "seconds that the scoring of one video may take", 1, flag_values=values)
    whole("queue", 8, "videos that may wait", 1, flag_values=values)


def main(_: list[str], given: flags.FlagValues) -> int:
    try:
        from fusion_dfd.serve import server, upload
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'fusion-dfd[app]'") from error
    limits = upload.Limits(given.max_mb, given.max_seconds, given.time_limit, given.queue)
    server.serve(given.checkpoint, given.host, given.port, limits)
    return 0
