"""Uploading an exported folder to the Hugging Face hub."""

from __future__ import annotations

import os
import re

from fusion_dfd.export.folder import CARD
from fusion_dfd.training import exported
from fusion_dfd.types import DataError


def check_name(repository: str) -> None:
    """Raises DataError unless it is ``OWNER/NAME``."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise DataError(f"--push {repository}: want OWNER/NAME, a repository of yours on the Hugging Face hub")


def push(folder: str, repository: str) -> str:
    """Upload what ``VERIFIED.json`` names, that file and the model card; returns the address of the commit.

    A repository that is not there yet is made, private. Raises DataError for a folder that was changed, without
    huggingface_hub, and where the hub cannot be reached or refuses.
    """
    check_name(repository)
    names = [*exported.checked(folder)["sha256"], exported.VERIFIED, CARD]
    try:
        import huggingface_hub
    except ImportError as error:
        raise DataError("--push wants huggingface_hub: pip install 'fusion-dfd[hub]'") from error
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=os.path.abspath(folder),
            allow_patterns=names,
            commit_message="fusion_dfd export",
        )
    except Exception as error:  # its HTTP client's errors share no base with its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{repository}: not uploaded ({first}); check the network and the token (hf auth login, or HF_TOKEN), then "
            f"run the same command again: {folder} is whole"
        ) from error
    return str(commit)
