"""Puts this folder on the path: worker processes must be able to import ``looks``."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
