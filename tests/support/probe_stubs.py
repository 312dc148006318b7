"""Stand-ins for :func:`fusion_dfd.quality.probe_files.probe`, picklable for worker processes."""

import os

from fusion_dfd.quality.probe_files import Probe


def at(path: str, picture: bool) -> Probe:
    """The hash is the path; the thumbnail says whether one was asked for; one file ends its process."""
    if path.endswith("deadly.mp4"):
        os._exit(1)
    return Probe(sha256=path, thumbnail=b"jpeg" if picture else b"")
