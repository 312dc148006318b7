"""R(2+1)D-18 equals torchvision's with the same weights, each clip at its own length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.models import r2plus1d, registry

pytestmark = pytest.mark.parity

SIDE = 48
LENGTHS = (5, 3)


@pytest.fixture
def video(monkeypatch):
    """torchvision's wheel names operators of its own that it lacks beside PyTorch's CPU build; the models need none."""
    torch = pytest.importorskip("torch")
    register = torch.library.register_fake

    def only_known(name, *rest, **options):
        if str(name).startswith("torchvision::"):
            return lambda function: function
        return register(name, *rest, **options)

    monkeypatch.setattr(torch.library, "register_fake", only_known)
    return pytest.importorskip("torchvision.models.video")


def torchvision_name(path: tuple) -> str:
    """Name in torchvision's state of what lies at ``path`` in ours."""
    place, leaf = list(map(str, path[:-1])), path[-1]
    inner = {"space": "0", "bn": "1", "time": "3"}
    match place:
        case ["stem", part]:
            name = f"stem.{inner[part]}"
        case ["stem_bn"]:
            name = "stem.4"
        case ["stages", stage, block, ("conv1" | "conv2") as conv, part]:
            name = f"layer{int(stage) + 1}.{block}.{conv}.0.{inner[part]}"
        case ["stages", stage, block, ("bn1" | "bn2") as bn]:
            name = f"layer{int(stage) + 1}.{block}.conv{bn[-1]}.1"
        case ["stages", stage, block, ("shortcut_conv" | "shortcut_bn") as part]:
            name = f"layer{int(stage) + 1}.{block}.downsample.{'01'[part.endswith('bn')]}"
        case _:
            assert place == ["head", "logit"]
            name = "fc"
    leaves = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    return f"{name}.{leaves.get(leaf, leaf)}"


def ours(array: np.ndarray, like: jax.Array) -> np.ndarray:
    """torchvision's [o, i, t, h, w] as [h, w, i, o] or [t, i, o]; [o, i] as [i, o]."""
    if array.ndim == 5:
        array = array.transpose(2, 3, 4, 1, 0)
        array = array[0] if array.shape[0] == 1 else array[:, 0, 0]
    elif array.ndim == 2:
        array = array.T
    assert array.shape == like.shape
    return array


def test_against_torchvision(video, rng):
    torch = pytest.importorskip("torch")
    theirs = video.r2plus1d_18(weights=None, num_classes=1).eval()
    state = {name: x.numpy() for name, x in theirs.state_dict().items() if "num_batches" not in name}
    for name, x in state.items():
        if "running" in name:
            state[name] = (x + rng.uniform(0.0, 0.3, x.shape)).astype(np.float32)
    theirs.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()}, strict=False)

    detector = registry.build(config.Model(system="r2plus1d", head=()), rngs=nnx.Rngs(0))
    detector = nnx.view(detector, deterministic=True, use_running_average=True)
    flat = dict(nnx.to_flat_state(nnx.state(detector)))
    assert {torchvision_name(path) for path in flat} == set(state)
    graph = nnx.graphdef(detector)
    arrays = {
        path: variable.replace(ours(state[torchvision_name(path)], variable[...])) for path, variable in flat.items()
    }
    detector = nnx.merge(graph, nnx.from_flat_state(arrays))

    frames = rng.integers(0, 256, (2, 5, SIDE, SIDE, 3), dtype=np.uint8)
    got = detector(jnp.asarray(frames), jnp.zeros((2, 5, 5, 2)), jnp.asarray(LENGTHS)).logit
    mean, std = np.float32(r2plus1d.MEAN), np.float32(r2plus1d.STD)
    with torch.no_grad():
        for row, length in enumerate(LENGTHS):
            clip = (frames[row, :length] / np.float32(255) - mean) / std
            want = theirs(torch.from_numpy(clip.transpose(3, 0, 1, 2)[None])).numpy()[0, 0]
            np.testing.assert_allclose(got[row], want, atol=1e-4)
