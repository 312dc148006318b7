"""An Xception + LSTM saved by Keras gives the same probabilities here, however it was built and saved."""

import jax
import numpy as np
import pytest

from fusion_dfd.runs import from_keras, score
from fusion_dfd.runs.run import Run
from fusion_dfd.types import Batch, DataError

pytestmark = pytest.mark.parity

FRAMES, SIZE = 3, 75


@pytest.fixture(scope="module")
def model(keras):
    """``model(classes)``: random weights, normalisation and biases away from what they start from."""
    keras.utils.set_random_seed(0)
    within = keras.applications.Xception(weights=None, include_top=False, pooling="avg", input_shape=(SIZE, SIZE, 3))
    rng = np.random.default_rng(0)
    within.set_weights([_shaken(array, rng) for array in within.get_weights()])

    def made(classes: int):
        layers = keras.layers
        return keras.Sequential(
            [
                layers.Input((FRAMES, SIZE, SIZE, 3)),
                layers.TimeDistributed(within),
                layers.LSTM(8),
                layers.Dropout(0.5),
                layers.Dense(classes, activation="softmax" if classes > 1 else "sigmoid"),
            ]
        )

    return made


def _shaken(array: np.ndarray, rng) -> np.ndarray:
    return array * rng.uniform(0.8, 1.2, array.shape) + (array.ndim == 1) * rng.uniform(0, 0.1, array.shape)


@pytest.mark.parametrize(
    ("ending", "classes", "fake"), [("keras", 2, 1), ("h5", 2, 0), ("keras", 1, 1), ("keras", 1, 0)]
)
def test_probabilities_are_those_of_keras(model, tmp_path, ending, classes, fake):
    theirs = model(classes)
    path, run = str(tmp_path / f"model.{ending}"), str(tmp_path / "run")
    theirs.save(path)
    config = from_keras.xception_lstm(path, run, FRAMES, SIZE, fake)
    frames = np.random.default_rng(1).integers(0, 256, (2, FRAMES, SIZE, SIZE, 3), np.uint8)
    expected = theirs.predict(frames / 127.5 - 1, verbose=0)
    expected = expected[:, fake] if classes == 2 else expected[:, 0] if fake else 1 - expected[:, 0]
    predict = score.predictor(Run(run).best())
    length, zeros = np.full(2, FRAMES, np.int32), np.zeros((2, FRAMES, 5, 2), np.float32)
    got = jax.device_get(predict(Batch(frames, zeros, length, None, None, None)).probability)
    assert config.model.recurrent == (8,)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_another_layout_says_what_differs(keras, tmp_path):
    path = str(tmp_path / "other.keras")
    keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)]).save(path)
    with pytest.raises(DataError, match="has 0 models within its layers, want one Xception"):
        from_keras.xception_lstm(path, str(tmp_path / "run"))
