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

from fusion_dfd import atomic
from fusion_dfd.evaluation import provenance, report
from fusion_dfd.evaluation.provenance import Facts
from fusion_dfd.explain import evidence as evidences
from fusion_dfd.explain import footage, parts, words
from fusion_dfd.explain.evidence import Evidence
from fusion_dfd.predict.detector import Detector, Scored, Told
from fusion_dfd.predict.verdict import Verdict

COMMAND = 1000
"""Most letters of the command line that are shown: it may name thousands of files."""
TITLE = "Deepfake check of a video"


def write(detector: Detector, path: str, directory: str, told: Told | None = None) -> tuple[Verdict, str]:
    """Score a video and write its page into ``directory`` (made if missing), which replaces an older one of that video.

    Args:
      detector: of :func:`fusion_dfd.predict.detector.load`; its frames are read and scored once.
      path: any file; one that cannot be scored gets a short page that says why.
      directory: pages of different paths never share a name in it.
      told: hears of the progress, as in :meth:`Detector.predict_many`; ``evidence.STEPS`` more follow the windows.

    Returns the verdict and the path of the page. Raises :class:`fusion_dfd.types.DataError` where nothing can be
    written or where the run's own files are damaged.
    """
    facts = provenance.load(detector.run) if detector.run else None
    video, verdict, found = evidences.gather(detector, path, told)
    name = os.path.join(directory, file_name(path))
    film = None
    if found is not None:
        film = _film(video, verdict, found)
        with atomic.binary(f"{name}.mp4") as file:
            file.write(film)
    body = "\n".join(sections(detector, video, verdict, found, film, facts))
    whole = report.page(f"{TITLE}: {os.path.basename(path)}", body)
    return verdict, atomic.write_text(f"{name}.html", printable(whole))


def printable(text: str) -> str:
    """The text without the bytes of file names that are no UTF-8."""
    return text.encode("utf-8", "replace").decode()


def file_name(path: str) -> str:
    """A name without folder and ending that only this path has, of letters that every system allows."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", os.path.splitext(os.path.basename(path))[0])[:60].strip(".") or "video"
    return f"{stem}-{hashlib.sha256(os.path.abspath(path).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


def _film(video: Scored, verdict: Verdict, found: Evidence) -> bytes:
    faces = sorted(verdict.faces, key=lambda face: face.track != found.face.track)
    return footage.annotate(video.path, video.scan.info, video.windows, found.tracks, faces, words.burnt_in(verdict))


def sections(
    detector: Detector,
    video: Scored,
    verdict: Verdict,
    found: Evidence | None,
    film: bytes | None,
    facts: Facts | None,
) -> list[str]:
    """The parts of the page in their order, each HTML; what a system does not know of is left out."""
    command = textwrap.shorten(" ".join(sys.argv), COMMAND, placeholder=" ...")
    head = parts.head(TITLE, verdict, words.warnings(detector.judge, facts, detector.run))
    tail = parts.origin(detector, video, verdict, found, command)
    if found is None:
        return [head, parts.unscored(verdict), tail]
    fps = video.scan.info.fps
    made = [
        head,
        parts.summary(words.summary(verdict, found, detector.judge)),
        parts.film(film, video.scan.info),
        parts.timeline(verdict.faces, found.face),
        parts.frames(found.seen, fps),
        parts.attention(found.explained, fps),
        parts.motion(found.seen, fps),
        parts.pace(found.pace, found.lacks),
        parts.branches(found.branches, found.baseline, len(found.explained)),
        parts.regions(found.regions, found.baseline, len(found.explained)),
        tail,
    ]
    return [part for part in made if part]
