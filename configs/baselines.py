"""The package's configuration of this name."""

from fusion_dfd.configs.baselines import get_config as get_config
from fusion_dfd.configs.baselines import get_rows as get_rows
