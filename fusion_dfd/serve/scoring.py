"""What a server does with one video: the only place that knows how a verdict and its report are made."""

from __future__ import annotations

import dataclasses
import html
import os
from collections.abc import Callable

from fusion_dfd import atomic
from fusion_dfd.explain import page
from fusion_dfd.predict.detector import Detector, Told
from fusion_dfd.predict.verdict import Verdict

Score = Callable[[str, str, Told], tuple[Verdict, str | None]]
"""``(path, directory, told) -> (verdict, page)``, see :func:`score`."""


def score(detector: Detector, path: str, directory: str, told: Told) -> tuple[Verdict, str]:
    """Score a video and explain the verdict.

    Args:
      detector: a trained one.
      path: of the video.
      directory: an existing folder for what is to be shown about it.
      told: called after every window and every part of the explanation; what it raises ends the work and is passed on.

    Returns the verdict, and the path of an HTML report in ``directory``.
    """
    return page.write(detector, path, directory, told)


def renamed(verdict: Verdict, report: str | None, path: str, name: str) -> Verdict:
    """The verdict on the file at ``path`` as one on ``name``, in its sentences and in its report too.

    The last part of ``path`` must be a word that nothing else in the report can hold.
    """
    if report is not None:
        with open(report, encoding="utf-8") as file:
            text = file.read()
        for word in (path, os.path.basename(path)):
            text = text.replace(html.escape(word), html.escape(name))
        atomic.write_text(report, text)
    reason = verdict.reason and verdict.reason.replace(path, name)
    return dataclasses.replace(verdict, path=name, reason=reason)
