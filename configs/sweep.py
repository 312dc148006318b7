"""The package's search space of this name."""

from fusion_dfd.configs.sweep import get_space as get_space
