"""Files of the Hugging Face hub: fetched once, kept in its cache, checked against the hash that the hub states."""

from __future__ import annotations

import hashlib
import os
import pathlib
import re

from fusion_dfd.types import DataError


def fetch(repository: str, file: str, remedy: str) -> str:
    """Path of a repository's file, fetched unless it lies in the hub's cache.

    Args:
      remedy: what to do by hand instead; ends every message.

    Raises :class:`DataError` where ``huggingface_hub`` is missing, nothing can be fetched, or the bytes are not those
    whose SHA-256 the hub states.
    """
    where = f"{file} of {repository} on the Hugging Face hub"
    try:
        import huggingface_hub
    except ImportError as error:
        raise DataError(f"{where}: needs huggingface_hub: pip install 'fusion-dfd[hub]'; or {remedy}") from error
    try:
        path = huggingface_hub.hf_hub_download(repository, file)
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: cannot be fetched ({type(error).__name__}); {remedy}") from error
    # The cache names what it stores by the hub's hash, also when it was fetched on an earlier day.
    stated = os.path.basename(os.path.realpath(path))
    if not re.fullmatch(r"[0-9a-f]{64}", stated):
        raise DataError(f"{where}: its cache at {path} keeps no hash to check the file by; {remedy}")
    if hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() != stated:
        raise DataError(f"{where}: {path} is damaged, its SHA-256 is not {stated}; remove it, or {remedy}")
    return path
