import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from fusion_dfd.models.attention import SelfAttention, SpatialAttention, TemporalAttention, masked_mean, masked_softmax

VALID = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)


def test_softmax_by_hand():
    scores = jnp.log(jnp.array([[1.0, 2.0, 5.0, 1e30], [3.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]))
    got = masked_softmax(scores, jnp.asarray(VALID))
    np.testing.assert_allclose(got, [[1 / 8, 2 / 8, 5 / 8, 0], [1, 0, 0, 0], [0, 0, 0, 0]], atol=1e-6)


def test_softmax_has_finite_gradients_for_huge_scores_and_empty_rows():
    slope = jax.grad(lambda s: masked_softmax(s, jnp.asarray(VALID))[:, 0].sum())(jnp.full((3, 4), 1e30))
    assert np.isfinite(slope).all()


def test_mean_by_hand():
    x = jnp.asarray(np.arange(12.0).reshape(3, 4, 1), jnp.float32)
    np.testing.assert_allclose(masked_mean(x, jnp.asarray(VALID))[:, 0], [1, 4, 0])


def test_temporal_attention_runs_over_time(rng):
    x = jnp.asarray(rng.normal(size=(3, 4, 6)), jnp.float32)
    layer = TemporalAttention(6, rngs=nnx.Rngs(0))
    context, weights = layer(x, jnp.asarray(VALID))
    np.testing.assert_allclose(weights.sum(1), [1, 1, 0], atol=1e-6)
    assert (np.asarray(weights)[~VALID] == 0).all()
    assert np.ptp(weights[0, :3]) > 1e-3
    np.testing.assert_allclose(context[1], x[1, 0], atol=1e-6)
    np.testing.assert_allclose(context[0], weights[0] @ x[0], atol=1e-5)


def test_spatial_attention_weighs_pixels():
    layer = SpatialAttention(2, rngs=nnx.Rngs(0))
    layer.score.kernel[...] = jnp.array([[1.0], [0.0]])
    layer.score.bias[...] = jnp.zeros(1)
    maps = jnp.zeros((1, 1, 1, 2, 2)).at[0, 0, 0, 0].set(jnp.array([jnp.log(3.0), 8.0]))
    context, attention = layer(maps)
    np.testing.assert_allclose(attention[0, 0, 0], [0.75, 0.5], atol=1e-6)
    np.testing.assert_allclose(context[0, 0, 1], 8 * 0.75 / 1.25, atol=1e-5)


def test_self_attention_ignores_padding(rng):
    layer = SelfAttention(6, rngs=nnx.Rngs(0))
    x = rng.normal(size=(3, 4, 6)).astype(np.float32)
    one, weights = layer(jnp.asarray(x), jnp.asarray(VALID))
    x[~VALID] = 1e4
    two, _ = layer(jnp.asarray(x), jnp.asarray(VALID))
    np.testing.assert_allclose(np.asarray(one)[VALID], np.asarray(two)[VALID], atol=1e-5)
    np.testing.assert_allclose(weights[0].sum(-1), 1, atol=1e-6)
    assert (np.asarray(weights)[0, :, 3] == 0).all()
