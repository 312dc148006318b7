"""The page of one video: offline, self-contained, for people who are no engineers (docs/EXPLAIN.md)::

directory/<name>.html    everything; no request leaves the page
directory/<name>.mp4     the annotated video, which the page holds too
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from urllib.parse import quote

from fusion_dfd import atomic
from fusion_dfd.evaluation import training_data
from fusion_dfd.evaluation.training_data import Facts
from fusion_dfd.explain import annotated_video, page_sections, sentences
from fusion_dfd.explain import evidence as evidences
from fusion_dfd.explain.evidence import Evidence
from fusion_dfd.predict.detector import DeepfakeDetector, OnProgress
from fusion_dfd.predict.verdict import ScoredVideo, Verdict
from fusion_dfd.reports import evaluation_page
from fusion_dfd.reports.sections import cell, section, table

COMMAND = 1000
"""Most letters of the command line that are shown: it may name thousands of files."""
TITLE = "Deepfake check of a video"


def write(detector: DeepfakeDetector, path: str, directory: str, told: OnProgress | None = None) -> tuple[Verdict, str]:
    """Score a video and write its page into ``directory`` (made if missing), which replaces an older one of that video.

    Args:
      detector: of :func:`fusion_dfd.predict.detector.load`; its frames are read and scored once.
      path: any file; one that cannot be scored gets a short page that says why.
      directory: pages of different paths never share a name in it.
      told: hears of the progress, as in :meth:`Detector.predict_many`; ``evidence.STEPS`` more follow the windows.

    Returns the verdict and the path of the page. Raises :class:`fusion_dfd.types.DataError` where nothing can be
    written or where the run's own files are damaged.
    """
    facts = training_data.load(detector.run) if detector.run else None
    video, verdict, found = evidences.gather(detector, path, told)
    name = os.path.join(directory, file_name(path))
    film = None
    if found is not None:
        film = _film(video, verdict, found)
        with atomic.binary(f"{name}.mp4") as file:
            file.write(film)
    body = "\n".join(sections(detector, video, verdict, found, film, facts))
    whole = evaluation_page.page(f"{TITLE}: {os.path.basename(path)}", body)
    return verdict, atomic.write_text(f"{name}.html", printable(whole))


def printable(text: str) -> str:
    """The text without the bytes of file names that are no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def file_name(path: str) -> str:
    """A name without folder and ending that only this path has, of letters that every system allows."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.splitext(os.path.basename(path))[0])[:60].strip(".") or "video"
    return f"{stem}-{hashlib.sha256(os.path.abspath(path).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _film(video: ScoredVideo, verdict: Verdict, found: Evidence) -> bytes:
    faces = sorted(verdict.faces, key=lambda face: face.track != found.face.track)
    return annotated_video.annotate(
        video.path, video.scan.info, video.clips, found.tracks, faces, sentences.burnt_in(verdict)
    )


def sections(
    detector: DeepfakeDetector,
    video: ScoredVideo,
    verdict: Verdict,
    found: Evidence | None,
    film: bytes | None,
    facts: Facts | None,
) -> list[str]:
    """The parts of the page in their order, each HTML; what a system does not know of is left out."""
    command = textwrap.shorten(" ".join(sys.argv), COMMAND, placeholder=" ...")
    head = page_sections.head(TITLE, verdict, sentences.warnings(detector.rules, facts, detector.run))
    tail = page_sections.origin(detector, video, verdict, found, command)
    if found is None:
        return [head, page_sections.unscored(verdict), tail]
    fps = video.scan.info.fps
    made = [
        head,
        page_sections.summary(sentences.summary(verdict, found, detector.rules)),
        page_sections.film(film, video.scan.info),
        page_sections.timeline(verdict.faces, found.face),
        page_sections.frames(found.seen, fps),
        page_sections.attention(found.explained, fps),
        page_sections.motion(found.seen, fps),
        page_sections.pace(found.pace, found.lacks),
        page_sections.branches(found.branches, found.baseline, len(found.explained)),
        page_sections.regions(found.regions, found.baseline, len(found.explained)),
        tail,
    ]
    return [part for part in made if part]


# MERGED from explain.folder: Pages of several videos in one folder, and one that lists them.
INDEX = "index.html"
_NAME = "white-space: normal; overflow-wrap: anywhere"


class Pages:
    """A detector that leaves a page of every video it scores in ``directory``."""

    def __init__(self, detector: DeepfakeDetector, directory: str):
        self._detector, self._directory = detector, directory
        self.written: list[tuple[Verdict, str]] = []
        """Verdicts so far, and the paths of their pages."""

    def predict_many(self, paths: Sequence[str], told: OnProgress | None = None) -> Iterator[Verdict]:
        """As :meth:`Detector.predict_many`; of several videos the list of pages is brought up to date after each."""
        for path in paths:
            verdict, written = write(self._detector, path, self._directory, told)
            self.written.append((verdict, written))
            if len(paths) > 1:
                self._list()
            yield verdict

    @property
    def entrance(self) -> str | None:
        """The page to open first: the list, or that of the only video; None before any."""
        if len(self.written) > 1:
            return os.path.join(self._directory, INDEX)
        return self.written[0][1] if self.written else None

    def _list(self) -> None:
        rows = [
            [
                f'<td style="{_NAME}"><a style="color: inherit" href="{quote(os.path.basename(written))}">'
                f"{escape(verdict.path)}</a></td>",
                cell(sentences.SAID[verdict.verdict].lower()),
                cell("-" if verdict.probability is None else f"{verdict.probability:.2f}"),
                cell("-" if verdict.seconds is None else f"{verdict.seconds:.1f}"),
                cell(verdict.reason or ""),
            ]
            for verdict, written in self.written
        ]
        found = table(["video", "verdict", "probability", "seconds", "note"], rows, "text wide")
        body = f"<h1>{escape(TITLE)}</h1>{section(f'{len(rows)} videos', found)}"
        atomic.write_text(
            os.path.join(self._directory, INDEX), printable(evaluation_page.page("Deepfake checks", body))
        )
