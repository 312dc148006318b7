"""The evaluation protocols of the field, as data, and their tables filled from the scores at hand.

A protocol is a list of rows; a row is a data set, a compression and the manipulations of its test split. ``TRAINED``
stands for whatever the run was trained on, ``EACH`` makes one row for each manipulation. Only test splits are read.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markdown import Markdown

from fusion_dfd import atomic, config
from fusion_dfd.datasets import (
    av_deepfake1m,
    celebdf,
    deeperforensics,
    deepfake_eval,
    deepspeak,
    df40,
    dfd,
    dfdc,
    dfdc_preview,
    dfdm,
    faceforensics,
    fakeavceleb,
    ffiw,
    idforge,
    kodf,
    lav_df,
    polyglotfake,
    talkingheadbench,
    uadfv,
    wilddeepfake,
)
from fusion_dfd.evaluation import cross_sets, scores
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.metrics import METRICS
from fusion_dfd.evaluation.summary import Summary, Unscored, cell, summarise
from fusion_dfd.evaluation.training_data import TrainingData, warnings
from fusion_dfd.reports import tables
from fusion_dfd.runs.run import Run
from fusion_dfd.runs.score import load, score_folder
from fusion_dfd.types import DataError, Score, Video

TRAINED = "(trained on)"
EACH = ("(each)",)
SHOWN = ("auc", "ap", "eer", "tpr_at_5_fpr", "balanced_accuracy", "ece")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a protocol's table."""

    dataset: str
    compression: str = ""
    methods: tuple[str, ...] = ()
    """Manipulations beside all reals; empty takes all there are."""
    unseen: bool = False
    """The run must have been trained without ``methods`` (``data.exclude_methods``)."""
    called: str = ""
    """Name of ``methods`` together; ``""`` names each."""

    @property
    def title(self) -> str:
        where = " ".join(filter(None, (self.dataset, self.compression)))
        return ", ".join(filter(None, (where, self.called or " + ".join(self.methods)))) + (
            ", never seen" if self.unseen else ""
        )


@dataclasses.dataclass(frozen=True)
class Protocol:
    about: str
    rows: tuple[Row, ...]

    def text(self, name: str) -> str:
        """Name, meaning and rows, for a person."""
        return "\n".join([f"{name}: {self.about}", *(f"  {row.title}" for row in self.rows)])


PROTOCOLS: dict[str, Protocol] = {
    "in_dataset": Protocol(
        "The test split of the data the run was trained on, all manipulations and each alone.",
        (Row(TRAINED, TRAINED), Row(TRAINED, TRAINED, EACH)),
    ),
    "cross_dataset": Protocol(
        "Trained on one data set (by custom FaceForensics++ c23), tested on others; nothing is tuned on them. DFD's "
        "numbers differ by some 10 points between raw and c23; of DFDC's test set papers use several subsets.",
        (
            Row(TRAINED, TRAINED),
            Row(celebdf.V2.name),
            Row(celebdf.V1.name),
            Row(celebdf.PP.name),
            Row(dfd.NAME, "raw"),
            Row(dfd.NAME, "c23"),
            Row(dfdc.TEST),
            Row(dfdc.NAME),
            Row(dfdc_preview.NAME),
            Row(uadfv.NAME),
            Row(deeperforensics.NAME),
            Row(faceforensics.NAME, "c23", faceforensics.TEST_ONLY),
        ),
    ),
    "celebdf_pp": Protocol(
        "Celeb-DF++ by scenario (its GF-eval): each against the same real videos.",
        (
            Row(celebdf.PP.name),
            *(Row(celebdf.PP.name, methods=of, called=scenario) for scenario, of in celebdf.SCENARIOS.items()),
        ),
    ),
    "newer_sets": Protocol(
        "Data sets of 2020 to 2025 beside those of cross_dataset; nothing is tuned on them. Where only the sound is "
        "forged, a video is real (--label visual).",
        tuple(
            Row(name)
            for name in (
                df40.NAME,
                deepfake_eval.NAME,
                celebdf.PP.name,
                fakeavceleb.NAME,
                deepspeak.V1.name,
                deepspeak.V2.name,
                av_deepfake1m.NAME,
                lav_df.NAME,
                ffiw.NAME,
                wilddeepfake.NAME,
                kodf.NAME,
                idforge.NAME,
                polyglotfake.NAME,
                talkingheadbench.NAME,
            )
        )
        + tuple(Row(dfdm.NAME, compression) for compression in dfdm.COMPRESSIONS),
    ),
    "leave_one_out": Protocol(
        "One training per manipulation without it (data.exclude_methods), tested on it: forgeries never seen.",
        (Row(TRAINED, TRAINED, EACH, unseen=True),),
    ),
    "cross_compression": Protocol(
        "Trained at one compression, tested at every one of the same data set.",
        tuple(Row(TRAINED, compression) for compression in faceforensics.COMPRESSIONS),
    ),
}


@dataclasses.dataclass(frozen=True)
class Submission:
    """Test splits as one run, or anyone, scored them."""

    name: str
    scores: Sequence[Score]
    unscored: Sequence[Unscored] = ()
    trained_on: TrainingData | None = None
    """What it was trained on; None if unknown: FaceForensics++ c23 is then assumed."""
    calibration: Calibration | None = None
    options: config.Evaluate = dataclasses.field(default_factory=config.Evaluate)
    attributes: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    """What data sets say of their videos, by key."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A row, filled or not."""

    run: str
    row: Row
    summary: Summary | None
    absent: str
    """Why it could not be filled; ``""`` where it was."""
    warnings: tuple[str, ...] = ()


def evaluate_protocol(runs: Sequence[Run], folders: Sequence[str], name: str, out: str | None = None) -> str:
    """Fill a protocol's table from the test splits of several folders of shards, scored by one or more runs.

    Args:
      runs: run folders or exported folders.
      folders: of shards.
      name: of :data:`PROTOCOLS`.
      out: folder of the table and of each run's rows; None takes ``report-<name>`` in the first run.

    Returns the path of the table, see :func:`publish`. Raises DataError for a run or a folder that cannot be used.
    """
    out = out or runs[0].path(f"report-{name}")
    submissions = []
    for run_name, run in zip(short_names([run.folder for run in runs]), runs, strict=True):
        trained = load(run)
        parts = [score_folder(trained, folder, "test") for folder in folders]
        rows = [row for part in parts for row in part.scores]
        scores.write_csv(os.path.join(out, f"scores-{run_name}.csv"), rows)
        lost = [row for part in parts for row in part.unscored]
        options = run.evaluate
        facts = {key: of for part in parts for key, of in part.attributes.items()}
        submissions.append(Submission(run_name, rows, lost, run.training_data, run.calibration, options, facts))
    return publish(out, name, submissions)


def leave_one_out(base: config.Config, methods: Sequence[str]) -> dict[str, config.Config]:
    """One configuration per manipulation, which it leaves out of train and val, by the name of its cell.

    Each has a folder of its own below that of ``base``; test keeps all manipulations.
    """
    cells = {}
    root = base.workdir or os.path.join("runs", base.name)
    for method in methods:
        cell = copy.deepcopy(base)
        cell.name = f"without {method}"
        cell.workdir = os.path.join(root, f"without-{method}")
        cell.data.exclude_methods = (*base.data.exclude_methods, method)
        cells[cell.name] = cell
    return cells


def short_names(paths: Sequence[str]) -> list[str]:
    """A name for each path: its last part, with as many parent folders as make the names distinct.

    Raises :class:`DataError` where one is given twice.
    """
    parts = [os.path.abspath(path).strip(os.sep).split(os.sep) for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["-".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    raise DataError(f"one of these is given twice: {', '.join(paths)}")


def expand(protocol: Protocol, scored: Submission) -> list[Row]:
    """The protocol's rows for one run: with ``TRAINED`` and ``EACH`` resolved, each row once."""
    known = scored.trained_on
    trained = [tuple(name.split("/")) for name in known["train"]["sets"]] if known else [(faceforensics.NAME, "c23")]
    rows = []
    for row in protocol.rows:
        for dataset, compression in trained if row.dataset == TRAINED else [(row.dataset, row.compression)]:
            if row.compression != TRAINED:
                compression = row.compression
            filled = dataclasses.replace(row, dataset=dataset, compression=compression)
            rows += [filled] if row.methods != EACH else _each(filled, scored)
    return list(dict.fromkeys(rows))


def _each(row: Row, scored: Submission) -> list[Row]:
    """A row for each manipulation that test holds or that the run was trained on or without."""
    found = {s.method for s in scored.scores if s.label == 1 and _at(s, row)}
    if scored.trained_on:
        found |= {*scored.trained_on["train"]["methods"], *scored.trained_on["excluded"]}
    elif row.dataset == faceforensics.NAME:
        found |= set(faceforensics.METHODS) - set(faceforensics.TEST_ONLY)
    return [dataclasses.replace(row, methods=(method,)) for method in sorted(found)]


def _at(row: Score | Unscored | Video, wanted: Row) -> bool:
    return (row.dataset, row.compression) == (wanted.dataset, wanted.compression)


def belongs(row: Score | Unscored | Video, wanted: Row) -> bool:
    """Whether a video, scored or not, is one of a row's."""
    return _at(row, wanted) and (row.label == 0 or not wanted.methods or row.method in wanted.methods)


def fill(protocol: Protocol, runs: Sequence[Submission]) -> list[Line]:
    """Every row for every run, in the order of the protocol.

    A row that asks for an unseen manipulation is filled by the runs that left it out, and is absent once where there is
    none.
    """
    lines: dict[tuple[Row, str], Line] = {}
    for run in runs:
        for row in expand(protocol, run):
            line = _fill(row, run)
            if row.unseen and line.summary is None:
                lines.setdefault((row, ""), dataclasses.replace(line, run="-"))
            else:
                lines[row, run.name] = line
    done = {line.row for line in lines.values() if line.summary}
    kept = [line for line in lines.values() if line.summary or not (line.row.unseen and line.row in done)]
    order = list(dict.fromkeys(row for run in runs for row in expand(protocol, run)))
    return sorted(kept, key=lambda line: order.index(line.row))


def _fill(row: Row, run: Submission) -> Line:
    excluded = run.trained_on["excluded"] if run.trained_on else ()
    if row.unseen and not set(row.methods) <= set(excluded):
        names = ",".join(row.methods)
        return Line(run.name, row, None, f"needs a run trained with --config.data.exclude_methods={names}")
    inside = [score for score in run.scores if belongs(score, row)]
    if absent := _absent(row, inside):
        return Line(run.name, row, None, absent)
    summary = summarise(
        inside,
        unscored=[lost for lost in run.unscored if belongs(lost, row)],
        bootstrap=run.options.bootstrap,
        rule=run.options.aggregate,
        tracks=run.options.tracks,
        calibration=run.calibration,
        attributes=run.attributes,
    )
    return Line(run.name, row, summary, "", tuple(warnings(run.trained_on, inside)))


def _absent(row: Row, inside: Sequence[Score]) -> str:
    labels = {score.label for score in inside}
    if not labels:
        compression = f" --compression {row.compression}" if row.compression else ""
        return f"no test videos: fusion-dfd prepare --dataset {row.dataset}{compression}, and give the folder as --data"
    if lacking := sorted(set(row.methods) - {score.method for score in inside}):
        return f"no test videos of {', '.join(lacking)}"
    return "" if len(labels) == 2 else f"only {'fake' if 1 in labels else 'real'} test videos"


def cross(lines: Sequence[Line], run: Submission) -> cross_sets.CrossSets:
    """The data sets that the filled rows of a run are about, compared with one another."""
    of = {(line.row.dataset, line.row.compression) for line in lines if line.summary and line.run == run.name}
    inside = [row for row in run.scores if (row.dataset, row.compression) in of]
    videos = scores.videos(inside, run.options.aggregate, run.options.tracks)
    videos = run.calibration.videos(videos) if run.calibration else videos
    return cross_sets.compare(videos, run.options.target, run.calibration.threshold if run.calibration else 0.5)


def _table(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the protocol's table."""
    header = ["test", "run", "videos (real + fake)", "without score", *(METRICS[metric].title for metric in SHOWN)]
    return header, [[line.row.title, line.run, *_cells(line)] for line in lines]


def as_markdown(name: str, lines: Sequence[Line], compared: Mapping[str, cross_sets.CrossSets] | None = None) -> str:
    """The protocol's table, with what is absent and what must be known to read it, then those that compare data sets.

    ``compared`` holds the comparison of each run that has several data sets, by the run's name.
    """
    table = tables.markdown(*_table(lines), text_columns=2)
    notes = dict.fromkeys(f"{line.row.title}, {line.run}: {note}" for line in lines for note in line.warnings)
    below = "\n".join(["Videos' metrics; intervals are 95%, over groups.", *(f"- {note}" for note in notes)])
    more = [
        f"#### {heading}: {run}\n\n{tables.markdown(header, rows)}"
        for run, found in (compared or {}).items()
        for heading, header, rows in found.tables()
    ]
    return "\n\n".join([f"### {name}", PROTOCOLS[name].about, table, below, _lists(lines), *more])


def _lists(lines: Sequence[Line]) -> str:
    """Which videos each row is of, and how many of them have a score."""
    header = ["test", "run", "videos", "with a score", "SHA-256 of the list"]
    found = [(line, line.summary["list"]) for line in lines if line.summary]
    rows = [
        [line.row.title, line.run, str(of["videos"]), f"{of['scored'] / of['videos']:.1%}", of["digest"]]
        for line, of in found
    ]
    return f"#### Lists\n\n{tables.markdown(header, rows, text_columns=2)}" if rows else "No row is filled."


def as_latex(lines: Sequence[Line], compared: Mapping[str, cross_sets.CrossSets]) -> str:
    """The same tables as ``tabular`` environments, each under a comment; rows without a value are left out."""
    header, rows = _table([line for line in lines if line.summary])
    parts = ["% needs the package booktabs", tables.latex(header, rows, text_columns=2)]
    for run, found in compared.items():
        for heading, header, rows in found.tables():
            parts += [f"% {heading}: {run}", tables.latex(header, rows)]
    return "\n".join(parts)


def _cells(line: Line) -> list[str]:
    if line.summary is None:
        return [f"absent: {line.absent}", *[""] * (len(SHOWN) + 1)]
    block, lost = line.summary["units"]["video"]["overall"], line.summary["unscored"]
    counts = block["counts"]
    shown = [cell(block["metrics"][name] | ({} if name == "auc" else {"low": None})) for name in SHOWN]
    return [f"{counts['real']} + {counts['fake']}", f"{lost['real']} + {lost['fake']}", *shown]


def publish(out: str, name: str, runs: Sequence[Submission]) -> str:
    """Fill a protocol and print it; write ``<name>.md``, ``.tex`` and ``.json`` into ``out``; returns the first's path.

    Where a run scored several data sets, they are compared with one another too (``<name>-cross.json``).
    """
    lines = fill(PROTOCOLS[name], runs)
    compared = {run.name: found for run in runs if len((found := cross(lines, run)).sets) > 1}
    values: list[Mapping] = [
        {"test": line.row.title, **dataclasses.asdict(line.row), "run": line.run, "absent": line.absent}
        | {"warnings": list(line.warnings), "summary": line.summary}
        for line in lines
    ]
    text = as_markdown(name, lines, compared)
    Console().print(Markdown(text))
    atomic.write_text(os.path.join(out, f"{name}.json"), json.dumps(values, indent=1) + "\n")
    if compared:
        shown = {run: found.as_json() for run, found in compared.items()}
        atomic.write_text(os.path.join(out, f"{name}-cross.json"), json.dumps(shown, indent=1) + "\n")
    atomic.write_text(os.path.join(out, f"{name}.tex"), as_latex(lines, compared) + "\n")
    return atomic.write_text(os.path.join(out, f"{name}.md"), text + "\n")
