"""The references: Keras on JAX, and timm on a PyTorch without a GPU. Without them these tests are skipped."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import pytest


@pytest.fixture(scope="session")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def timm(torch):
    """timm needs torchvision, whose wheel names operators of its own that it lacks beside PyTorch's CPU build."""
    register = torch.library.register_fake
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            torch.library,
            "register_fake",
            lambda name, *rest, **options: (
                (lambda function: function)
                if str(name).startswith("torchvision::")
                else register(name, *rest, **options)
            ),
        )
        pytest.importorskip("torchvision")
    return pytest.importorskip("timm")


@pytest.fixture(scope="session")
def transformers(timm):
    return pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def keras():
    pytest.importorskip("h5py")
    return pytest.importorskip("keras")
