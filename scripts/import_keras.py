"""Make a run of an Xception + LSTM that was trained with Keras; evaluate.py and predict.py take it.

python scripts/import_keras.py MODEL.keras --out runs/mine [--frames 30 --size 299 --fake_class 1]
"""

from absl import flags

from fusion_dfd import cli
from fusion_dfd.config import ConfigError

OUT = flags.DEFINE_string("out", None, "folder of the run", required=True)
FRAMES = flags.DEFINE_integer("frames", 30, "frames of a clip, as in training", lower_bound=1)
SIZE = flags.DEFINE_integer("size", 299, "side of the frames, pixels, as in training", lower_bound=16)
FAKE = flags.DEFINE_integer("fake_class", 1, "number of the class that is fake", 0, 1)


def main(words: list[str]) -> None:
    if len(words) != 1:
        raise ConfigError("give one file, .keras or .h5")
    from fusion_dfd.runs import from_keras

    from_keras.xception_lstm(words[0], OUT.value, FRAMES.value, SIZE.value, FAKE.value)
    print(f"run: {OUT.value}")


if __name__ == "__main__":
    cli.run(main, "FILE")
