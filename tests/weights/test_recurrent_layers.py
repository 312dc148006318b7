"""What is no Keras or PyTorch layer is refused in words; tests/parity compares the values with both frameworks."""

import numpy as np
import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights.recurrent_layers import from_keras, from_torch

INPUTS, UNITS = 5, 6


def test_what_is_no_such_layer_is_refused(rng):
    kernel, recurrent = rng.normal(size=(INPUTS, 3 * UNITS)), rng.normal(size=(UNITS, 3 * UNITS))
    with pytest.raises(DataError, match="reset_after=False"):
        from_keras("gru", [kernel, recurrent, np.zeros(3 * UNITS)])
    with pytest.raises(DataError, match="not 2 in all"):
        from_keras("gru", [kernel, recurrent])
    with pytest.raises(DataError, match="want 4 gates per unit"):
        from_keras("lstm", [kernel, recurrent, np.zeros(3 * UNITS)])
    with pytest.raises(DataError, match="no weight_ih_l1, weight_hh_l1"):
        from_torch("lstm", {"weight_ih_l0": kernel}, layer=1)
