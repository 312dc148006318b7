"""Puts this folder on the path: its tests share ``barcodes``, ``portrait``, ``retinas`` and ``scripted``."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
