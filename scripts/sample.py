"""Make the embedded data set: procedural talking faces and four families of forgeries, laid out as FaceForensics++.

python scripts/sample.py --root data/sample
"""

from absl import app, flags

from fusion_dfd.config import Config, Synthetic

_DEFAULT = Synthetic()
_ROOT = flags.DEFINE_string("root", None, "Folder to write; made when missing.", required=True)
_SEED = flags.DEFINE_integer("seed", _DEFAULT.seed, "Every person, motion and forgery follows from it.")
_PAIRS = flags.DEFINE_list("pairs", [str(count) for count in _DEFAULT.pairs], "Pairs of persons in train, val, test.")
_FRAMES = flags.DEFINE_integer("frames", _DEFAULT.frames, "Frames per video, at 25 a second.")
_SIZE = flags.DEFINE_integer("size", _DEFAULT.size, "Width and height of the videos, pixels.")
_CRF = flags.DEFINE_integer("crf", _DEFAULT.crf, "H.264 constant rate factor, 0 .. 51.")
_WORKERS = flags.DEFINE_integer("workers", None, "Processes; default one per core.", lower_bound=1)


def main(argv):
    # Imported late: the worker processes import this file anew and need nothing of it.
    from fusion_dfd.synthetic.generate import generate
    from fusion_dfd.types import DataError

    if len(argv) > 1:
        raise app.UsageError(f"unknown arguments: {' '.join(argv[1:])}")
    try:
        pairs = tuple(int(count) for count in _PAIRS.value)
        options = Synthetic(_SEED.value, pairs, _FRAMES.value, _SIZE.value, _CRF.value)
        Config(synthetic=options).validate()
        print(generate(_ROOT.value, options, _WORKERS.value))
    except (DataError, ValueError) as error:
        raise SystemExit(f"sample: {error}") from error


if __name__ == "__main__":
    app.run(main)
