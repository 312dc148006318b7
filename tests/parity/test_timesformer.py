"""TimeSformer: its class token equals that of the transformers package with equal weights, each clip at its length."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.models import registry, timesformer

pytestmark = pytest.mark.parity

OPTIONS = config.TimeSformer(size=32, frames=6, patch=16, width=8, depth=2, heads=2)
LENGTHS = (4, 2)
LAYERS = {
    "time_norm": "temporal_layernorm",
    "time_attention/qkv": "temporal_attention.attention.qkv",
    "time_attention/out": "temporal_attention.output.dense",
    "time_linear": "temporal_dense",
    "space_norm": "layernorm_before",
    "space_attention/qkv": "attention.attention.qkv",
    "space_attention/out": "attention.output.dense",
    "feed_forward_norm": "layernorm_after",
    "feed_forward/widen": "intermediate.dense",
    "feed_forward/narrow": "output.dense",
}
"""Of a block, theirs behind ``encoder.layer.<n>.``"""


def theirs_of(path: tuple, state: dict[str, np.ndarray]) -> np.ndarray:
    """What of the package's state belongs at ``path`` of ours, in our layout."""
    names = {"class_token": "cls_token", "positions": "position_embeddings", "time_positions": "time_embeddings"}
    if path[0] in names:
        return state[f"embeddings.{names[path[0]]}"].squeeze(0)
    leaf = {"kernel": "weight", "scale": "weight", "bias": "bias"}[path[-1]]
    if path[0] == "patch_embedding":
        array = state[f"embeddings.patch_embeddings.projection.{leaf}"]
        return array.transpose(2, 3, 1, 0).reshape(-1, len(array)) if leaf == "weight" else array
    name = "layernorm" if path[0] == "norm" else f"encoder.layer.{path[1]}.{LAYERS['/'.join(map(str, path[2:-1]))]}"
    return state[f"{name}.{leaf}"].T


def test_against_transformers(rng):
    torch, package = pytest.importorskip("torch"), pytest.importorskip("transformers")
    options = package.TimesformerConfig(
        image_size=OPTIONS.size, patch_size=OPTIONS.patch, num_frames=OPTIONS.frames, hidden_size=OPTIONS.width,
        num_hidden_layers=OPTIONS.depth, num_attention_heads=OPTIONS.heads, intermediate_size=4 * OPTIONS.width,
        drop_path_rate=0, hidden_dropout_prob=0, attention_probs_dropout_prob=0,
    )  # fmt: skip
    theirs = package.TimesformerModel(options).eval()
    state = {name: rng.normal(0, 0.3, x.shape).astype(np.float32) for name, x in theirs.state_dict().items()}
    theirs.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()})

    detector = registry.build(config.Model(system="timesformer", timesformer=OPTIONS, head=()), rngs=nnx.Rngs(0))
    graph, flat = nnx.graphdef(nnx.view(detector, deterministic=True)), dict(nnx.to_flat_state(nnx.state(detector)))
    body = {path: variable for path, variable in flat.items() if path[0] != "head"}
    assert len(body) == len(state)
    flat |= {path: variable.replace(theirs_of(path, state)) for path, variable in body.items()}
    # The head passes on one number of the class token at a time.
    frames = rng.integers(0, 256, (2, 4, OPTIONS.size, OPTIONS.size, 3), dtype=np.uint8)
    got = []
    for place in range(OPTIONS.width):
        flat["head", "logit", "kernel"] = flat["head", "logit", "kernel"].replace(jnp.eye(OPTIONS.width)[:, [place]])
        model = nnx.merge(graph, nnx.from_flat_state(flat))
        got.append(model(jnp.asarray(frames), jnp.zeros((2, 4, 5, 2)), jnp.asarray(LENGTHS)).logit)

    with torch.no_grad():
        for row, length in enumerate(LENGTHS):
            pixels = (frames[row, :length] / np.float32(255) - timesformer.MEAN) / timesformer.STD
            pixels = torch.from_numpy(pixels.transpose(0, 3, 1, 2)[None].astype(np.float32))
            theirs.embeddings.time_embeddings.data = torch.from_numpy(state["embeddings.time_embeddings"][:, :length])
            theirs.config.num_frames = length  # the layers read it there
            want = theirs(pixels).last_hidden_state[0, 0].numpy()
            np.testing.assert_allclose(np.stack(got, -1)[row], want, atol=2e-5)
