"""Score videos with a trained run.

fusion-dfd predict PATH [PATH ...] --checkpoint runs/fusion [--report DIR] [--engine onnx] [--json | --csv]

PATH is a video, a folder, a pattern in quotes, or - for a list of paths on standard input.
Exit code: 0 all real, 10 at least one fake, 11 no fake but some without a verdict, 1 and 2 errors.
"""

import sys

from absl import flags

from fusion_dfd.predict import video_paths

ENGINES = ("auto", "jax", "onnx")


def define() -> dict[str, flags.FlagHolder]:
    return {
        "checkpoint": flags.DEFINE_string(
            "checkpoint", None, "run folder, as train.py printed it, or exported", required=True
        ),
        "clips": flags.DEFINE_integer("clips", 16, "most clips taken from a video, spread evenly over it; 0 = all", 0),
        "engine": flags.DEFINE_enum("engine", "auto", ENGINES, "what runs the model; onnx: of an exported folder"),
        "json": flags.DEFINE_bool("json", False, "print one JSON object a line"),
        "report": flags.DEFINE_string("report", None, "folder for a page per video that explains its verdict"),
        "csv": flags.DEFINE_bool("csv", False, "print CSV"),
    }


def main(words: list[str], given: dict[str, flags.FlagHolder]) -> int:
    paths = video_paths.expand(words, sys.stdin)  # before the imports that take seconds
    from fusion_dfd.predict import detector, terminal

    form = "json" if given["json"].value else "csv" if given["csv"].value else "table"
    loaded = detector.load(given["checkpoint"].value, given["clips"].value, given["engine"].value)
    if not given["report"].value:
        return terminal.report(loaded.predict_many, paths, form)
    from fusion_dfd.explain.page import Pages

    pages = Pages(loaded, given["report"].value)
    code = terminal.report(pages.predict_many, paths, form)
    # Programs that read verdicts from standard output find nothing else there.
    print(pages.entrance, file=sys.stdout if form == "table" else sys.stderr)
    return code
