"""A page in the browser: drop a video, watch progress, see the verdict. Wants the extra app.

fusion-dfd serve --checkpoint runs/fusion [--port 8000]

Nothing leaves the machine it runs on; docs/SERVE.md tells more. Ctrl-C ends it.
"""

from absl import flags

from fusion_dfd.config import ConfigError


def define() -> dict[str, flags.FlagHolder]:
    whole = flags.DEFINE_integer
    return {
        "checkpoint": flags.DEFINE_string("checkpoint", None, "run folder, as train.py printed it", required=True),
        "host": flags.DEFINE_string("host", "127.0.0.1", "address to listen on; others may reach 0.0.0.0"),
        "port": whole("port", 8000, "port to listen on; 0 = any that is free", 0, 65535),
        "max_mb": whole("max_mb", 200, "largest upload, megabytes", 1),
        "max_seconds": whole("max_seconds", 600, "longest video, seconds", 1),
        "time_limit": whole("time_limit", 300, "seconds that the scoring of one video may take", 1),
        "queue": whole("queue", 8, "videos that may wait", 1),
    }


def main(_: list[str], given: dict[str, flags.FlagHolder]) -> int:
    try:
        from fusion_dfd.serve import server, upload
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'fusion-dfd[app]'") from error
    values = {name: holder.value for name, holder in given.items()}
    run, host, port = (values.pop(name) for name in ("checkpoint", "host", "port"))
    server.serve(run, host, port, upload.Limits(**values))
    return 0
