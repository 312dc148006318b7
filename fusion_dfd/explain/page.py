"""The page of one video, for people who are not engineers (docs/EXPLAIN.md).

Files::

    directory/<name>.html    everything; no request leaves the page
    directory/<name>.mp4     the annotated video, which the page holds too
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence

from fusion_dfd import atomic
from fusion_dfd.explain import annotated_video, languages, page_sections, sentences
from fusion_dfd.explain.evidence import Evidence, gather
from fusion_dfd.predict.detector import DeepfakeDetector, OnProgress
from fusion_dfd.predict.verdict import ScoredVideo, Verdict
from fusion_dfd.reports import pages

COMMAND = 1000
"""Most characters of the command line that are shown: it may name thousands of files."""
TITLE = "Deepfake check of a video"


def write(
    detector: DeepfakeDetector,
    path: str,
    directory: str,
    on_progress: OnProgress | None = None,
    for_others: bool = False,
) -> tuple[Verdict, str]:
    """Score a video and write its page into ``directory`` (made if missing), which replaces an older one of that video.

    Args:
      detector: of :func:`fusion_dfd.predict.detector.load`; its frames are read and scored once.
      path: any file; one that cannot be scored gets a short page that says why.
      directory: pages of different paths never share a name in it.
      on_progress: as in :meth:`DeepfakeDetector.predict_many`; ``evidence.STEPS`` more steps follow the clips.

      for_others: the page names no folder of this machine and not the command that made it.

    Returns the verdict and the path of the page. Raises :class:`fusion_dfd.types.DataError` where nothing can be
    written or where the run's own files are damaged.
    """
    video, verdict, found = gather(detector, path, on_progress)
    written = place(directory, path)
    film = None
    if found is not None:
        film = _film(video, verdict, found)
        with atomic.binary(f"{os.path.splitext(written)[0]}.mp4") as file:
            file.write(film)
    command = None if for_others else textwrap.shorten(" ".join(sys.argv), COMMAND, placeholder=" ...")
    values = {
        **page_sections.head(verdict, verdict.warnings),
        **page_sections.explained(verdict),
        "drawn": languages.drawn,
        "languages": languages.LANGUAGES,
        "told": languages.told,
        "facts": page_sections.facts(detector, video, verdict, found, command),
        "heading": TITLE,
        "record": json.dumps(json.loads(verdict.to_json()), indent=1, ensure_ascii=False),
        "reason": verdict.reason or "nothing could be scored",
        "scored": found is not None,
    }
    if found is not None:
        values["summary"] = sentences.summary(verdict, found, detector.rules)
        values |= page_sections.evidence(verdict, found, video.scan.info, film)
    whole = pages.render("explanation", f"{TITLE}: {os.path.basename(path)}", **values)
    return verdict, atomic.write_text(written, pages.printable(whole))


def file_name(path: str) -> str:
    """A name without folder and ending, unique to this path, of characters that every system allows."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.splitext(os.path.basename(path))[0])[:60].strip(".") or "video"
    return f"{stem}-{hashlib.sha256(os.path.abspath(path).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _film(video: ScoredVideo, verdict: Verdict, found: Evidence) -> bytes:
    faces = sorted(verdict.faces, key=lambda face: face.track != found.face.track)
    scan, said = video.scan, sentences.burnt_in(verdict)
    return annotated_video.annotate(video.path, scan.info, video.clips, found.tracks, faces, said, scan.turns)


def place(directory: str, path: str) -> str:
    """Where the page of a video is written."""
    return os.path.join(directory, f"{file_name(path)}.html")


def write_many(
    detector: DeepfakeDetector, directory: str, paths: Sequence[str], on_progress: OnProgress | None = None
) -> Iterator[Verdict]:
    """As :meth:`DeepfakeDetector.predict_many`, and leaves a page of every video in ``directory``."""
    for path in paths:
        verdict, _ = write(detector, path, directory, on_progress)
        yield verdict
