"""Pictures of any size come back from every encoder in their size, and no encoder writes where it must not."""

import ctypes.util
import os
import subprocess
import sys

import numpy as np
import pytest

from fusion_dfd.faces import recode

SIZES = ((16, 16), (47, 20), (20, 90), (64, 63))
CHECKED = f"""
import numpy as np
from fusion_dfd.faces import recode
for name in recode.available():
    for size in {SIZES} * 3:
        recode.recode(np.random.default_rng(0).integers(0, 255, (12, *size, 3), np.uint8), name, 30)
"""


@pytest.mark.parametrize("name", recode.available())
@pytest.mark.parametrize("size", SIZES)
def test_the_size_and_the_picture_come_back(name, size, rng):
    height, width = size
    y, x = np.mgrid[:height, :width]
    frames = np.repeat(np.stack([2 * y, 2 * x, x + y], -1).astype(np.uint8)[None], 3, axis=0)
    again = recode.recode(frames, name, 20)
    assert again.shape == frames.shape
    assert np.abs(again.astype(int) - frames).mean() < 12


@pytest.mark.skipif(not ctypes.util.find_library("c_malloc_debug"), reason="glibc's heap checker is not installed")
def test_small_pictures_leave_the_heap_whole():
    checked = os.environ | {"MALLOC_CHECK_": "3", "LD_PRELOAD": ctypes.util.find_library("c_malloc_debug")}
    done = subprocess.run([sys.executable, "-c", CHECKED], env=checked, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
