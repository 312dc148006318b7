"""Make a run of an Xception + LSTM that was trained with Keras.

fusion-dfd import-keras MODEL.keras --out runs/mine [--frames 30 --size 299 --fake_class 1]

The commands evaluate and predict take the run.
"""

from __future__ import annotations

from absl import flags

from fusion_dfd.config import ConfigError

WORDS = "FILE"


def define(values: flags.FlagValues) -> None:
    whole = flags.DEFINE_integer
    flags.DEFINE_string("out", None, "folder of the run; made if missing", required=True, flag_values=values)
    whole("frames", 30, "frames of a window, as in training", lower_bound=1, upper_bound=10000, flag_values=values)
    whole(
        "size", 299, "side of the frames, pixels, as in training", lower_bound=16, upper_bound=2048, flag_values=values
    )
    whole("fake_class", 1, "number of the class that is fake", 0, 1, flag_values=values)


def main(words: list[str], given: flags.FlagValues) -> None:
    if len(words) != 1:
        raise ConfigError("give one file, .keras or .h5")
    from fusion_dfd.runs import from_keras

    from_keras.xception_lstm(words[0], given.out, given.frames, given.size, given.fake_class)
    print(f"run: {given.out}")
