"""A PostgreSQL server of the system for a test: its own cluster in a temporary folder, on a Unix socket alone."""

import contextlib
import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

USER = "postgres"


def find(program: str) -> str | None:
    """Path of one of PostgreSQL's programs; Debian keeps them beside the search path, by version."""
    kept = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{program}"))
    return shutil.which(program) or (kept[-1] if kept else None)


@contextlib.contextmanager
def started() -> Iterator[str]:
    """URL of an empty database."""
    folder = tempfile.mkdtemp(prefix="postgresql-", dir="/tmp")  # the path of a socket must be short
    # PostgreSQL refuses to run as root.
    with _as_user(folder) as options:

        def run(program: str, *words: str) -> None:
            subprocess.run([find(program), *words], check=True, capture_output=True, cwd=folder, **options)

        data = os.path.join(folder, "data")
        run("initdb", "-D", data, "-U", USER, "-A", "trust", "--no-sync")
        flags = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-o", flags, "-l", os.path.join(folder, "log"), "start")
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "stop")


@contextlib.contextmanager
def _as_user(folder: str) -> Iterator[dict]:
    try:
        if os.geteuid():
            yield {}
            return
        found = pwd.getpwnam(USER)
        os.chown(folder, found.pw_uid, found.pw_gid)
        yield {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
