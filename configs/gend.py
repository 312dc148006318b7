"""The package's configuration of this name; docs/EXTENDING.md shows how to write another."""

from fusion_dfd.configs.gend import get_config as get_config
