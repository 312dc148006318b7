"""Untrained autoencoders, so that faces are drawn again here without a training."""

import numpy as np
import pytest

from fusion_dfd.forge import autoencoder
from fusion_dfd.forge.autoencoder import DESIGNS, Autoencoder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("autoencoders")
    for name, design in DESIGNS.items():
        arrays = autoencoder.initial(design, np.random.default_rng(0))
        autoencoder.save(Autoencoder(design, arrays), str(folder / f"{name}.safetensors"))
    return str(folder)


@pytest.fixture(autouse=True)
def autoencoders(untrained, monkeypatch):
    monkeypatch.setattr(autoencoder, "folder", lambda: untrained)
