"""Trained detectors that are installed with the package, an exported folder each. Their README.md is the model card."""

from __future__ import annotations

import pathlib

_HERE = pathlib.Path(__file__).parent


def folders() -> dict[str, str]:
    """Their folders, by name."""
    return {path.name: str(path) for path in sorted(_HERE.iterdir()) if path.is_dir() and path.name[0] not in "_."}
